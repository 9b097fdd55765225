package home

import (
	"testing"
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
