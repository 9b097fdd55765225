package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// tilted is a fleet whose instances are all on host-a.
type tilted struct {
	*planned
	looks  int
	deaf   error // why the fleet can't be looked at
	losing int   // answers that are lost, although what they answer is committed

	slow         time.Duration // that it takes to ask what a move is planned by
	asking, most int           // how often that is asked for at once, now and at most
}

func newTilted(t *testing.T, p *proto.Rebalance) *tilted {
	w := &tilted{planned: newPlanned(t)}
	w.adopt("j")
	w.policy(p)
	return w
}

func (w *tilted) policy(p *proto.Rebalance) {
	w.t.Helper()
	policy := w.s.View().Fleet().Policy
	policy.Rebalance = p
	w.must(&proto.PolicyPut{Policy: policy})
}

// leads leads for a while, as a leader that knows nothing but the tables. With plans it begins the moves of plans, too.
func (w *tilted) leads(d time.Duration, plans bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var mu sync.Mutex // as the tables have one
	view := func() *state.View {
		mu.Lock()
		defer mu.Unlock()
		return w.s.View()
	}
	ask := func(context.Context, string) (planner.Input, error) {
		mu.Lock()
		w.asking++
		w.most = max(w.most, w.asking)
		mu.Unlock()
		time.Sleep(w.slow)
		mu.Lock()
		w.asking--
		mu.Unlock()
		return planner.Input{Now: timeline.Of(time.Now()), Data: 60 << 20, Costs: planner.DefaultCosts()}, w.away
	}
	propose := func(_ context.Context, id string, body proto.Body) (proto.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		w.asked = append(w.asked, body)
		r := w.apply(id, body)
		if w.losing > 0 {
			w.losing--
			return proto.Result{}, errors.New("no answer")
		}
		return r, nil
	}
	r := &Rebalance{
		View: view, Own: view, Ask: ask, Propose: propose, Rate: planner.DefaultCosts().Rate, Log: slog.New(slog.DiscardHandler),
		Look: func(_ context.Context, in planner.RebalanceInput) (planner.Rebalanced, error) {
			w.looks++
			if w.deaf != nil {
				return planner.Rebalanced{}, w.deaf
			}
			in.View, in.Costs = view(), planner.DefaultCosts()
			in.Of = func(string) (planner.MovingFigures, error) { return planner.MovingFigures{Data: 60 << 20}, nil }
			return planner.Rebalance(in)
		},
	}
	loops := []func(context.Context) error{r.Run}
	if plans {
		loops = append(loops, (&Plans{View: view, Own: view, Ask: ask, Propose: propose, Rate: r.Rate, Log: r.Log, NewID: func() string {
			mu.Lock()
			defer mu.Unlock()
			w.n++
			return fmt.Sprint("m", w.n)
		}}).Run)
	}
	var all sync.WaitGroup
	for _, run := range loops {
		all.Go(func() {
			for run(ctx) != nil { // it is begun again
				time.Sleep(time.Second)
			}
		})
	}
	time.Sleep(d)
	synctest.Wait()
	cancel()
	all.Wait()
}

func (w *tilted) balances(d time.Duration) {
	w.t.Helper()
	w.leads(d, false)
}

func (w *tilted) carries(d time.Duration) {
	w.t.Helper()
	w.leads(d, true)
}

func (w *tilted) suggestions(status proto.PlanStatus) (out []proto.StoredPlan) {
	for p := range w.s.View().Plans() {
		if p.Kind == proto.PlanRebalance && p.Status == status {
			out = append(out, p)
		}
	}
	return out
}

func (w *tilted) notice() (proto.Notice, bool) {
	n, ok := w.s.View().Notice(proto.NoticeID(proto.NoticeRebalance, "fleet"))
	return n, ok && n.ClearedAt == 0
}

