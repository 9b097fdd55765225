package planner

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// evened is a fleet whose time goes on, with instances of a steady demand.
type evened struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
	s      *state.State
	n      int
	now    timeline.Time
	demand map[string]resource.Vector
	away   map[string]error // of the home of an instance
}

func newEvened(t interface {
	Helper()
	Fatalf(string, ...any)
}, hosts int) *evened {
	w := &evened{t: t, s: state.New(), now: begin, demand: map[string]resource.Vector{}, away: map[string]error{}}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: grid.Milliseconds(), Policy: proto.DefaultPolicy()})
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "any", Max: resource.Uniform(resource.Unlimited)}})
	for i := range hosts {
		w.must(&proto.HostRegister{Facts: facts(fmt.Sprintf("h%d", i), 8000), Incarnation: 1})
	}
	return w
}

func (w *evened) apply(body proto.Body) proto.Result {
	w.t.Helper()
	w.n++
	cmd, err := proto.NewCommand(fmt.Sprint("r", w.n), "test", body)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	cmd.At = w.now
	r, _ := w.s.Apply(cmd)
	return r
}

func (w *evened) must(body proto.Body) proto.Result {
	w.t.Helper()
	r := w.apply(body)
	if !r.OK() {
		w.t.Fatalf("%s: %s", body.Command(), r.Message)
	}
	return r
}

// expected is the forecast of an instance: what it always asked for.
func (w *evened) expected(name string) proto.ForecastReply {
	p := timeline.Flat(Grid(w.now, grid), w.demand[name])
	return proto.ForecastReply{Instance: name, Start: p.Span().Start, Step: grid.Milliseconds(), Quantiles: []int{500, 950}, Profiles: []timeline.Profile{p, p}, Observed: 1000}
}

// envelope is what an instance holds where it stays.
func (w *evened) envelope(name string) (proto.Envelope, resource.Vector) {
	i, known := w.s.View().Instance(name)
	class := proto.Standard
	if known {
		class = i.Spec.Class
	}
	s := NewSizing(class, proto.InstanceType{Max: resource.Uniform(resource.Unlimited)}, proto.Application{}, proto.DefaultPolicy())
	f := w.expected(name)
	a, _ := s.Allocation(f)
	return s.Envelope(a, f), s.Floor
}

// runs adopts an instance on a host, and reports whether there is room for it.
func (w *evened) runs(name, host string, cpu, memory int64, labels ...proto.Label) bool {
	w.t.Helper()
	w.demand[name] = resource.Vector{resource.CPU: cpu, resource.Memory: memory}
	e, floor := w.envelope(name)
	spec := proto.InstanceSpec{
		Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: host, Type: "any", Class: proto.Standard, Mode: proto.Enforce, Labels: labels,
	}
	if len(labels) > 0 {
		spec.Placement = &proto.Placement{Apart: []string{labels[0].Key}}
	}
	r := w.apply(&proto.InstanceApply{Spec: spec, Envelope: e, Floor: floor})
	if !r.OK() {
		delete(w.demand, name)
		return false
	}
	w.must(&proto.InstanceAdopted{Instance: name, Fence: r.Fence})
	return true
}

func (w *evened) of(name string) (MovingFigures, error) {
	return MovingFigures{Forecast: w.expected(name), Data: 60 << 20}, w.away[name]
}

func (w *evened) look(change ...func(*RebalanceInput)) Rebalanced {
	w.t.Helper()
	in := RebalanceInput{View: w.s.View(), Now: w.now, Of: w.of, Costs: DefaultCosts()}
	for _, c := range change {
		c(&in)
	}
	r, err := Rebalance(in)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return r
}

