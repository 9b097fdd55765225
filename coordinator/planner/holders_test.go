package planner

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestARefusalSaysWhoHoldsWhatIsShort(t *testing.T) {
	l, err := ledger.New(ledger.Grid{Step: 5 * time.Minute}, 0, begin)
	if err != nil {
		t.Fatal(err)
	}
	capacity := resource.Uniform(resource.Unlimited)
	capacity[resource.CPU] = 4000
	if err := l.SetHost(ledger.Capacity{Host: "host-b", Allocatable: capacity, Ratio: resource.Uniform(1000)}); err != nil {
		t.Fatal(err)
	}
	hold := func(id, instance string, cpu int64, from, until time.Duration) {
		t.Helper()
		r := proto.Reservation{
			ID: id, Host: "host-b", Instance: instance, Class: proto.Standard, Purpose: proto.PurposeInstance,
			Envelope: proto.Envelope{{Span: timeline.Span{Start: begin.Add(from), End: begin.Add(until)}, Firm: resource.Vector{resource.CPU: cpu}}},
		}
		if err := l.Hold(r); err != nil {
			t.Fatal(err)
		}
	}
	short := &proto.Shortfall{Host: "host-b", Resource: resource.CPU, Span: timeline.Span{Start: begin.Add(time.Hour), End: begin.Add(time.Hour + 5*time.Minute)}}
	if got := heldBy(l, short); got != "" {
		t.Errorf("nobody holds anything: %q", got)
	}
	hold("r1", "cache-1", 500, 0, 2*time.Hour)
	hold("r2", proto.SystemInstance, 812, 0, 24*time.Hour)
	hold("r3", "cache-1", 100, time.Hour, 2*time.Hour) // of a move
	hold("r4", "later", 2000, 2*time.Hour, 3*time.Hour)
	if got, want := heldBy(l, short), "; it is held by the host's own system (812m), cache-1 (600m)"; got != want {
		t.Errorf("%q where %q was expected", got, want)
	}
	hold("r5", "web-1", 700, 0, 2*time.Hour)
	hold("r6", "web-2", 10, 0, 2*time.Hour)
	hold("r7", "web-3", 20, 0, 2*time.Hour)
	if got, want := heldBy(l, short), "; it is held by the host's own system (812m), web-1 (700m), cache-1 (600m), 2 more"; got != want {
		t.Errorf("%q where %q was expected", got, want)
	}
	hold("plan/night/0/target", "", 900, 0, 2*time.Hour)
	if got, want := heldBy(l, short), "; it is held by reservation plan/night/0/target (900m), the host's own system (812m), web-1 (700m), 3 more"; got != want {
		t.Errorf("%q where %q was expected", got, want)
	}
}
