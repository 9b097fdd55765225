package proto

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// StoredPlan is a plan that is kept: of one migration, of a drain, or of what a rebalance suggests. It promises nothing but what its moves hold, and
// each move is checked again, against what is committed by then, when it begins.
type StoredPlan struct {
	ID        string        `msgpack:"id" json:"id"`
	Kind      PlanKind      `msgpack:"k" json:"kind"`
	Status    PlanStatus    `msgpack:"s" json:"status"`
	Reason    string        `msgpack:"re,omitempty" json:"reason,omitzero"` // why it has this status, in words
	Moves     []Move        `msgpack:"m" json:"moves"`
	Host      string        `msgpack:"h,omitempty" json:"host,omitzero"`              // that a drain empties
	Deadline  timeline.Time `msgpack:"d,omitempty" json:"deadline,omitzero"`          // all has to have moved by then; 0: none
	Windows   []MoveWindow  `msgpack:"w,omitempty" json:"windows,omitempty"`          // when it may move, beside those of the policy
	Squeeze   bool          `msgpack:"sq,omitempty" json:"squeeze,omitzero"`          // where a move has no room else, lower classes yield
	LeastGain int64         `msgpack:"lg,omitempty" json:"least_gain_milli,omitzero"` // over a start at once, in thousandths of its cost: a later start that saves less is not waited for
	Blocked   *Blocked      `msgpack:"b,omitempty" json:"blocked,omitempty"`          // what it can't be done for
	Says      []string      `msgpack:"sa,omitempty" json:"says,omitempty"`            // in words, most telling first
	WhatIf    *WhatIf       `msgpack:"wi,omitempty" json:"what_if,omitempty"`         // the fleet that it was made for, where it is not the one that is. Such a plan never begins
	MadeBy    string        `msgpack:"by,omitempty" json:"made_by,omitzero"`          //
	MadeAt    timeline.Time `msgpack:"at" json:"made_at"`                             //
	ChangedAt timeline.Time `msgpack:"ca" json:"changed_at"`                          //
	EndedAt   timeline.Time `msgpack:"ea,omitempty" json:"ended_at,omitzero"`         //
	Revision  uint64        `msgpack:"rv" json:"revision"`                            // rises with every change
	Size      int           `msgpack:"sz,omitempty" json:"size_bytes,omitzero"`       // of what stored it: see MaxPlansSize
}

// PlanKind says what a stored plan is for.
type PlanKind string

// The kinds of stored plans.
const (
	PlanMigrate   PlanKind = "migrate"
	PlanDrain     PlanKind = "drain"
	PlanRebalance PlanKind = "rebalance"
)

// PlanStatus is where a stored plan is.
type PlanStatus string

// The statuses of stored plans.
const (
	PlanKept      PlanStatus = "kept"      // it was asked for, and may be carried out
	PlanSuggested PlanStatus = "suggested" // nobody asked for it
	PlanScheduled PlanStatus = "scheduled" // it begins at a time
	PlanQueued    PlanStatus = "queued"    // it begins when it is its turn
	PlanRunning   PlanStatus = "running"   // a move of it has begun
	PlanPaused    PlanStatus = "paused"    // nothing more of it begins until an operator lets it go on
	PlanBlocked   PlanStatus = "blocked"   // it can't go on as things are
	PlanDone      PlanStatus = "done"
	PlanCancelled PlanStatus = "cancelled"
	PlanStale     PlanStatus = "stale" // things have changed so that it is not what was asked for any more
)

// planSteps are the statuses that may follow each one. Those that have ended are followed by none.
var planSteps = map[PlanStatus][]PlanStatus{
	PlanKept:      {PlanScheduled, PlanQueued, PlanCancelled, PlanStale},
	PlanSuggested: {PlanScheduled, PlanQueued, PlanCancelled, PlanStale},
	PlanScheduled: {PlanQueued, PlanRunning, PlanPaused, PlanBlocked, PlanCancelled, PlanStale},
	PlanQueued:    {PlanScheduled, PlanRunning, PlanPaused, PlanBlocked, PlanCancelled, PlanStale},
	PlanRunning:   {PlanPaused, PlanBlocked, PlanDone, PlanCancelled, PlanStale},
	PlanPaused:    {PlanScheduled, PlanQueued, PlanRunning, PlanBlocked, PlanDone, PlanCancelled, PlanStale},
	PlanBlocked:   {PlanScheduled, PlanQueued, PlanRunning, PlanPaused, PlanDone, PlanCancelled, PlanStale},
}

// May reports whether a plan in status s may go to the next one.
func (s PlanStatus) May(next PlanStatus) bool {
	for _, n := range planSteps[s] {
		if n == next {
			return true
		}
	}
	return false
}

// Ended reports whether nothing follows.
func (s PlanStatus) Ended() bool { return s == PlanDone || s == PlanCancelled || s == PlanStale }

// Known reports whether s is one of the statuses.
func (s PlanStatus) Known() bool { return s.Ended() || planSteps[s] != nil }