// moves carries a suggestion out from its plan to the end of its probation, and has its instance hold what it needs.
func (w *evened) moves(s Suggestion) {
	w.t.Helper()
	m := s.Move
	of, _ := w.of(m.Instance)
	r, err := Make(Input{Request: Request{Instance: m.Instance, Target: m.Target}, View: w.s.View(), Now: w.now, Forecast: of.Forecast, Data: of.Data, Costs: DefaultCosts()})
	if err != nil {
		w.t.Fatalf("%s can't be carried out: %v", s.Why(), err)
	}
	plan, id := proto.RebalanceID(m.Instance, w.now), fmt.Sprint("m", w.n)
	w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: plan, Kind: proto.PlanRebalance, Status: proto.PlanQueued, Moves: []proto.Move{m}}})
	w.must(&proto.PlanBegin{ID: plan, Start: proto.MigrationStart{ID: id, Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra}})
	fence := m.Fence
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhasePrepare, To: proto.PhaseCopy})
	fence = w.must(&proto.MigrationFreeze{Migration: id, Fence: fence}).Fence
	fence = w.must(&proto.MigrationCommit{Migration: id, Fence: fence}).Fence
	fence = w.must(&proto.MigrationConfirm{Migration: id, Fence: fence, Until: w.now + 1}).Fence
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: id, Fence: fence})
	w.must(&proto.PlanChange{ID: plan, From: proto.PlanRunning, To: proto.PlanDone})
	w.settle(m.Instance)
}

// settle has an instance hold what it needs, as its home sees to.
func (w *evened) settle(name string) {
	w.t.Helper()
	i, _ := w.s.View().Instance(name)
	e, floor := w.envelope(name)
	w.must(&proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{ID: i.Reservation, Envelope: e, Floor: floor}}})
}

// later lets time go by: what is held is what is needed from then on.
func (w *evened) later(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	w.must(&proto.Tick{})
	for name := range w.demand {
		w.settle(name)
	}
}

// strainTwin is the strain of all hosts, worked out by the step from what instances hold: the same at each, as demand is steady.
func (w *evened) strainTwin() float64 {
	v := w.s.View()
	var sum float64
	for h := range v.Hosts() {
		var most, squares, total, kinds float64
		needed := resource.Vector{}
		for _, r := range v.ReservationsOn(h.Facts.Name) {
			last := r.Envelope[len(r.Envelope)-1]
			needed = needed.Add(last.Firm).Add(last.Mean)
		}
		for k, limit := range v.Ledger().Steps(h.Facts.Name)[0].Limit {
			share := float64(needed[k]) / float64(limit)
			most, squares, total, kinds = max(most, share), squares+share*share, total+share, kinds+1
		}
		mean := total / kinds
		sum += .5*most*most + .3*squares/kinds + .2*4*(squares/kinds-mean*mean)
	}
	return 1e6 * sum
}

// On a fleet in which nothing else changes, looks at it come to an end, whatever there is and in which order what they suggest is done. What each of them promises
// is kept, nothing moves twice in a day, and nothing ever goes back.
func TestLooksAtASteadyFleetComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.IntRange(2, 5).Draw(t, "hosts")
		w := newEvened(t, hosts)
		for n := range rapid.IntRange(2, 14).Draw(t, "instances") {
			host := fmt.Sprintf("h%d", rapid.SampledFrom([]int{0, 0, 0, 1, hosts - 1}).Draw(t, "host"))
			w.runs(fmt.Sprintf("i%d", n), host, rapid.Int64Range(50, 2500).Draw(t, "cpu"), rapid.Int64Range(16<<20, 1<<30).Draw(t, "memory"))
		}
		left := map[string]map[string]bool{}
		movedAt := map[string]timeline.Time{}
		pause := rapid.SampledFrom([]time.Duration{7 * time.Hour, 25 * time.Hour}).Draw(t, "pause")
		for idle, rounds := 0, 0; time.Duration(idle)*pause <= 25*time.Hour; rounds++ { // longer than anything rests
			if rounds == 200 {
				t.Fatal("it never ends")
			}
			before := w.strainTwin()
			r := w.look()
			if len(r.Suggestions) == 0 {
				idle++
				w.later(pause)
				continue
			}
			idle = 0
			var stated int64
			for _, s := range r.Suggestions {
				name := s.Move.Instance
				if s.Wins() < MarginOfBalance || s.Relief() < leastRelief {
					t.Fatalf("%s wins too little: %+v", name, s)
				}
				if left[name][s.Move.Target] {
					t.Fatalf("%s goes back to %s", name, s.Move.Target)
				}
				if at, ok := movedAt[name]; ok && w.now.Sub(at) < 24*time.Hour {
					t.Fatalf("%s moves again after %s", name, w.now.Sub(at))
				}
				if left[name] == nil {
					left[name] = map[string]bool{}
				}
				left[name][s.Move.Source], movedAt[name] = true, w.now
				stated += s.Relief()
			}
			if r.Before-r.After != stated {
				t.Fatalf("%d is said of the fleet, and %d of the moves", r.Before-r.After, stated)
			}
			for _, s := range rapid.Permutation(r.Suggestions).Draw(t, "order") {
				w.moves(s)
			}
			// What the planner rounds: a thousandth for each host.
			if got := before - w.strainTwin(); got < float64(stated)*.95-3000*float64(len(r.Suggestions)) {
				t.Fatalf("strain fell by %v, and by %d was said: %+v", got, stated, r.Suggestions)
			}
			w.later(pause)
		}
	})
}

