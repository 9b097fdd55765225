package v1

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// DrainRequest empties a host.
type DrainRequest struct {
	Before    timeline.Time `json:"before,omitzero"`       // by then all of it has to have moved, but for probation; left out: whenever
	Probation int64         `json:"probation_ms,omitzero"` // of its migrations; left out: as the policy says
	Reason    string        `json:"reason,omitempty"`
	Squeeze   bool          `json:"squeeze,omitzero"`  // where a move has no room, reservations of lower classes yield, down to their floors
	Anyway    bool          `json:"anyway,omitzero"`   // begin also where some of it finds no other place: the rest moves
	DryRun    bool          `json:"dry_run,omitzero"`  // say how it would go; nothing is changed
	Store     bool          `json:"store,omitzero"`    // of a dry run: keep the plan that it comes to. A drain that begins is planned anew
	WhatIf    *proto.WhatIf `json:"what_if,omitempty"` // of a dry run: of another fleet than the one that is
}

// DrainStatus is a drain in short.
type DrainStatus struct {
	Host   string      `json:"host"`
	Drain  proto.Drain `json:"drain"`
	Left   int         `json:"left"`   // instances that the host owns
	Moving int         `json:"moving"` // active migrations away from it
}

// DrainDecision is why a drain is paused, goes on or is taken back.
type DrainDecision struct {
	Reason string `json:"reason,omitempty"`
}

// Drain is how far a host is emptied, or how it would be.
type Drain struct {
	Host   string            `json:"host"`
	Now    timeline.Time     `json:"now"`
	Drain  *proto.Drain      `json:"drain,omitempty"` // left out: it is not drained
	Plan   *proto.StoredPlan `json:"plan,omitempty"`  // by which it is, or would be; without an identifier none that is stored. Left out until there is one
	Moving []MigrationStatus `json:"moving"`          // active migrations away from the host, and those of other hosts' instances that make room for them
	Left   []string          `json:"left"`            // instances that the host owns, sorted
	Slots  []string          `json:"slots"`           // of instances that left it, kept there until their probation ends, sorted
}
