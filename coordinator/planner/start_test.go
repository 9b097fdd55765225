package planner

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// busy is a forecast of what is written and of CPU, in steps of the grid from begin on, half as much as likely.
func busy(writes, cpu []int64) proto.ForecastReply {
	start := begin.Floor(grid)
	var high timeline.Profile
	for i := range GridSteps {
		at := start.Add(time.Duration(i) * grid)
		v := resource.Vector{resource.CPU: 100, resource.Memory: 64 << 20, resource.WriteBytes: 1 << 20, resource.NetTx: mbit}
		if i < len(writes) {
			v[resource.WriteBytes] = writes[i]
		}
		if i < len(cpu) {
			v[resource.CPU] = cpu[i]
		}
		high = append(high, timeline.Step{Span: timeline.Span{Start: at, End: at.Add(grid)}, Amount: v})
	}
	half := high.Map(func(v resource.Vector) resource.Vector { return v.Scale(1, 2) })
	return proto.ForecastReply{
		Instance: "cache-1", Start: start, Step: grid.Milliseconds(), Quantiles: []int{500, 950, 990},
		Profiles: []timeline.Profile{half.Join(), high.Join(), high.Join()}, Reasons: []string{"drawn"},
	}
}

// repeat returns n times v.
func repeat(n int, v int64) []int64 { return slices.Repeat([]int64{v}, n) }

func (w *world) timed(r Request, f proto.ForecastReply, data int64) (Result, error) {
	r.Instance, r.Target, r.Type = "cache-1", "host-b", "m.large"
	return Make(Input{Request: r, View: w.state.View(), Now: begin, Forecast: f, Data: data, Costs: DefaultCosts()})
}

func TestTheBestStartIsThatOfTheSearchOverAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		const hours = 3
		draw := func(name string, most int64) []int64 {
			var out []int64
			for len(out) < hours*12+6 {
				out = append(out, repeat(rapid.IntRange(1, 12).Draw(t, name), rapid.Int64Range(0, most).Draw(t, "amount"))...)
			}
			return out
		}
		f := busy(draw("writes", 30<<20), draw("cpu", 900))
		var reduced timeline.Profile
		at := begin.Floor(grid)
		for range rapid.IntRange(0, 4).Draw(t, "reductions") {
			end := at.Add(grid * time.Duration(rapid.IntRange(1, 20).Draw(t, "steps")))
			reduced = append(reduced, timeline.Step{Span: timeline.Span{Start: at, End: end}, Amount: resource.Vector{
				resource.CPU: rapid.Int64Range(0, 1900).Draw(t, "cpu"), resource.NetRx: mbit * rapid.Int64Range(0, 990).Draw(t, "link"),
			}})
			at = end
		}
		w.must(&proto.HostSet{Host: "host-b", Reduced: reduced})
		r := Request{Best: true, Before: begin.Add(time.Duration(rapid.IntRange(5, hours*60).Draw(t, "minutes")) * time.Minute)}
		r.LeastGain = rapid.SampledFrom([]int64{0, DefaultLeastGain, 300}).Draw(t, "gain")
		if rapid.Bool().Draw(t, "windows") {
			from := rapid.IntRange(0, hours*60).Draw(t, "from")
			w := timeline.Span{Start: begin.Add(time.Duration(from) * time.Minute)}
			w.End = w.Start.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "long")) * time.Minute)
			r.Windows = []proto.MoveWindow{{Span: w, Forbid: rapid.Bool().Draw(t, "forbid")}}
		}
		data := rapid.Int64Range(0, 4<<30).Draw(t, "data")
		got, err := w.timed(r, f, data)

		// All starts one by one, in full.
		r.Instance, r.Target, r.Type = "cache-1", "host-b", "m.large"
		p, no := prepare(Input{Request: r, View: w.state.View(), Now: begin, Forecast: f, Data: data, Costs: DefaultCosts()})
		if no != nil {
			t.Fatal(no)
		}
		host, _ := w.state.View().Host("host-b")
		starts := []timeline.Time{begin}
		for at := begin.Floor(grid).Add(grid); at < r.Before; at = at.Add(grid) {
			starts = append(starts, at)
		}
		for _, win := range p.open() {
			if win.Start > begin && win.Start < r.Before && !slices.Contains(starts, win.Start) {
				starts = append(starts, win.Start)
			}
		}
		slices.Sort(starts)
		var fit []moment
		sure := false
		for _, at := range starts {
			m := p.moment(p.way(host), at)
			for late, keeps := range map[bool]*bool{false: &m.in, true: &m.sure} {
				end := m.served(late)
				*keeps = end <= r.Before
				for i, win := range r.Windows {
					span := timeline.Span{Start: at, End: end}
					*keeps = *keeps && (r.Windows[i].Forbid != (win.Span.Intersect(span) == span)) && (!win.Forbid || !win.Span.Overlaps(span))
				}
			}
			if m.in && w.state.View().Ledger().Fits(p.change(p.to(host, at))) == nil {
				fit = append(fit, m)
				sure = sure || m.sure
			}
		}
		if len(fit) == 0 {
			if err == nil {
				t.Fatalf("it begins at %s, and no start fits", got.Plan.Start)
			}
			return
		}
		if err != nil {
			t.Fatalf("%s; it fits at %s", err, fit[0].start)
		}
		if sure {
			fit = slices.DeleteFunc(fit, func(m moment) bool { return !m.sure })
		}
		want := slices.MinFunc(fit, func(a, b moment) int { return int(a.cost - b.cost) })
		if now := fit[0]; now.start == begin && now.sure == want.sure && now.cost-want.cost < now.cost*r.LeastGain/1000 {
			want = now
		}
		if got.Plan.Start != want.start {
			t.Fatalf("it begins at %s, want %s for %d", got.Plan.Start, want.start, want.cost)
		}
		if warned := strings.Contains(strings.Join(got.Plan.Warnings, "\n"), "in 1 of 20 cases"); warned == want.sure {
			t.Errorf("it keeps its time for sure: %v, and the warnings are %q", want.sure, got.Plan.Warnings)
		}
		kept := slices.IndexFunc(got.Plan.Starts, func(s proto.StartWeighed) bool { return s.Start == want.start })
		if kept < 0 || got.Plan.Starts[kept].Reason != "" || got.Plan.Starts[0].Start != begin || len(got.Plan.Starts) > mostStarts {
			t.Errorf("the starts that are kept: %+v", got.Plan.Starts)
		}
	})
}