func TestWhatALookAsksAboutIsToldAhead(t *testing.T) {
	w := crowded(t)
	told, asked := map[string]bool{}, 0
	w.look(func(in *RebalanceInput) {
		of := in.Of
		in.Ahead = func(instances []string) {
			for _, name := range instances {
				told[name] = true
			}
		}
		in.Of = func(instance string) (MovingFigures, error) {
			if asked++; !told[instance] {
				t.Errorf("%s is asked about, and nobody was told", instance)
			}
			return of(instance)
		}
	})
	if asked == 0 {
		t.Error("nothing is asked about")
	}
}

// Nothing that is suggested takes room that something else that is suggested takes, or that only something else's leaving makes.
func TestSuggestionsFitTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.IntRange(2, 6).Draw(t, "hosts")
		w := newEvened(t, hosts)
		for n := range rapid.IntRange(4, 20).Draw(t, "instances") {
			w.runs(fmt.Sprintf("i%d", n), fmt.Sprintf("h%d", rapid.IntRange(0, max(0, hosts-2)).Draw(t, "host")), rapid.Int64Range(50, 2500).Draw(t, "cpu"), rapid.Int64Range(16<<20, 1<<30).Draw(t, "memory"))
		}
		r := w.look()
		seen, sources := map[string]bool{}, map[string]bool{}
		l := w.s.View().Ledger().Clone()
		for _, s := range r.Suggestions {
			if seen[s.Move.Instance] {
				t.Fatalf("%s is moved twice", s.Move.Instance)
			}
			seen[s.Move.Instance] = true
			sources[s.Move.Source] = true
			i, _ := w.s.View().Instance(s.Move.Instance)
			held, _ := w.s.View().Reservation(i.Reservation)
			if err := l.Apply(ledger.Change{Hold: []proto.Reservation{elsewhere(held, s.Move.Target)}}); err != nil { // with what leaves still there
				t.Fatalf("%s: %v", s.Why(), err)
			}
		}
		for _, s := range r.Suggestions {
			if sources[s.Move.Target] {
				t.Fatalf("%s is to go to a host that something is to leave", s.Move.Instance)
			}
		}
		if again := w.look(); !reflect.DeepEqual(again, r) {
			t.Fatalf("the same fleet at the same time: %+v, then %+v", r, again)
		}
	})
}

func crowded(t *testing.T) *evened {
	w := newEvened(t, 3)
	for n := range 4 {
		w.runs(fmt.Sprintf("i%d", n), "h0", 1500, 256<<20)
	}
	w.runs("j0", "h1", 1500, 256<<20)
	return w
}

