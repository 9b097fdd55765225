package v1

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// BeginRequest has a stored plan carried out.
type BeginRequest struct {
	Now bool `json:"now,omitempty"` // at once, or as soon as it is its turn, whatever its start
}

// CancelRequest cancels a stored plan.
type CancelRequest struct {
	Reason string `json:"reason,omitempty"`
}

// PlanSummary is a stored plan in short.
type PlanSummary struct {
	ID        string           `json:"id"`
	Kind      proto.PlanKind   `json:"kind"`
	Status    proto.PlanStatus `json:"status"`
	Reason    string           `json:"reason,omitzero"`   // why it has this status, in words
	Host      string           `json:"host,omitzero"`     // that a drain empties
	Instance  string           `json:"instance,omitzero"` // of its one move; left out where there are more
	Source    string           `json:"source,omitzero"`
	Target    string           `json:"target,omitzero"`
	FromType  string           `json:"from_type,omitzero"`
	ToType    string           `json:"to_type,omitzero"`
	Migration string           `json:"migration,omitzero"` // that carries its one move out
	Moves     int              `json:"moves"`
	Begun     int              `json:"begun"`          // of its moves
	Ended     int              `json:"ended"`          // of those
	Start     timeline.Time    `json:"start,omitzero"` // of the first move that has not begun
	Deadline  timeline.Time    `json:"deadline,omitzero"`
	WhatIf    bool             `json:"what_if,omitzero"` // it is of a fleet that is not there, and never begins
	MadeBy    string           `json:"made_by,omitzero"`
	MadeAt    timeline.Time    `json:"made_at"`
	EndedAt   timeline.Time    `json:"ended_at,omitzero"`
}

// SummaryOf returns a stored plan in short.
func SummaryOf(p proto.StoredPlan) PlanSummary {
	out := PlanSummary{
		ID: p.ID, Kind: p.Kind, Status: p.Status, Reason: p.Reason, Host: p.Host, Moves: len(p.Moves), Deadline: p.Deadline, WhatIf: p.WhatIf != nil,
		MadeBy: p.MadeBy, MadeAt: p.MadeAt, EndedAt: p.EndedAt,
	}
	for _, m := range p.Moves {
		if m.Migration == "" && (out.Start == 0 || m.Start < out.Start) {
			out.Start = m.Start
		}
		if m.Migration != "" {
			out.Begun++
		}
		if m.Outcome != proto.OutcomeNone {
			out.Ended++
		}
	}
	if len(p.Moves) == 1 {
		m := p.Moves[0]
		out.Instance, out.Source, out.Target, out.FromType, out.ToType, out.Migration = m.Instance, m.Source, m.Target, m.FromType, m.ToType, m.Migration
	}
	return out
}
