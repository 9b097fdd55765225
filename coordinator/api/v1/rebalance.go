package v1

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// RebalanceRequest asks for moves that would make the fleet better.
type RebalanceRequest struct {
	Moves     int   `json:"moves,omitzero"`            // that are suggested at most; left out: 8
	LeastGain int64 `json:"least_gain_milli,omitzero"` // thousandths of the score that a move has to win by; left out: as the policy says
	Store     bool  `json:"store,omitzero"`            // keep them as plans, in the place of those that were suggested before

	WhatIf *proto.WhatIf `json:"what_if,omitempty"` // look at another fleet than the one that is; what is suggested for that is not stored
}

// Rebalance is what came of a look at the fleet.
type Rebalance struct {
	Now         timeline.Time `json:"now"`
	Hosts       int           `json:"hosts"`               // of the fleet
	Weighed     int           `json:"weighed"`             // instances for which a move was planned
	LeastGain   int64         `json:"least_gain_milli"`    // that a move has to win by
	Before      int64         `json:"strain_before_micro"` // of all hosts together, as it is
	After       int64         `json:"strain_after_micro"`  // with all that is suggested done
	Suggestions []Suggestion  `json:"suggestions"`         // in the order in which they were found: each is weighed with those before it done
	Says        []string      `json:"says"`                // in words, most telling first
}

// Suggestion is a move that would make the fleet better.
type Suggestion struct {
	Plan     string        `json:"plan,omitzero"` // that keeps it; left out: it is not stored
	Instance string        `json:"instance"`
	Source   string        `json:"source"`
	Target   string        `json:"target"`
	Start    timeline.Time `json:"start"`
	Stays    int64         `json:"stays_milli"`  // the score of staying
	Scores   int64         `json:"scores_milli"` // that of the target
	Cost     int64         `json:"cost_milli"`   // the share of a day that the move takes
	Wins     int64         `json:"wins_milli"`   // what is left with both taken off
	Relief   int64         `json:"relief_micro"` // what it takes off the strain of its hosts together
	Strain   []Strain      `json:"strain"`       // of source and target
	Figures  proto.Figures `json:"figures"`
	Reason   string        `json:"reason"`
	Reasons  []string      `json:"reasons"` // in the order of their weight
	Warnings []string      `json:"warnings,omitempty"`
}

// Strain is how badly a host is filled, in millionths, before and after a move.
type Strain struct {
	Host   string `json:"host"`
	Before int64  `json:"before_micro"`
	After  int64  `json:"after_micro"`
}
