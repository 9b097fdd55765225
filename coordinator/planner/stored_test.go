package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestAMoveIsMootOnceItCanNotBeginAsItIs(t *testing.T) {
	w := crowd(t, 3, proto.DefaultPolicy())
	move := func(change func(*proto.Move)) proto.Move {
		m := to(proto.Standard, 0, 1)
		m.FromType, m.ToType, m.Start, m.Figures.Duration.High = "m.small", "m.small", begin, time.Minute.Milliseconds()
		change(&m)
		return m
	}
	ended := func(o proto.Outcome) proto.Move {
		return move(func(m *proto.Move) { m.Instance, m.Migration, m.Outcome = "standard-2", "m1", o })
	}
	behind := move(func(m *proto.Move) { m.After, m.Source = []int{0}, "h2" }) // it is not where it will be
	day := func(p *proto.StoredPlan, from, end time.Duration) {
		p.Windows = []proto.MoveWindow{{Span: timeline.Span{Start: begin.Add(from), End: begin.Add(end)}}}
	}
	for name, c := range map[string]struct {
		moves []proto.Move
		plan  func(*proto.StoredPlan)
		says  string // "": it may begin
	}{
		"as it was":           {[]proto.Move{move(func(*proto.Move) {})}, nil, ""},
		"to another type":     {[]proto.Move{move(func(m *proto.Move) { m.ToType = "m.large" })}, nil, ""},
		"its instance gone":   {[]proto.Move{move(func(m *proto.Move) { m.Instance = "x" })}, nil, "no instance x any more"},
		"where it was to go":  {[]proto.Move{move(func(m *proto.Move) { m.Source, m.Target = "h1", "h0" })}, nil, "is on h0 already"},
		"somewhere else":      {[]proto.Move{move(func(m *proto.Move) { m.Source = "h2" })}, nil, "is on h0, and on h2 no more"},
		"of another type":     {[]proto.Move{move(func(m *proto.Move) { m.FromType = "m.large" })}, nil, "of type m.small, and of m.large no more"},
		"too late":            {[]proto.Move{move(func(*proto.Move) {})}, func(p *proto.StoredPlan) { p.Deadline = begin }, "had to be over by"},
		"in time":             {[]proto.Move{move(func(*proto.Move) {})}, func(p *proto.StoredPlan) { p.Deadline = begin + 1 }, ""},
		"its window closed":   {[]proto.Move{move(func(*proto.Move) {})}, func(p *proto.StoredPlan) { day(p, -time.Hour, 30*time.Second) }, "no window that is to come"},
		"its window to come":  {[]proto.Move{move(func(*proto.Move) {})}, func(p *proto.StoredPlan) { day(p, time.Hour, 2*time.Hour) }, ""},
		"over before it":      {[]proto.Move{move(func(m *proto.Move) { m.Start = begin.Add(3 * time.Hour) })}, func(p *proto.StoredPlan) { day(p, time.Hour, 2*time.Hour) }, "no window that is to come"},
		"another goes first":  {[]proto.Move{ended(proto.OutcomeNone), behind}, nil, ""},
		"and did not":         {[]proto.Move{ended(proto.OutcomeAborted), behind}, nil, "migration m1, which had to come first, was aborted"},
		"and did":             {[]proto.Move{ended(proto.OutcomeCompleted), behind}, nil, "is on h0, and on h2 no more"},
		"from where it rests": {[]proto.Move{move(func(m *proto.Move) { m.Migration, m.Parked = "m1", true }), move(func(m *proto.Move) { m.Source, m.Target = "h1", "h2" })}, nil, ""},
	} {
		p := stored("p", begin, c.moves...)
		if c.plan != nil {
			c.plan(&p)
		}
		got := Moot(p, len(p.Moves)-1, w.state.View(), begin)
		if c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q, not %q", name, got, c.says)
		}
	}
}

// TestAPlanIsStoredWithWhatItsMigrationWillHold takes a plan through the tables, and back out of them.
func TestAPlanIsStoredWithWhatItsMigrationWillHold(t *testing.T) {
	w := crowd(t, 3, proto.DefaultPolicy())
	request := Request{Instance: "standard-0", Target: "h2", At: begin.Add(2 * time.Hour), Before: begin.Add(6 * time.Hour), Probation: 60_000}
	in := Input{Request: request, View: w.state.View(), Now: begin, Data: 60 << 20, Costs: DefaultCosts()}
	r, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	p := stored("p", 0, r.Move(false))
	p.Deadline = request.Before
	hold := r.Holds("p", 0, &p.Moves[0])
	w.must(&proto.PlanPut{Plan: p, Hold: hold})
	if len(hold) != 3 || len(p.Moves[0].Holds) != 3 || !slices.IsSorted(p.Moves[0].Holds) {
		t.Fatalf("%d reservations, named %q", len(hold), p.Moves[0].Holds)
	}
	again := Again(p, p.Moves[0])
	again.At = request.At
	if diff := cmp.Diff(request, Request{Instance: again.Instance, Target: again.Target, At: again.At, Before: again.Before, Probation: again.Probation}); diff != "" || again.Type != "m.small" {
		t.Errorf("%s, type %s", diff, again.Type)
	}
	// Without what it holds, there is as much room for it as there was.
	without, err := w.state.View().Letting(append(p.Moves[0].Holds, "gone")...)
	if err != nil {
		t.Fatal(err)
	}
	in.View = without
	same, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, same); diff != "" {
		t.Error(diff)
	}
	if _, held := w.state.View().Ledger().Reservation(p.Moves[0].Holds[0]); !held {
		t.Error("the tables have lost what was only thought away")
	}
	kept := p.Kept(0)
	if kept.Instance != "standard-0" || kept.Start != request.At || kept.Duration != r.Plan.Duration || kept.Bytes != r.Plan.Bytes || !slices.Equal(kept.Reasons, r.Plan.Reasons) || kept.Stored != "p" {
		t.Errorf("%+v", kept)
	}
}