// TestAStartIsFoundBehindWhatIsInTheWayForLong has a host that is full for longer than starts are tried one after the other, and starts there that cost less.
func TestAStartIsFoundBehindWhatIsInTheWayForLong(t *testing.T) {
	w := newWorld(t)
	w.respec(func(s *proto.InstanceSpec) { s.Class = proto.Standard }) // most of whose demand is pooled: what is firm of it would fit at once
	free := begin.Floor(grid).Add(20 * time.Hour)
	w.must(&proto.HostSet{Host: "host-b", Reduced: timeline.Flat(timeline.Span{Start: begin.Floor(grid), End: free}, resource.Vector{resource.CPU: 1900})})
	f := busy(slices.Concat(repeat(20*12, 0), repeat(28*12, 40<<20)), repeat(GridSteps, 900)) // to move later costs more
	got, err := w.timed(Request{Best: true}, f, 2<<30)
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Plan.Start; s < free.Add(-time.Hour) || s > free.Add(4*time.Hour) {
		t.Errorf("it begins at %s, want soon after %s", s, free)
	}
	if why := got.Plan.Reasons[0]; !strings.Contains(why, "at which it does not fit: host-b is short of cpu") {
		t.Errorf("%q", why)
	}
}

// TestTheBestStartMayBeWhenAHostIsBack has a host that is not there for an hour, and one that is not there for as long as starts are looked for.
func TestTheBestStartMayBeWhenAHostIsBack(t *testing.T) {
	for _, c := range []struct{ end, before time.Duration }{{3 * time.Hour, 0}, {3 * time.Hour, 2 * time.Hour}, {72 * time.Hour, 0}} {
		w := newWorld(t)
		away := timeline.Span{Start: begin.Floor(grid).Add(2 * time.Hour), End: begin.Floor(grid).Add(c.end)}
		w.must(&proto.HostWindow{Host: "host-b", Put: &proto.CapacityWindow{ID: "w", Span: away, Whole: true}})
		r := Request{Best: true}
		if c.before != 0 {
			r.Before = begin.Add(c.before)
		}
		got, err := w.timed(r, busy(nil, nil), 60<<20)
		var no *Refusal
		switch back := c.end < 48*time.Hour && c.before == 0; {
		case back && err != nil:
			t.Errorf("away in %s: %s", away, err)
		case back && got.Plan.Start.Add(time.Minute) < away.End:
			t.Errorf("it begins at %s, and the host is away in %s", got.Plan.Start, away)
		case !back && (!errors.As(err, &no) || no.Considered[0].Violates != "leaving"):
			t.Errorf("away in %s: %v, %+v", away, err, got.Plan.Start)
		}
	}
}

