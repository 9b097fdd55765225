package v1

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// WindowRequest says when some or all of a host is not there: maintenance, a host that joins later, one that leaves.
type WindowRequest struct {
	ID       string          `json:"id,omitempty"`       // "" lets the coordinator choose; the same one replaces
	Start    timeline.Time   `json:"start,omitempty"`    // 0: now
	End      timeline.Time   `json:"end,omitempty"`      // 0: for good
	Whole    bool            `json:"whole,omitempty"`    // nothing of the host is there
	Amount   resource.Vector `json:"amount,omitzero"`    // that is not there; 0 with whole
	Reason   string          `json:"reason,omitempty"`   //
	Force    bool            `json:"force,omitempty"`    // it is a fact: also where promises can't be kept then
	Revision uint64          `json:"revision,omitempty"` // decisions_revision of the host as whoever decides saw it: after another decision it is a conflict. 0: any
}

// WindowVerdict is what would come of a window.
type WindowVerdict struct {
	Fits   bool                `json:"fits"`   // all that is promised there could be kept
	Short  []proto.Shortfall   `json:"short"`  // what could not, in order of time, with what is short there without the window
	Yields []proto.Yield       `json:"yields"` // who would have to yield, where that is enough
	Move   []proto.Reservation `json:"move"`   // whose instances would have to leave, where it is not
	Left   []proto.Shortfall   `json:"left"`   // what would be short even then
	Says   []string            `json:"says"`   // in words
}
