package migrate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestProgressFollowsTheTransfer(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["a"].slow[proto.OpSyncRound] = 10 * time.Second
		f.move("m", "b", "large")
		var seen Progress
		f.await("bytes are seen in the second round", time.Minute, func(*state.View) bool {
			p, ok := f.leader.exec.Progress("m")
			seen = p
			return ok && p.Operation == proto.OpSyncRound && p.Round == 2 && p.Bytes > 10<<20
		})
		if seen.Host != "a" || seen.Sent == 0 || seen.Trouble != "" {
			t.Errorf("%+v", seen)
		}
		f.ended("m", time.Minute)
		f.settled()
		if p, ok := f.leader.exec.Progress("m"); ok {
			t.Errorf("a migration that has ended is still remembered: %+v", p)
		}
	})
}

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
	want := Figures{
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

func TestWhenTheRoundsAreEnough(t *testing.T) {
	const now = 1_000_000
	rounds := func(changed ...int64) []round {
		var out []round
		for _, c := range changed {
			out = append(out, round{proto.RoundResult{Changed: c << 20}, now - 1000})
		}
		return out
	}
	old := rounds(64, 1)
	old[1].ended = now - timeline.Time(restKeeps.Milliseconds()) - 1
	for name, c := range map[string]struct {
		rounds []round
		want   bool
	}{
		"none yet":               {nil, false},
		"the first, large":       {rounds(64), false},
		"the first, small":       {rounds(4), true},
		"shrinking":              {rounds(64, 32), false},
		"small":                  {rounds(64, 32, 4), true},
		"not shrinking":          {rounds(64, 32, 32), true},
		"five":                   {rounds(64, 50, 40, 30, 20), true},
		"small, but a while ago": {old, false},
	} {
		if got := enough(c.rounds, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
