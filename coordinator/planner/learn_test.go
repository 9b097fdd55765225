package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestReportSetsWhatHappenedBesideThePlan(t *testing.T) {
	span := func(a, b timeline.Time) timeline.Span { return timeline.Span{Start: a, End: b} }
	done := func(k proto.OperationKind, host string, from, to timeline.Time, r *proto.RoundResult) proto.OperationRecord {
		return proto.OperationRecord{Kind: k, Host: host, SentAt: from, EndedAt: to, Result: &proto.OperationResult{Round: r}}
	}
	failed := done(proto.OpSyncRound, "a", 1500, 1600, &proto.RoundResult{Bytes: 1000})
	failed.Result.Error = &proto.Fault{}
	m := proto.Migration{
		Source: "a", Target: "b", CreatedAt: 1000,
		Plan: proto.Plan{Duration: 9000, Downtime: 1500, Bytes: 70, Rounds: 2, Phases: []proto.PlanPhase{{Phase: proto.PhaseCopy, Span: span(1100, 4000)}}},
		Phases: []proto.PhaseEntry{
			{Phase: proto.PhasePrepare, At: 1000}, {Phase: proto.PhaseCopy, At: 1400}, {Phase: proto.PhaseSwitch, At: 5000},
			{Phase: proto.PhaseWarm, At: 7000}, {Phase: proto.PhaseSettle, At: 12000},
		},
		Operations: []proto.OperationRecord{
			failed, done(proto.OpSyncRound, "a", 1700, 4000, &proto.RoundResult{Bytes: 60}), done(proto.OpSyncRound, "a", 4000, 5000, &proto.RoundResult{Bytes: 5}),
			done(proto.OpFreeze, "a", 5010, 5300, nil), done(proto.OpFinalSync, "a", 5310, 5500, &proto.RoundResult{Bytes: 1}), done(proto.OpConfirm, "b", 7010, 7200, nil),
		},
	}
	want := Actuals{
		Duration: 11000, Downtime: 2190, Bytes: 66, Rounds: 2, Predicted: Predicted{9000, 1500, 70, 2},
		Phases: []PhaseFigures{
			{proto.PhasePrepare, span(1000, 1400), timeline.Span{}}, {proto.PhaseCopy, span(1400, 5000), span(1100, 4000)},
			{proto.PhaseSwitch, span(5000, 7000), timeline.Span{}}, {proto.PhaseWarm, span(7000, 12000), timeline.Span{}}, {proto.PhaseSettle, span(12000, 0), timeline.Span{}},
		},
	}
	if diff := cmp.Diff(want, Report(m)); diff != "" {
		t.Error(diff)
	}
	// Given up while it was frozen: silence ends with the thaw, and the duration with the migration.
	m.Phases = append(m.Phases[:3], proto.PhaseEntry{Phase: proto.PhaseUndo, At: 6000}, proto.PhaseEntry{Phase: proto.PhaseEnded, At: 8000})
	m.Operations = append(m.Operations[:5], done(proto.OpThaw, "a", 6010, 6500, nil))
	m.EndedAt = 8000
	if got := Report(m); got.Duration != 7000 || got.Downtime != 1490 || len(got.Phases) != 4 {
		t.Errorf("%+v", got)
	}
	if got := Report(proto.Migration{CreatedAt: 1000}); got.Duration != 0 || got.Downtime != 0 {
		t.Errorf("%+v", got)
	}
}

// moved returns a completed migration whose plan, corrected by bias, predicted an hour's worth, and which came to so many thousandths of what would have been
// predicted without.
func moved(n int, bias proto.Bias, bytes, copied, downtime int64) proto.Migration {
	by := func(amount, milli int64) int64 { return amount * milli / 1000 }
	one := func(milli int64) int64 { // 0 is as predicted
		if milli == 0 {
			return 1000
		}
		return milli
	}
	at := begin.Add(time.Duration(n) * time.Hour)
	plan := proto.Plan{
		Bytes: by(1e9, one(bias.Bytes)), Downtime: by(10_000, one(bias.Downtime)),
		Phases: []proto.PlanPhase{{Phase: proto.PhaseCopy, Span: timeline.Span{Start: at, End: at + timeline.Time(by(100_000, one(bias.Copy)))}}},
	}
	if bias != (proto.Bias{}) {
		plan.Bias = &bias
	}
	done := func(k proto.OperationKind, host string, from, to timeline.Time, sent int64) proto.OperationRecord {
		return proto.OperationRecord{Kind: k, Host: host, SentAt: from, EndedAt: to, Result: &proto.OperationResult{Round: &proto.RoundResult{Bytes: sent}}}
	}
	end := at + timeline.Time(by(100_000, copied))
	return proto.Migration{
		ID: fmt.Sprintf("m%03d", n), Instance: "cache-1", Source: "a", Target: "b", Plan: plan, Outcome: proto.OutcomeCompleted, CreatedAt: at, EndedAt: end + 1,
		Phases: []proto.PhaseEntry{{Phase: proto.PhaseCopy, At: at}, {Phase: proto.PhaseSwitch, At: end}},
		Operations: []proto.OperationRecord{
			done(proto.OpSyncRound, "a", at, end, by(1e9, bytes)), done(proto.OpFreeze, "a", end, end, 0),
			done(proto.OpConfirm, "b", end, end+timeline.Time(by(10_000, downtime)), 0),
		},
	}
}

