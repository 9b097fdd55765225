package planner

import (
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How long what has moved stays, so that two hosts don't pass an instance to and fro.
const (
	stayAway = 24 * time.Hour   // from a host that it left, but for a host that is named
	dwell    = 30 * time.Minute // where it came to, before it is moved for the balance's sake again
	gaveUp   = 6 * time.Hour    // for which a move that was given up speaks against its target

	remembered = stayAway // the longest of them
)

// MarginOfBalance is by how much the best host has to beat the one where an instance is, in thousandths of a score, for a move that
// nobody but the planner wants.
const MarginOfBalance = 50

// recent is what an instance's ended migrations say.
type recent struct {
	moved  past            // when it came to where it is
	left   map[string]past // hosts that it was on, by the last time that it left
	gaveUp map[string]past // hosts that a move to was given up
}

// past is a migration that ended.
type past struct {
	id string
	at timeline.Time
}

// recentMoves reads the migrations that ended not long before now.
func recentMoves(v *state.View, instance string, now timeline.Time) recent {
	r := recent{left: map[string]past{}, gaveUp: map[string]past{}}
	for m := range v.EndedMigrationsOf(instance) {
		if now.Sub(m.EndedAt) >= remembered {
			break
		}
		r.note(m)
	}
	return r
}

// note takes a migration into account. Of one that failed, and one that goes on, nothing is known for sure.
func (r *recent) note(m proto.Migration) {
	p := past{m.ID, m.EndedAt}
	switch m.Outcome {
	case proto.OutcomeCompleted:
		r.moved = later(r.moved, p)
		r.left[m.Source] = later(r.left[m.Source], p)
	case proto.OutcomeReturned:
		r.moved = later(r.moved, p)
		r.left[m.Target] = later(r.left[m.Target], p)
	case proto.OutcomeAborted:
		r.gaveUp[m.Target] = later(r.gaveUp[m.Target], p)
	}
}

func later(a, b past) past {
	if b.at > a.at {
		return b
	}
	return a
}