func TestNothingIsSuggestedUnlessThePolicySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range []*proto.Rebalance{nil, {LeastGain: 10}, {Execute: true, MovesDay: 4}} {
			w := newTilted(t, p)
			w.balances(3 * time.Hour)
			if w.looks != 0 || len(w.asked) != 0 {
				t.Errorf("%+v: looked %d times, asked for %v", p, w.looks, w.asked)
			}
		}
	})
}

func TestMovesAreSuggestedOnScheduleOnceWhoeverLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTilted(t, &proto.Rebalance{Every: time.Hour.Milliseconds()})
		w.deaf = errors.New("no home answers")
		w.balances(30 * time.Second)
		if w.looks != 1 || len(w.asked) != 0 {
			t.Fatalf("looked %d times, asked for %v", w.looks, w.asked)
		}
		w.deaf = nil
		w.losing = 1 // the leader does not learn that its suggestion is stored
		w.balances(2 * time.Minute)
		all := w.suggestions(proto.PlanSuggested)
		if len(all) != 1 || all[0].Moves[0].Source != "host-a" || len(all[0].Moves[0].Holds) != 0 {
			t.Fatalf("%+v", all)
		}
		n, told := w.notice()
		if !told || n.Plan != all[0].ID || !strings.Contains(n.Says, all[0].Reason) || !strings.Contains(n.Proposes, "glidepath plan begin "+all[0].ID) {
			t.Errorf("%v %+v", told, n)
		}
		looks, asked := w.looks, len(w.asked)
		for range 5 { // leaders come and go
			w.balances(time.Minute)
		}
		w.balances(4 * time.Hour)
		if w.looks < looks+4+1 || w.looks > looks+5+5 {
			t.Errorf("looked %d times in four hours with six leaders", w.looks-looks)
		}
		if len(w.asked) != asked {
			t.Errorf("what is suggested is suggested again: %v", w.asked[asked:])
		}
		if got := w.migrations(); len(got) != 0 {
			t.Fatalf("carried out without the policy's word: %q", got)
		}
		// What would do no good any more is dropped, and so is its notice.
		w.must(&proto.HostSet{Host: all[0].Moves[0].Target, Cordoned: true})
		w.balances(30 * time.Second)
		if p := w.stored(all[0].ID); p.Status != proto.PlanStale || !strings.Contains(p.Reason, "takes nothing any more") {
			t.Errorf("%s: %s", p.Status, p.Reason)
		}
	})
}

func TestASuggestionThatNobodyLooksAtAgainLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTilted(t, &proto.Rebalance{Every: time.Hour.Milliseconds()})
		w.balances(time.Minute)
		id := w.suggestions(proto.PlanSuggested)[0].ID
		w.policy(nil)
		w.balances(planner.SuggestionLasts - 2*time.Minute)
		if p := w.stored(id); p.Status != proto.PlanSuggested {
			t.Fatalf("%s: %s", p.Status, p.Reason)
		}
		w.balances(5 * time.Minute)
		p := w.stored(id)
		if _, told := w.notice(); p.Status != proto.PlanStale || told {
			t.Fatalf("%s: %s, told: %v", p.Status, p.Reason, told)
		}
	})
}

