package v1

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// ReservationRequest asks for capacity over time on a host, by an operator's word. It has to end.
type ReservationRequest struct {
	ID    string      `json:"id,omitempty"` // "" lets the coordinator choose
	Host  string      `json:"host"`
	Class proto.Class `json:"class,omitempty"` // "": standard

	// Envelope is what is held. The start 0 of its first segment is now, the end 0 of its last one is open: then Until says when the hold lapses.
	Envelope proto.Envelope  `json:"envelope"`
	Floor    resource.Vector `json:"floor,omitzero"`  // below which it never yields
	Until    timeline.Time   `json:"until,omitempty"` // 0: as long as the envelope
	Gaps     bool            `json:"gaps,omitempty"`  // nothing is meant to be held between segments that do not touch; else a gap is refused
}

// ReservationsRequest holds capacity, all or nothing, on any number of hosts.
type ReservationsRequest struct {
	Reservations []ReservationRequest `json:"reservations"`
	Squeeze      bool                 `json:"squeeze,omitempty"` // lower classes yield where there is no room else
}

// ExtendRequest lets a reservation that an operator holds last longer.
type ExtendRequest struct {
	Until   timeline.Time `json:"until"` // what its envelope holds at last goes on until then
	Squeeze bool          `json:"squeeze,omitempty"`
}

// ReservationsReply is what is held, and who has yielded for it.
type ReservationsReply struct {
	Reservations []proto.Reservation `json:"reservations"`
	Yields       []proto.Yield       `json:"yields"`
}

// VerdictRequest asks what would come of a change of reservations, all or nothing.
type VerdictRequest struct {
	Reservations []ReservationRequest `json:"reservations,omitempty"` // that would be held
	Extend       []Extension          `json:"extend,omitempty"`
	Release      []string             `json:"release,omitempty"` // identifiers
}

// Extension is a reservation that would last longer.
type Extension struct {
	ID    string        `json:"id"`
	Until timeline.Time `json:"until"`
}

// Verdict is what would come of a change of reservations.
type Verdict struct {
	Fits     bool             `json:"fits"`             // as it is asked for, without anybody yielding
	Squeezed bool             `json:"squeezed"`         // it does not, and would if those in yields did
	Short    *proto.Shortfall `json:"short,omitempty"`  // what it is refused for; with all yielding that may, where that is not enough
	Hosts    []HostVerdict    `json:"hosts"`            // that it touches, sorted by name
	Yields   []proto.Yield    `json:"yields"`           // who would, and how; sorted by identifier
	Harm     int64            `json:"harm_ms,omitzero"` // of all of them: of each resource the part that they would lose, times how long
	Says     []string         `json:"says"`             // in words
}

// HostVerdict is what would come of a change on one host.
type HostVerdict struct {
	Host     string           `json:"host"`
	Short    *proto.Shortfall `json:"short,omitempty"`   // what it is refused for here
	Already  *proto.Shortfall `json:"already,omitempty"` // what is short there without the change
	Tightest *Tightest        `json:"tightest,omitempty"`
}

// Tightest is where the least share of anything that has a limit is left.
type Tightest struct {
	Resource resource.Kind `json:"resource"`
	Span     timeline.Span `json:"span"`
	Free     int64         `json:"free"` // in the resource's unit; less than nothing where the host is short
	Limit    int64         `json:"limit"`
}

// StepFault is the step of an envelope that can't be taken.
type StepFault struct {
	Step  int                `json:"step"` // of its segments, counted from 0
	Span  timeline.Span      `json:"span"`
	Fault timeline.StepFault `json:"fault"`
}
