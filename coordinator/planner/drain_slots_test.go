package planner

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestADrainWaitsForAHostThatIsBackLater(t *testing.T) {
	away := func(id string, from, to time.Duration) *proto.CapacityWindow {
		return &proto.CapacityWindow{ID: id, Span: timeline.Span{Start: begin.Add(from), End: begin.Add(to)}, Whole: true}
	}
	for name, c := range map[string]struct {
		windows  []*proto.CapacityWindow
		deadline time.Duration
		start    time.Duration // 0: it stays
	}{
		"back within hours":                    {[]*proto.CapacityWindow{away("a", time.Hour, 270*time.Minute)}, 0, 270 * time.Minute},
		"back in time":                         {[]*proto.CapacityWindow{away("a", time.Hour, 270*time.Minute)}, 5 * time.Hour, 270 * time.Minute},
		"back too late":                        {[]*proto.CapacityWindow{away("a", time.Hour, 270*time.Minute)}, 4 * time.Hour, 0},
		"away again":                           {[]*proto.CapacityWindow{away("a", time.Hour, 2*time.Hour), away("b", 30*time.Hour, 31*time.Hour)}, 0, 31 * time.Hour},
		"away again, and back only after that": {[]*proto.CapacityWindow{away("a", time.Hour, 2*time.Hour), away("b", 30*time.Hour, 60*time.Hour)}, 0, 0},
	} {
		w := newFleet(t, 4000, 1000)
		w.run("one", "host-a", 900)
		for _, window := range c.windows {
			w.must(&proto.HostWindow{Host: "host-b", Put: window})
		}
		in := w.drain("host-a")
		if c.deadline != 0 {
			in.Deadline = begin.Add(c.deadline)
		}
		p, b := plannedDrain(t, in)
		switch {
		case c.start == 0 && (b == nil || len(p.Moves) != 0 || b.Proof != proto.BlockedSmallest):
			t.Errorf("%s: %+v, %+v", name, b, p.Moves)
		case c.start != 0 && (b != nil || len(p.Moves) != 1 || p.Moves[0].Start != begin.Add(c.start)):
			t.Errorf("%s: %+v, %+v", name, b, p.Moves)
		}
	}
}
