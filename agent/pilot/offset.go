package pilot

import (
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

const (
	// MostOffset is how far a host's clock may be off to be corrected. Beyond it nobody can tell from here which of the two clocks is
	// wrong: the host follows its own, and is refused for moves until they agree.
	MostOffset = 30 * time.Second

	exchanges = 8 // that are remembered

	// drift bounds how far two clocks run apart, as one part in so many: 100 ppm, which is twice what hardware does.
	drift = 10_000
)

// Offset is an estimate of how far the coordinators' clock is ahead of an agent's. The agent's clock must not step: it is a wall time
// read once, plus monotonic time. The zero Offset corrects nothing.
//
// Of the last exchanges the one that is wrong by the least counts, as in NTP's clock filter (RFC 5905, section 10): by half of its round
// trip, because what delays messages mostly delays one direction, and by what the clocks may have drifted since.
type Offset struct {
	seen [exchanges]exchange
	n    int // exchanges in all
}

type exchange struct {
	ahead    timeline.Time // of the coordinator, if both ways took the same time
	wrongBy  timeline.Time // at most
	answered timeline.Time
}

// Observe returns o with one more exchange: asked and answered by the agent's clock, and between the two received by the coordinators'.
// An exchange that was answered before it was asked is ignored.
func (o Offset) Observe(asked, received, answered timeline.Time) Offset {
	if answered < asked {
		return o
	}
	o.seen[o.n%exchanges] = exchange{received - (asked + (answered-asked)/2), (answered-asked)/2 + 1, answered}
	o.n++
	return o
}

// Estimate returns by how much the coordinators were ahead at the last exchange, and by how much that may be wrong.
// Both are 0 before the first.
func (o Offset) Estimate() (ahead, wrongBy time.Duration) {
	if o.n == 0 {
		return 0, 0
	}
	last := o.seen[(o.n-1)%exchanges].answered
	var best exchange
	for i, e := range o.seen[:min(o.n, exchanges)] {
		e.wrongBy += max(0, last-e.answered) / drift
		if i == 0 || e.wrongBy < best.wrongBy {
			best = e
		}
	}
	return best.ahead.Sub(0), best.wrongBy.Sub(0)
}

// Trusted reports whether the clocks agree well enough for the host to take part in moves.
func (o Offset) Trusted() bool {
	ahead, _ := o.Estimate()
	return max(ahead, -ahead) <= MostOffset
}

// Correct returns the coordinators' time at local of the agent's clock; local itself when the clocks are too far apart.
func (o Offset) Correct(local timeline.Time) timeline.Time {
	if !o.Trusted() {
		return local
	}
	ahead, _ := o.Estimate()
	return local.Add(ahead)
}