func TestAFullHostIsRelievedAndSaysWhy(t *testing.T) {
	w := crowded(t)
	r := w.look()
	if len(r.Suggestions) == 0 || r.Suggestions[0].Move.Source != "h0" || r.Suggestions[0].Move.Target != "h2" || r.Before <= r.After || r.Hosts != 3 {
		t.Fatalf("%+v", r)
	}
	s := r.Suggestions[0]
	if s.Wins() != s.Scores-s.Stays-s.Cost || s.Cost < 1 || s.Strain[0].Host != "h0" || s.Strain[0].After >= s.Strain[0].Before || s.Strain[1].After <= s.Strain[1].Before {
		t.Errorf("%+v", s)
	}
	for _, say := range []string{"the strain of h0 falls from 0.", "h2 has the best score", "with what it holds today it scores 0."} {
		if text := strings.Join(s.Move.Reasons, "\n"); !strings.Contains(text, say) {
			t.Errorf("%q is not said: %s", say, text)
		}
	}
	if !strings.Contains(r.Says[0], "the strain of 3 hosts together would fall from 0.") {
		t.Errorf("%q", r.Says)
	}
	if one := w.look(func(in *RebalanceInput) { in.Moves = 1 }); len(one.Suggestions) != 1 || !reflect.DeepEqual(one.Suggestions[0], s) {
		t.Errorf("of one move: %+v", one.Suggestions)
	}
	none := w.look(func(in *RebalanceInput) { in.Margin = 1000 })
	if len(none.Suggestions) != 0 || none.Before != none.After || !strings.Contains(strings.Join(none.Says, "\n"), "instance i0 stays on h0: to h2, which is best for it, it scores 0.") {
		t.Errorf("%+v", none)
	}
	for _, in := range []RebalanceInput{{Moves: -1}, {Moves: MostSuggested + 1}, {Margin: -1}, {Margin: 1001}} {
		in.View, in.Now, in.Of = w.s.View(), w.now, w.of
		var no *Refusal
		if _, err := Rebalance(in); !errors.As(err, &no) || !no.Invalid {
			t.Errorf("%d moves that win by %d: %v", in.Moves, in.Margin, err)
		}
	}
}

func TestWhatRestsOrIsOnItsWayIsLeftAlone(t *testing.T) {
	from := func(r Rebalanced) (out []string) {
		for _, s := range r.Suggestions {
			out = append(out, s.Move.Instance+" from "+s.Move.Source)
		}
		return out
	}
	w := crowded(t)
	first := w.look().Suggestions[0]
	// A plan that is to begin keeps its hosts out of it, one that is suggested does not.
	p := proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanSuggested, Moves: []proto.Move{first.Move}}
	w.must(&proto.PlanPut{Plan: p})
	if got := from(w.look()); len(got) == 0 {
		t.Error("a suggestion stops others")
	}
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanSuggested, To: proto.PlanQueued})
	if r := w.look(); len(r.Suggestions) != 0 || !strings.Contains(strings.Join(r.Says, "\n"), "left alone, as a move goes on there or is about to: 2 of 3 hosts") {
		t.Errorf("%q, %q", from(r), r.Says)
	}
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanQueued, To: proto.PlanCancelled})
	// What can't be asked for stays.
	w.away[first.Move.Instance] = errors.New("its home does not answer")
	r := w.look()
	if !strings.Contains(strings.Join(r.Says, "\n"), "could not be asked what is expected of "+first.Move.Instance) {
		t.Errorf("%q", r.Says)
	}
	for _, s := range from(r) {
		if strings.HasPrefix(s, first.Move.Instance+" ") {
			t.Errorf("%s", s)
		}
	}
	delete(w.away, first.Move.Instance)
	// Nothing could begin where nobody answers.
	for _, s := range from(w.look(func(in *RebalanceInput) { in.Silent = map[string]timeline.Time{"h0": w.now - 1} })) {
		if strings.HasSuffix(s, " from h0") {
			t.Errorf("%s, which is silent", s)
		}
	}
	// A host that is being emptied gives its instances away by the plan of that.
	w.must(&proto.HostDrain{Host: "h0", To: proto.DrainGoesOn})
	for _, s := range from(w.look()) {
		if strings.HasSuffix(s, " from h0") {
			t.Errorf("%s, which is being emptied", s)
		}
	}
}

