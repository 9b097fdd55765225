package proto

import (
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// CPU is what tells how much work a core of a host does in a second.
type CPU struct {
	Model string `msgpack:"m,omitempty" json:"model,omitzero"`
	Score int64  `msgpack:"s,omitempty" json:"score,omitzero"` // by the agent's benchmark; 0: not measured
}

// Lesson is what a completed migration taught of the instance's application, as was found in the instance's history some time after it.
type Lesson struct {
	From  CPU    `msgpack:"f" json:"from"`                         // of the source, when the lesson was taken
	To    CPU    `msgpack:"t" json:"to"`                           // of the target
	Ratio int64  `msgpack:"r,omitempty" json:"cpu_milli,omitzero"` // mean demand for CPU in the day after the move, in thousandths of that in the day before, with the load alike; 0: not known
	Start *Start `msgpack:"st,omitempty" json:"start,omitempty"`   // how it started on the target; nil: not known
}

// Start is what an instance took after a start on top of what it took later.
type Start struct {
	Extra resource.Vector `msgpack:"x" json:"extra"`    // at first
	Decay int64           `msgpack:"d" json:"decay_ms"` // milliseconds in which Extra falls to 1/e; 0 where it is nothing
}

// Bounds of what is learned. What is beyond them is no lesson, but a mistake.
const (
	MaxScore = 1_000_000_000 // of a CPU
	MaxRatio = 1_000_000     // thousandths
	maxDecay = 24 * time.Hour
)

// Valid returns an error that names what of a CPU can't be.
func (c CPU) Valid() error {
	if len(c.Model) > MaxTextLength {
		return fmt.Errorf("the CPU model has %d bytes: use at most %d", len(c.Model), MaxTextLength)
	}
	if c.Score < 0 || c.Score > MaxScore {
		return fmt.Errorf("a CPU with a score of %d: 0 to %d", c.Score, MaxScore)
	}
	return nil
}

// Valid returns an error that names what of a lesson can't be.
func (l Lesson) Valid() error {
	for _, c := range []CPU{l.From, l.To} {
		if err := c.Valid(); err != nil {
			return err
		}
	}
	if l.Ratio < 0 || l.Ratio > MaxRatio {
		return fmt.Errorf("a ratio of %d thousandths: 0 to %d", l.Ratio, MaxRatio)
	}
	if l.Start == nil {
		return nil
	}
	if err := l.Start.Extra.Valid(); err != nil {
		return fmt.Errorf("demand after a start: %w", err)
	}
	if d := l.Start.Decay; d < 0 || d > maxDecay.Milliseconds() {
		return fmt.Errorf("demand after a start that fades in %d ms: 0 to %d", d, maxDecay.Milliseconds())
	}
	return nil
}