func TestWhatMovesShowIsLearnedAndStaysLearned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth := [3]int64{}
		for i := range truth {
			truth[i] = rapid.Int64Range(100, 6000).Draw(t, "truth")
		}
		noise := rapid.Int64Range(0, 20).Draw(t, "noise")
		var all []proto.Migration
		var learned proto.Bias
		for n := range 150 {
			off := 1000 + noise*int64(n%3-1) // as often too much as too little
			m := moved(n, learned, truth[0]*off/1000, truth[1]*off/1000, truth[2]*off/1000)
			if n%10 == 3 {
				m = moved(n, learned, 50_000, 50_000, 50_000) // a link was down
			}
			all = append(all, m)
			learned = Learn(slices.Values(all))
			if n+1 < learnLeast && learned != (proto.Bias{}) {
				t.Fatalf("%+v is learned from %d moves", learned, n+1)
			}
		}
		if learned.Moves != learnLast {
			t.Errorf("it is learned from %d moves, want the last %d", learned.Moves, learnLast)
		}
		for i, got := range []int64{learned.Bytes, learned.Copy, learned.Downtime} {
			want := min(max(truth[i], leastBias), mostBias)
			if d := got - want; max(d, -d) > max(3, truth[i]*(noise+2)/1000) {
				t.Errorf("figure %d: %d is learned, the truth is %d", i, got, want)
			}
		}
	})
}

func TestOnlyMovesThatCompletedTeach(t *testing.T) {
	all := []proto.Migration{}
	for n := range 20 {
		m := moved(n, proto.Bias{}, 2000, 2000, 2000)
		switch n % 4 {
		case 1:
			m.Outcome = proto.OutcomeAborted
		case 2:
			m.Returns = "m000"
		case 3:
			m.Outcome, m.Phase = proto.OutcomeNone, proto.PhaseCopy
		}
		all = append(all, m)
	}
	if got := Learn(slices.Values(all)); got != (proto.Bias{Moves: 5, Bytes: 2000, Copy: 2000, Downtime: 2000}) {
		t.Errorf("%+v", got)
	}
	if got := Learn(slices.Values(all[:16])); got != (proto.Bias{}) {
		t.Errorf("of four moves it learns %+v", got)
	}
}

func TestAPredictionIsCorrectedByWhatWasLearned(t *testing.T) {
	w := newWorld(t)
	ask := func(b proto.Bias) proto.Plan {
		c := DefaultCosts()
		c.Bias = b
		r, err := Make(Input{
			Request: Request{Instance: "cache-1", Target: "host-b", Type: "m.large"}, View: w.state.View(), Now: begin, Forecast: forecast(700), Data: 1 << 30, Costs: c,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r.Plan
	}
	plain, slow := ask(proto.Bias{}), ask(proto.Bias{Moves: 9, Bytes: 1500, Copy: 2000, Downtime: 3000})
	if plain.Bias != nil || slow.Bias == nil || slow.Bytes != plain.Bytes*3/2 || slow.Downtime != plain.Downtime*3 || slow.Phases[1].Length() != 2*plain.Phases[1].Length() {
		t.Errorf("%d bytes, copied for %s, %d ms of downtime; before, %d, %s and %d", slow.Bytes, slow.Phases[1].Length(), slow.Downtime, plain.Bytes, plain.Phases[1].Length(), plain.Downtime)
	}
	if text := strings.Join(slow.Reasons, "\n"); !strings.Contains(text, "the last 9 moves sent 150 %") {
		t.Errorf("reasons %q", text)
	}
}

func TestNoMoreMovesAreReadThanTeach(t *testing.T) {
	var all []proto.Migration // the last one first
	for n := range 300 {
		m := moved(300-n, proto.Bias{}, 2000, 2000, 2000)
		switch n % 3 {
		case 1:
			m.Outcome = proto.OutcomeReturned
		case 2:
			m.Instance = "vm-1"
			m.Operations[0].Result.Round.Bytes *= 3
		}
		all = append(all, m)
	}
	read := 0
	some := newest(func(yield func(proto.Migration) bool) {
		for _, m := range all {
			if read++; !yield(m) {
				return
			}
		}
	}, func(instance string) bool { return instance == "cache-1" })
	got := slices.Collect(some)
	if len(got) != learnLast || read != 3*(learnLast-1)+1 {
		t.Fatalf("%d are learned from, %d are read", len(got), read)
	}
	only := slices.DeleteFunc(slices.Clone(all), func(m proto.Migration) bool { return m.Instance != "cache-1" })
	if a, b := Learn(slices.Values(got)), Learn(slices.Values(only)); a != b || a.Bytes != 2000 {
		t.Errorf("%+v is learned, of all of them %+v", a, b)
	}
}
