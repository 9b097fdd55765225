package migrate

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Progress is how far a migration is right now, as its leader sees it. It is not kept anywhere.
type Progress struct {
	Operation proto.OperationKind `json:"operation,omitempty"` // that runs now
	Host      string              `json:"host,omitempty"`      // where
	Stage     string              `json:"stage"`               // in the agent's words
	Round     int                 `json:"round"`               // of the transfer, from 1
	Bytes     int64               `json:"bytes"`               // of the operation
	Total     int64               `json:"total"`               // 0 when it is not known
	Sent      int64               `json:"sent"`                // bytes of all rounds that have ended
	Trouble   string              `json:"trouble,omitempty"`   // what it waits for and what fails, in words
	Since     timeline.Time       `json:"trouble_since,omitzero"`
}

// Progress returns how far a migration is; false when nothing is known of it here, because it does not go on or because
// another coordinator leads.
func (e *Executor) Progress(migration string) (Progress, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.progress[migration]
	return p, ok
}

// show changes what Progress answers.
func (e *Executor) show(migration string, change func(*Progress)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.progress[migration]
	change(&p)
	e.progress[migration] = p
}

// planned returns the span that a plan gives a phase.
func planned(p proto.Plan, phase proto.Phase) timeline.Span {
	for _, ph := range p.Phases {
		if ph.Phase == phase {
			return ph.Span
		}
	}
	return timeline.Span{}
}