// Begins reports whether moves of a plan in the status may begin.
func (s PlanStatus) Begins() bool { return s == PlanScheduled || s == PlanQueued || s == PlanRunning }

// Move is one move of a stored plan. How the instance is allocated is planned anew when it begins, and kept with its migration.
type Move struct {
	Instance   string         `msgpack:"i" json:"instance"`
	Source     string         `msgpack:"so" json:"source"`
	Target     string         `msgpack:"ta" json:"target"`
	FromType   string         `msgpack:"ft" json:"from_type"`
	ToType     string         `msgpack:"tt" json:"to_type"`
	Fence      uint64         `msgpack:"fe" json:"fence"` // of the instance when the plan was made
	Start      timeline.Time  `msgpack:"st" json:"start"`
	Figures    Figures        `msgpack:"fg" json:"figures"`
	Rate       int64          `msgpack:"rt,omitempty" json:"rate_bps,omitzero"`     // bits per second for the transfer; 0 is unlimited
	After      []int          `msgpack:"af,omitempty" json:"after,omitempty"`       // places of the moves that must have left their hosts before it begins
	Parked     bool           `msgpack:"pk,omitempty" json:"parked,omitzero"`       // the instance goes on from the target in a later move
	Holds      []string       `msgpack:"h,omitempty" json:"holds,omitempty"`        // reservations that keep its room until it begins, sorted: see PlanHold
	Migration  string         `msgpack:"m,omitempty" json:"migration,omitzero"`     // that carries it out; "": it has not begun
	Outcome    Outcome        `msgpack:"oc,omitempty" json:"outcome,omitzero"`      // of that migration, once it has ended
	Reasons    []string       `msgpack:"re,omitempty" json:"reasons,omitempty"`     // in the order of their weight
	Considered []Considered   `msgpack:"co,omitempty" json:"considered,omitempty"`  // the best other targets
	Ruled      []RuledOut     `msgpack:"ru,omitempty" json:"ruled_out,omitempty"`   // targets beside those, by reason
	Starts     []StartWeighed `msgpack:"sw,omitempty" json:"starts,omitempty"`      // other starts, in their order
	Chosen     bool           `msgpack:"ch,omitempty" json:"chosen,omitzero"`       // the target was not named: where it takes the instance no more, another one may be looked for
	Probation  int64          `msgpack:"pb,omitempty" json:"probation_ms,omitzero"` // how long the source's data and slot are kept; 0: as the policy says
	Yields     []Yield        `msgpack:"yi,omitempty" json:"yields,omitempty"`      // who yields for it, without what each is left with: see Yield.Told
}

// Kept returns what is kept of the plan of a move: all but its phases and its allocation, which are planned anew when it begins.
func (p StoredPlan) Kept(move int) Plan {
	m := p.Moves[move]
	return Plan{
		Instance: m.Instance, Source: m.Source, Target: m.Target, FromType: m.FromType, ToType: m.ToType, Fence: m.Fence, MadeAt: p.MadeAt, Start: m.Start,
		Phases: []PlanPhase{}, Profile: []PlanStep{}, Envelope: Envelope{},
		Duration: m.Figures.Duration.Median, Downtime: m.Figures.Downtime.Median, Bytes: m.Figures.Bytes.Median, Rate: m.Rate,
		Reasons: append([]string{}, m.Reasons...), Warnings: p.Says, Considered: m.Considered, Figures: &m.Figures, Ruled: m.Ruled, Starts: m.Starts,
		Probation: m.Probation, Stored: p.ID, Yields: m.Yields,
	}
}

// PlanHold returns the identifier of a reservation that keeps room for a move of a stored plan. What is to be told apart, like the ends of a transfer, comes last.
func PlanHold(plan string, move int, what string) string {
	return planHolds(plan) + strconv.Itoa(move) + "/" + what
}

// HoldsOf reports whether the reservation with the identifier keeps room for a move of the plan.
func HoldsOf(plan, reservation string) bool { return strings.HasPrefix(reservation, planHolds(plan)) }

// IsPlanHold reports whether the identifier is one of those that keep room for plans.
func IsPlanHold(reservation string) bool { return strings.HasPrefix(reservation, holdsOfPlans) }

const holdsOfPlans = "plan/"

func planHolds(plan string) string { return holdsOfPlans + plan + "/" }

// Figures is what a move is predicted to take, each as likely as not to be less, and as what it stays below in 19 of 20 cases.
type Figures struct {
	Bytes    Band  `msgpack:"b" json:"bytes"`                             // to be transferred, all rounds
	Duration Band  `msgpack:"du" json:"duration_ms"`                      // until the target serves
	Downtime Band  `msgpack:"do" json:"downtime_ms"`                      // longest silence towards clients
	Pressure int64 `msgpack:"p,omitempty" json:"pressure_milli,omitzero"` // on neighbours: the share of what the hosts may promise that is in use or taken by the transfer where that is most
}

// Band is a predicted amount.
type Band struct {
	Median int64 `msgpack:"m" json:"p50"`
	High   int64 `msgpack:"h" json:"p95"`
}

