package home

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestFeedbackHandsOutNoMoreThanTheLedgerHas(t *testing.T) {
	now := timeline.Time(1_700_000_000_000).Floor(30 * time.Minute)
	window := func(id string, from, to time.Duration, n int64) proto.CapacityWindow {
		return proto.CapacityWindow{ID: id, Span: timeline.Span{Start: now.Add(from), End: now.Add(to)}, Whole: n == 0, Amount: resource.Uniform(n)}
	}
	h := proto.Host{
		Facts: proto.HostFacts{Name: "a", Allocatable: resource.Uniform(100)}, Debt: 15,
		Windows: []proto.CapacityWindow{
			window("kernel", time.Hour, 2*time.Hour, 0), window("disk", 90*time.Minute, 4*time.Hour, 30), window("fan", 3*time.Hour, 5*time.Hour, 20),
		},
	}
	policy := proto.Policy{Ratio: resource.Uniform(1500)}
	policy.Ratio[resource.Memory] = 900
	l, err := ledger.New(ledger.Grid{Step: 5 * time.Minute}, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetHost(ledger.Capacity{Host: "a", Allocatable: h.Allocatable(), Ratio: policy.Ratio, Reduced: state.Reduced(h), Debt: h.Debt}); err != nil {
		t.Fatal(err)
	}
	span := timeline.Span{Start: now, End: now.Add(6 * time.Hour)}
	free := headroom(h, policy, nil, span)
	for _, s := range l.Steps("a") {
		if !s.Overlaps(span) {
			break
		}
		if got, _ := free.At(s.Start); got != s.Limit {
			t.Errorf("feedback may hand out %s in %s, and %s may be promised", got, s.Span, s.Limit)
		}
	}
	if got, _ := free.At(now.Add(time.Hour)); !got.IsZero() {
		t.Errorf("%s is handed out while nothing of the host is there", got)
	}
}

// The slot that a source keeps while its target is on probation is handed out by feedback, but for its memory, until the way back begins.
func TestTheSlotOfProbationIsLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		now := timeline.Of(time.Now())
		nothing := func(string) (proto.ForecastReply, bool) { return proto.ForecastReply{}, false }
		free := func() resource.Vector {
			a, _ := w.view().Host("host-a")
			d := derive(w.view(), a, now, nothing)
			ordered(t, d)
			v, _ := d.Headroom.At(now.Add(time.Minute))
			return v
		}
		slot, _ := w.view().Reservation("cache-1@host-a")
		fence := func() uint64 {
			i, _ := w.view().Instance("cache-1")
			return i.Fence
		}
		i, _ := w.view().Instance("cache-1")
		alone := free()
		w.must(&proto.MigrationStart{
			ID: "m1", Plan: proto.Plan{Instance: "cache-1", Source: "host-a", Target: "host-b", FromType: "m.large", ToType: "m.large", Fence: i.Fence},
			Reservation: proto.Reservation{ID: "m1/target", Until: now.Add(time.Hour), Envelope: slot.Envelope, Floor: slot.Floor},
		})
		w.must(&proto.MigrationAdvance{Migration: "m1", From: proto.PhasePrepare, To: proto.PhaseCopy})
		w.must(&proto.MigrationFreeze{Migration: "m1", Fence: fence()})
		w.must(&proto.MigrationCommit{Migration: "m1", Fence: fence()})
		if got := free(); got != alone { // it may be given up at any moment
			t.Errorf("before clients are served %v is handed out, %v before", got, alone)
		}
		w.must(&proto.MigrationConfirm{Migration: "m1", Fence: fence(), Until: now.Add(time.Hour)})
		lent := free()
		held := slot.Envelope.Expected().MaxOver(timeline.Span{Start: now, End: now.Add(time.Minute)})
		if lent[resource.CPU] != alone[resource.CPU]+held[resource.CPU] || held[resource.CPU] == 0 || lent[resource.Memory] != alone[resource.Memory] {
			t.Errorf("on probation %v is handed out, %v before, of a slot of %v", lent, alone, held)
		}
		w.must(&proto.MigrationReturn{
			ID: "m2", Returns: "m1", Fence: fence(), Reason: "back",
			Plan: proto.Plan{Instance: "cache-1", Source: "host-b", Target: "host-a", FromType: "m.large", ToType: "m.large"},
		})
		if got := free(); got[resource.CPU] > alone[resource.CPU] {
			t.Errorf("while it comes back %v is handed out, %v before it left", got, alone)
		}
		// So it is when its target is given up with what was written there.
		w.must(&proto.MigrationAbort{Migration: "m2", Fence: fence(), Reason: "no"})
		w.must(&proto.MigrationEnd{Migration: "m2", Outcome: proto.OutcomeAborted})
		if got := free(); got != lent {
			t.Errorf("on probation again %v is handed out, %v before", got, lent)
		}
		w.must(&proto.AcceptLoss{Migration: "m1", Fence: fence(), Reason: "host-b burnt down"})
		if got := free(); got[resource.CPU] > alone[resource.CPU] {
			t.Errorf("when it is back %v is handed out, %v before it left", got, alone)
		}
	})
}