func TestAMoveGoesAroundWhatIsWrittenInACampaign(t *testing.T) {
	w := newWorld(t)
	// Much is written now and for half an hour, and in a campaign from two hours on that lasts three.
	writes := slices.Concat(repeat(6, 40<<20), repeat(18, 1<<20), repeat(36, 40<<20))
	f := busy(writes, slices.Concat(repeat(6, 900), repeat(18, 100), repeat(36, 900)))
	for before, window := range map[time.Duration]timeline.Span{
		2 * time.Hour: {Start: begin.Add(30 * time.Minute), End: begin.Add(2 * time.Hour)},
		0:             {Start: begin.Add(30 * time.Minute), End: begin.Add(2 * time.Hour)},
	} {
		r := Request{Best: true, LeastGain: DefaultLeastGain}
		if before != 0 {
			r.Before = begin.Add(before)
		}
		got, err := w.timed(r, f, 2<<30)
		if err != nil {
			t.Fatal(err)
		}
		if s := got.Plan.Start; s < window.Start.Floor(grid) || got.Plan.Phases[3].End > window.End {
			t.Errorf("it begins at %s and is over at %s, want in %s", s, got.Plan.Phases[3].End, window)
		}
		now, err := w.timed(Request{}, f, 2<<30)
		if err != nil {
			t.Fatal(err)
		}
		if got.Plan.Bytes >= now.Plan.Bytes || got.Plan.Downtime >= now.Plan.Downtime {
			t.Errorf("%d bytes and %d ms of downtime; now it would be %d and %d", got.Plan.Bytes, got.Plan.Downtime, now.Plan.Bytes, now.Plan.Downtime)
		}
		if text := strings.Join(got.Plan.Reasons, "\n"); !strings.Contains(text, "costs least") || !strings.Contains(text, "less") {
			t.Errorf("reasons %q", text)
		}
	}
	// In the middle of the campaign the time after it is best.
	late := Request{Best: true, Windows: []proto.MoveWindow{{Span: timeline.Span{Start: begin.Add(3 * time.Hour), End: begin.Add(24 * time.Hour)}}}}
	if got, err := w.timed(late, f, 2<<30); err != nil || got.Plan.Start < begin.Add(5*time.Hour).Floor(grid) {
		t.Errorf("it begins at %s: %v", got.Plan.Start, err)
	}
}

func TestALaterStartThatGainsLittleIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	f := busy(slices.Concat(repeat(12, 3<<20)), nil)
	r := Request{Best: true}
	eager, err := w.timed(r, f, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	r.LeastGain = 500
	patient, err := w.timed(r, f, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if eager.Plan.Start == begin || patient.Plan.Start != begin {
		t.Errorf("without a least gain it begins at %s, with one at %s", eager.Plan.Start, patient.Plan.Start)
	}
	if text := strings.Join(patient.Plan.Reasons, "\n"); !strings.Contains(text, "all but as good") || !strings.Contains(text, "50.0 % less") {
		t.Errorf("reasons %q", text)
	}
}

func TestAStartWaitsForRoomOnTheHost(t *testing.T) {
	w := newWorld(t)
	full := timeline.Span{Start: begin.Floor(grid), End: begin.Add(time.Hour).Ceil(grid)}
	w.must(&proto.HostSet{Host: "host-b", Reduced: timeline.Flat(full, resource.Vector{resource.Memory: 4 << 30})})
	got, err := w.timed(Request{Best: true}, forecast(700), 60<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got.Plan.Start < full.End-timeline.Time(grid.Milliseconds()) || !strings.Contains(strings.Join(got.Plan.Reasons, " "), "does not fit") {
		t.Errorf("it begins at %s: %q", got.Plan.Start, got.Plan.Reasons)
	}
	if r := w.apply(&proto.MigrationStart{ID: "m1", Plan: got.Plan, Reservation: got.Reservation, Extra: got.Extra}); !r.OK() {
		t.Error(r.Message)
	}
	// Where it is full for good, that is the reason.
	w = newWorld(t)
	w.must(&proto.HostRegister{Facts: facts("host-b", 10), Incarnation: w.state.View().Fleet().Incarnation})
	var no *Refusal
	if _, err := w.timed(Request{Best: true}, forecast(700), 60<<20); !errors.As(err, &no) || no.Considered[0].Shortfall == nil {
		t.Errorf("%v", err)
	}
}

func TestADeadlineThatCantBeKeptIsRefusedOrSaid(t *testing.T) {
	w := newWorld(t)
	f := busy(repeat(GridSteps, 10<<20), nil)
	plain, err := w.timed(Request{}, f, 4<<30)
	if err != nil {
		t.Fatal(err)
	}
	likely, high := plain.Plan.Figures.Duration.Median, plain.Plan.Figures.Duration.High
	if likely >= high {
		t.Fatalf("a band of %d to %d ms", likely, high)
	}
	within := func(ms int64) timeline.Time { return begin + timeline.Time(ms) }
	for _, best := range []bool{false, true} {
		for _, c := range []struct {
			before           timeline.Time
			refused, warning string
		}{
			{within(likely - 1000), "1s after", ""},
			{within((likely + high) / 2), "", "in 1 of 20 cases it takes until " + within(high).String()},
			{within(high), "", ""},
		} {
			r, err := w.timed(Request{Best: best, Before: c.before}, f, 4<<30)
			var no *Refusal
			if c.refused != "" {
				if !errors.As(err, &no) || !strings.Contains(no.Reason, c.refused) {
					t.Errorf("before %s: %v, want %q", c.before, err, c.refused)
				}
				continue
			}
			if text := strings.Join(r.Plan.Warnings, "\n"); err != nil || strings.Contains(text, "1 of 20") != (c.warning != "") || !strings.Contains(text, c.warning) {
				t.Errorf("before %s: %v, warnings %q, want %q", c.before, err, text, c.warning)
			}
		}
	}
}

func TestAMoveKeepsToItsWindows(t *testing.T) {
	w := newWorld(t)
	policy := proto.DefaultPolicy()
	later := timeline.Span{Start: begin.Add(90 * time.Minute), End: begin.Add(3 * time.Hour)}
	policy.Windows = []proto.MoveWindow{{Span: later}}
	w.must(&proto.PolicyPut{Policy: policy})
	got, err := w.timed(Request{Best: true}, forecast(700), 60<<20)
	if err != nil || got.Plan.Start < later.Start || got.Plan.Phases[3].End > later.End {
		t.Errorf("it begins at %s, in a window from %s: %v", got.Plan.Start, later.Start, err)
	}
	if _, err := w.timed(Request{}, forecast(700), 60<<20); err != nil {
		t.Errorf("the policy's windows are for what is planned ahead: %v", err)
	}
	var no *Refusal
	if _, err := w.timed(Request{At: begin.Add(time.Hour)}, forecast(700), 60<<20); !errors.As(err, &no) || !strings.Contains(no.Reason, "the next one is "+later.String()) {
		t.Errorf("%v", err)
	}
	if got, err := w.timed(Request{At: begin.Add(2 * time.Hour)}, forecast(700), 60<<20); err != nil || got.Plan.Start != begin.Add(2*time.Hour) {
		t.Errorf("%v: it begins at %s", err, got.Plan.Start)
	}
	short := []proto.MoveWindow{{Span: timeline.Span{Start: later.Start, End: later.Start.Add(time.Minute)}}}
	if _, err := w.timed(Request{Best: true, Windows: short}, forecast(700), 60<<20); !errors.As(err, &no) || !strings.Contains(no.Reason, "may not go on from "+short[0].Span.End.String()) {
		t.Errorf("%v", err)
	}
	mine := []proto.MoveWindow{{Forbid: true, Span: timeline.Span{Start: later.Start, End: later.End}}}
	if _, err := w.timed(Request{Best: true, Windows: mine}, forecast(700), 60<<20); !errors.As(err, &no) || !strings.Contains(no.Reason, "no time for it follows") {
		t.Errorf("%v", err)
	}
}

func TestStartsThatCantBePlannedAreRefused(t *testing.T) {
	w := newWorld(t)
	for want, r := range map[string]Request{
		"is past":               {At: begin - 1},
		"one of the two":        {At: begin, Best: true},
		"further ahead":         {At: begin.Add(49 * time.Hour)},
		"no later than its":     {Before: begin},
		"than its start, 2027":  {At: begin.Add(time.Hour), Before: begin.Add(time.Hour)},
		"use 0 to 1000":         {Best: true, LeastGain: 1001},
		"probation of -1":       {Probation: -1},
		"window 1 is from minu": {Windows: []proto.MoveWindow{{From: 2000}}},
	} {
		var no *Refusal
		if _, err := w.timed(r, forecast(700), 60<<20); !errors.As(err, &no) || !strings.Contains(no.Reason, want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
}

func TestProbationIsAsLongAsThePlanSays(t *testing.T) {
	w := newWorld(t)
	for asked, want := range map[int64]time.Duration{0: 10 * time.Minute, 1: time.Second, 3_600_000: time.Hour} {
		r, err := w.timed(Request{Probation: asked}, forecast(700), 60<<20)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Plan.Phases[4].Length(); got != want || r.Plan.Probation != asked || r.Reservation.Until < r.Plan.Phases[4].End {
			t.Errorf("asked for %d ms, it is %s, and held until %s", asked, got, r.Reservation.Until)
		}
	}
}