// StartWeighed is a time at which a move could begin, and what it would take then.
type StartWeighed struct {
	Start   timeline.Time `msgpack:"t" json:"start"`
	Figures Figures       `msgpack:"f" json:"figures"`
	Cost    int64         `msgpack:"c" json:"cost"`                      // lower is better; compared within one plan only
	Reason  string        `msgpack:"r,omitempty" json:"reason,omitzero"` // why it is not the one: a window, the deadline, what it costs
}

// RuledOut counts targets that have the same against them.
type RuledOut struct {
	Reason  string `msgpack:"r" json:"reason"`
	Count   int    `msgpack:"n" json:"count"`
	Example string `msgpack:"x" json:"example"` // one of them
}

// Term is one part of the score of a target.
type Term struct {
	Name   string `msgpack:"n" json:"name"`
	Points int64  `msgpack:"p" json:"points_milli"` // they add up to the score
	Says   string `msgpack:"s" json:"says"`         // what they come from, in numbers
}

// MoveWindow is a time in which instances may be moved, or may not. Where there are any in which they may, they may not at other times.
type MoveWindow struct {
	Forbid bool          `msgpack:"f,omitempty" json:"forbid,omitzero"`
	Span   timeline.Span `msgpack:"sp" json:"span,omitzero"`         // once; empty: every day, by From and To
	From   int           `msgpack:"fr,omitempty" json:"from_minute"` // of the day, in UTC
	To     int           `msgpack:"to,omitempty" json:"to_minute"`   // of the day; at or before From: of the next one
}

// Blocked is what a plan can't be done for, and what would change that.
type Blocked struct {
	Instances []string      `msgpack:"i" json:"instances"`                  // that find no place, sorted
	Proof     BlockedProof  `msgpack:"p" json:"proof"`                      //
	Host      string        `msgpack:"h,omitempty" json:"host,omitzero"`    // that comes closest
	Span      timeline.Span `msgpack:"sp" json:"span,omitzero"`             // when it is short
	Resource  resource.Kind `msgpack:"r" json:"resource"`                   // of which
	Missing   int64         `msgpack:"m,omitempty" json:"missing,omitzero"` // in the resource's unit; 0: what blocks is no resource
	Unblock   []Unblock     `msgpack:"u,omitempty" json:"unblock,omitempty"`
}

// BlockedProof says how sure it is that nothing less blocks a plan.
type BlockedProof string

// How sure it is.
const (
	BlockedSmallest BlockedProof = "smallest"  // no smaller set of instances would have to stay
	BlockedMinimal  BlockedProof = "minimal"   // with any of them gone the rest would move; a smaller set of others may be there
	BlockedNotFound BlockedProof = "not-found" // the search ended at its bound: it is not proven that there is no plan
)

// Unblock is something that would make a blocked plan possible.
type Unblock struct {
	What UnblockBy     `msgpack:"w" json:"what"`
	Says string        `msgpack:"s" json:"says"`
	At   timeline.Time `msgpack:"at,omitempty" json:"at,omitzero"` // of UnblockTime: the earliest deadline that can be met; of UnblockWindow: the end of the last one, 0 where it has none
}

// UnblockBy is what would have to be different.
type UnblockBy string

// What would have to be different.
const (
	UnblockType UnblockBy = "type" // an instance of a smaller type
	UnblockTime UnblockBy = "time" // a later deadline
	UnblockHost UnblockBy = "host" // another host

	UnblockWindow UnblockBy = "window" // a window of a host that is over, or taken back
)

// WhatIf is how a fleet that a plan is asked for differs from the one that is.
type WhatIf struct {
	Add     int      `msgpack:"a,omitempty" json:"add,omitzero"`      // hosts more
	Like    string   `msgpack:"l,omitempty" json:"like,omitzero"`     // the host that those are like
	Without []string `msgpack:"w,omitempty" json:"without,omitempty"` // hosts that are not there, sorted
}

// Bounds of stored plans.
const (
	MaxMoves      = 500      // of one plan
	MaxPlans      = 512      // that have not ended
	MaxPlansEnded = 256      // that are kept: the oldest go first
	MaxPlansSize  = 32 << 20 // bytes of all plans, by the commands that stored them: of those of which nothing follows the oldest go first
	MaxWindows    = 64       // of a plan, of the policy, of a host's capacity
)

// Valid returns an error unless w is a time.
func (w MoveWindow) Valid() error {
	const day = 24 * 60
	once := w.Span != timeline.Span{}
	switch {
	case once && (w.Span.Empty() || w.Span.Start < 0 || w.Span.End > timeline.Forever):
		return fmt.Errorf("window %s is empty, or outside the time that is computed with", w.Span)
	case once && (w.From != 0 || w.To != 0):
		return fmt.Errorf("window %s is once, and has minutes of the day: use one of them", w.Span)
	case w.From < 0 || w.From >= day || w.To < 0 || w.To > day:
		return fmt.Errorf("a window from minute %d to %d of the day: use 0 to %d", w.From, w.To, day)
	}
	return nil
}
