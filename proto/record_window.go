package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// CapacityWindow is a time in which some or all of a host's capacity is not there: maintenance, a host that joins later or leaves.
type CapacityWindow struct {
	ID     string          `msgpack:"id" json:"id"`
	Span   timeline.Span   `msgpack:"sp" json:"span"`
	Whole  bool            `msgpack:"w,omitempty" json:"whole,omitzero"` // nothing of the host is there
	Amount resource.Vector `msgpack:"a" json:"amount,omitzero"`          // that is not there; 0 with Whole
	Reason string          `msgpack:"r,omitempty" json:"reason,omitzero"`
	By     string          `msgpack:"by,omitempty" json:"by,omitzero"`
	At     timeline.Time   `msgpack:"at" json:"at"` // when it was stated
}

// Drain is an operator's word that a host is to be emptied, and how far that is.
type Drain struct {
	State     DrainState    `msgpack:"s" json:"state"`
	Deadline  timeline.Time `msgpack:"d,omitempty" json:"deadline,omitzero"`      // 0: none
	Probation int64         `msgpack:"pb,omitempty" json:"probation_ms,omitzero"` // of the migrations that it takes; 0: as the policy says
	Squeeze   bool          `msgpack:"sq,omitempty" json:"squeeze,omitzero"`      // where a move has no room else, lower classes yield
	Reason    string        `msgpack:"r,omitempty" json:"reason,omitzero"`        // why it has this state, in words
	By        string        `msgpack:"by,omitempty" json:"by,omitzero"`           // who began it
	Since     timeline.Time `msgpack:"at" json:"since"`                           // when it began
	Cordoned  bool          `msgpack:"c,omitempty" json:"was_cordoned,omitzero"`  // the host was before: it stays so when the drain is taken back
}

// DrainState is how far a drain is.
type DrainState string

// The states of a drain.
const (
	DrainNone    DrainState = ""         // the host is not drained
	DrainGoesOn  DrainState = "draining" // what is on the host is moved away
	DrainPaused  DrainState = "paused"   // nothing more is moved until an operator lets it go on
	DrainBlocked DrainState = "blocked"  // something finds no other place
	DrainDone    DrainState = "drained"  // nothing is on it any more
)

// May reports whether a drain in state s may go to the next one. One that has ended may begin again: something may have been adopted there.
func (s DrainState) May(next DrainState) bool {
	switch next {
	case DrainNone, DrainGoesOn:
		return s != next
	case DrainPaused:
		return s == DrainGoesOn || s == DrainBlocked
	case DrainBlocked, DrainDone:
		return s == DrainGoesOn || s == DrainPaused || s == DrainBlocked && next == DrainDone
	}
	return false
}