func TestWhatThePolicySaysIsCarriedOutAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTilted(t, &proto.Rebalance{Every: time.Hour.Milliseconds(), Execute: true, MovesDay: 1})
		for _, host := range []string{"host-d", "host-e"} {
			w.must(&proto.HostRegister{Incarnation: 1, Facts: hostOf(host, 4*room)})
		}
		w.carries(30 * time.Second)
		w.carries(30 * time.Second) // another leader
		first := w.migrations()
		if len(first) != 1 {
			t.Fatalf("%q", first)
		}
		running := w.suggestions(proto.PlanRunning)
		if len(running) != 1 || w.holds(running[0].ID) != 0 {
			t.Fatalf("%+v", running)
		}
		w.end(proto.OutcomeCompleted)
		// What is left is only suggested for the rest of the day, however often it is looked.
		for range 2 {
			w.balances(8 * time.Hour)
			w.carries(time.Minute)
		}
		if got := w.migrations(); len(got) != 1 {
			t.Fatalf("more than a move a day: %q", got)
		}
		if done := w.stored(running[0].ID); done.Status != proto.PlanDone {
			t.Errorf("%s: %s", done.Status, done.Reason)
		}
		for range 2 {
			w.balances(25 * time.Hour)
			w.carries(time.Minute)
			w.end(proto.OutcomeCompleted)
		}
		var moved []string
		for m := range w.s.View().Migrations() {
			moved = append(moved, m.Instance)
		}
		slices.Sort(moved)
		if len(moved) != 2 || len(moved) != len(slices.Compact(slices.Clone(moved))) {
			t.Errorf("on a fleet in which nothing else changes an instance moves again: %q", w.migrations())
		}
	})
}

func TestMovesThatAreCarriedOutAreAskedForAtOnceAndNoMoreThanMayBegin(t *testing.T) {
	for moves, most := range map[int]int{1: 1, 4: 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newTilted(t, &proto.Rebalance{Every: time.Hour.Milliseconds(), Execute: true, MovesDay: moves})
			for _, host := range []string{"host-d", "host-e"} {
				w.must(&proto.HostRegister{Incarnation: 1, Facts: hostOf(host, 4*room)})
			}
			w.slow = 8 * time.Second
			w.balances(10 * time.Second)
			if got := len(w.suggestions(proto.PlanQueued)); got != most || w.most != most || w.asking != 0 {
				t.Errorf("%d a day: %d are to be carried out, asked for %d at once, %d of them left behind", moves, got, w.most, w.asking)
			}
		})
	}
}

func TestWhatIsNotToBeCarriedOutAnyMoreIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTilted(t, &proto.Rebalance{Every: time.Hour.Milliseconds(), Execute: true, MovesDay: 4})
		p := w.s.View().Fleet().Policy
		opens := timeline.Of(time.Now()).Floor(time.Hour).Add(10 * time.Hour)
		p.Windows = []proto.MoveWindow{{Span: timeline.Span{Start: opens, End: opens.Add(4 * time.Hour)}}}
		w.must(&proto.PolicyPut{Policy: p})
		w.balances(time.Minute)
		all := w.suggestions(proto.PlanScheduled)
		if len(all) != 1 || all[0].Moves[0].Start != opens || w.holds(all[0].ID) == 0 || all[0].Reason != byPolicy {
			t.Fatalf("%+v", all)
		}
		w.balances(5 * time.Hour)
		if again := w.suggestions(proto.PlanScheduled); len(again) != 1 || again[0].ID != all[0].ID {
			t.Fatalf("%+v", again)
		}
		w.policy(&proto.Rebalance{Every: time.Hour.Milliseconds()})
		w.balances(time.Minute)
		if p := w.stored(all[0].ID); p.Status != proto.PlanCancelled || w.holds(p.ID) != 0 {
			t.Errorf("%s: %s, %d holds", p.Status, p.Reason, w.holds(p.ID))
		}
		// What an operator has let begin is not for the policy to take back.
		w.balances(time.Hour)
		mine := w.suggestions(proto.PlanSuggested)
		if len(mine) != 1 {
			t.Fatalf("%+v", mine)
		}
		w.must(&proto.PlanChange{ID: mine[0].ID, From: proto.PlanSuggested, To: proto.PlanQueued})
		w.balances(time.Hour)
		if p := w.stored(mine[0].ID); p.Status != proto.PlanQueued {
			t.Errorf("%s: %s", p.Status, p.Reason)
		}
		w.carries(time.Minute)
		if got := w.migrations(); len(got) != 0 {
			t.Errorf("begun before its time: %q", got)
		}
		w.balances(time.Until(opens.Std()))
		w.carries(time.Minute)
		if got := w.migrations(); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}
