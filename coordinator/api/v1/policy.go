package v1

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// FleetPolicy is how the fleet promises capacity and moves instances, and who said so.
type FleetPolicy struct {
	proto.Policy
	Revision uint64        `json:"revision"`
	By       string        `json:"by,omitempty"` // who changed it last
	At       timeline.Time `json:"at,omitzero"`
}

// PolicyRequest is a policy in the place of the one that is there, all of it.
type PolicyRequest struct {
	proto.Policy
	Revision uint64 `json:"revision,omitempty"` // of the policy as whoever decides saw it: after another decision it is a conflict. 0: any
}