func TestWhatLeftForTheBalancesSakeDoesNotGoBack(t *testing.T) {
	w := crowded(t)
	s := w.look().Suggestions[0]
	w.moves(s)
	// Now it is the other way round: where it went is full, and where it was all but empty.
	for name := range w.demand {
		if i, _ := w.s.View().Instance(name); i.Owner == "h0" && name != s.Move.Instance {
			w.demand[name] = resource.Vector{resource.CPU: 50, resource.Memory: 64 << 20}
		}
	}
	for n, host := range []string{"h1", "h2"} {
		span := timeline.Span{Start: w.now, End: w.now.Add(30 * 24 * time.Hour)}
		w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
			ID: "held-" + host, Host: host, Class: proto.Standard, Purpose: proto.PurposeHold, Until: span.End,
			Envelope: proto.Envelope{{Span: span, Firm: resource.Vector{resource.CPU: 4500 - 100*int64(n)}}},
		}}})
	}
	back := func() bool {
		return slices.ContainsFunc(w.look().Suggestions, func(again Suggestion) bool {
			return again.Move.Instance == s.Move.Instance && again.Move.Target == s.Move.Source
		})
	}
	for range 10 {
		w.later(25 * time.Hour)
		if back() {
			t.Fatalf("%s goes back to %s at %s", s.Move.Instance, s.Move.Source, w.now)
		}
	}
	w.must(&proto.MigrationPrune{Before: w.now})
	if !back() {
		t.Error("it is not because it left that it does not go back")
	}
}

func TestInstancesThatAreKeptApartAreNotSuggestedToMeet(t *testing.T) {
	w := newEvened(t, 3)
	web := proto.Label{Key: "tier", Value: "web"}
	w.runs("a", "h0", 2000, 256<<20, web)
	w.runs("b", "h1", 2000, 256<<20, web)
	for n, host := range []string{"h0", "h0", "h1", "h1"} {
		w.runs(fmt.Sprintf("pad%d", n), host, 2400, 256<<20, proto.Label{Key: "pinned", Value: host})
	}
	to := map[string][]string{}
	for _, s := range w.look().Suggestions {
		if s.Move.Instance == "a" || s.Move.Instance == "b" {
			to[s.Move.Target] = append(to[s.Move.Target], s.Move.Instance)
		}
	}
	for host, names := range to {
		if len(names) > 1 {
			t.Errorf("%q are both suggested to go to %s", names, host)
		}
	}
}

func TestWhereHostsAreFilledOneAfterAnotherTheFullestIsRelievedAllTheSame(t *testing.T) {
	w := crowded(t)
	want := w.look()
	if len(want.Suggestions) == 0 {
		t.Fatal("nothing is suggested")
	}
	p := proto.DefaultPolicy()
	p.Fill = proto.FillPack
	w.must(&proto.PolicyPut{Policy: p})
	if got := w.look(); !reflect.DeepEqual(got.Suggestions, want.Suggestions) {
		t.Errorf("%+v, and where they are filled alike %+v", got.Suggestions, want.Suggestions)
	}
}

func TestOutsideTheWindowsMovesAreSuggestedForTheNextOne(t *testing.T) {
	w := crowded(t)
	p := proto.DefaultPolicy()
	opens := w.now.Floor(24 * time.Hour).Add(48 * time.Hour)
	p.Windows = []proto.MoveWindow{{Span: timeline.Span{Start: opens, End: opens.Add(2 * time.Hour)}}}
	w.must(&proto.PolicyPut{Policy: p})
	if w.now.Add(GridSteps*grid) <= opens {
		t.Fatal("the window is too far ahead to plan for")
	}
	s := w.look().Suggestions
	if len(s) == 0 || s[0].Move.Start != opens {
		t.Fatalf("%+v", s)
	}
}
