package planner

import (
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// TestRoomIsToldInTheAmountsThatItsShareIsOf has a host that half of is not there for an hour, which is its fullest one.
func TestRoomIsToldInTheAmountsThatItsShareIsOf(t *testing.T) {
	w := newWorld(t)
	away := timeline.Span{Start: begin.Add(10 * time.Hour), End: begin.Add(11 * time.Hour)}
	w.must(&proto.HostWindow{Host: "host-b", Put: &proto.CapacityWindow{ID: "w", Span: away, Amount: resource.Vector{resource.CPU: 1000}}})
	in := w.input(Request{Instance: "cache-1", Target: "host-b"})
	in.Forecast = forecast(100)
	r, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	steps := in.View.Ledger().Steps("host-b")
	whole, left := steps[0].Limit[resource.CPU], int64(0)
	for _, s := range steps {
		if s.Contains(away.Start) {
			left = s.Limit[resource.CPU]
		}
	}
	says := r.Plan.Considered[0].Terms[0].Says
	_, amounts, _ := strings.Cut(says, "UTC: ")
	free, of, _ := strings.Cut(amounts, " of ")
	if got, err := resource.Parse(resource.CPU, free); err != nil || got <= left/2 || got > left || of != resource.Format(resource.CPU, whole) {
		t.Errorf("%q: %d is free of the %d that are there then, %v; all of the host has %d", says, got, left, err, whole)
	}
}
