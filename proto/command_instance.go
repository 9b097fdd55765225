package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// InstanceApply adopts an instance, or changes what of a known one can change where it is: health, hooks, class, application,
// labels, and its envelope with it. A new one needs an envelope, which must be open; it has to fit unless the mode is
// observe.
type InstanceApply struct {
	Spec     InstanceSpec    `msgpack:"s"`
	Envelope Envelope        `msgpack:"e"` // nil: as it is
	Floor    resource.Vector `msgpack:"f"` // read with Envelope only
}

// Asks returns the command that placement came with.
func (a InstanceApply) Asks() CommandType {
	if a.Spec.Placement != nil {
		return CmdPlanPut
	}
	return 0
}

// Least returns the version that signals came with, where there are any.
func (a InstanceApply) Least() uint8 {
	if len(a.Spec.Signals) > 0 {
		return 2
	}
	return 1
}

// InstanceAdopted tells what came of adoption on the host.
type InstanceAdopted struct {
	Instance   string   `msgpack:"i"`
	Fence      uint64   `msgpack:"fe"`
	Companions []string `msgpack:"c"`  // sorted
	Fault      *Fault   `msgpack:"ft"` // nil: the agent has taken it over
}

// InstanceMode changes whether limits are set. To enforce, the instance's envelope must fit.
type InstanceMode struct {
	Instance string `msgpack:"i"`
	Mode     Mode   `msgpack:"m"`
}

// InstanceRelease begins to give an instance back to its operator. It is refused while the instance moves.
type InstanceRelease struct {
	Instance string `msgpack:"i"`
}

// InstanceRemove forgets an instance that its host's agent has released, or never adopted, and ends its reservation.
type InstanceRemove struct {
	Instance string `msgpack:"i"`
	Fence    uint64 `msgpack:"fe"`
	Fault    *Fault `msgpack:"ft"` // set: the release failed, the instance stays and says why
}

// Author says who revises an instance's envelope. While an instance moves, that is AuthorMigrate and nobody else;
// otherwise it is AuthorReplan.
type Author string

// The authors of envelopes.
const (
	AuthorMigrate  Author = "migrate"
	AuthorReplan   Author = "replan"
	AuthorOperator Author = "operator" // of holds without an instance
)

// ReservationChange changes reservations on any number of hosts, all or nothing: what is released makes room for what
// is revised and held. Reservations that instances and migrations live with can be revised, not held or released: their
// own commands do that.
type ReservationChange struct {
	Author  Author        `msgpack:"a"`
	Hold    []Reservation `msgpack:"h"` // of purpose hold, with an end; of purpose migration for an active migration
	Revise  []Revision    `msgpack:"r"`
	Release []string      `msgpack:"d"`
}

// Revision gives a reservation another envelope.
type Revision struct {
	ID       string          `msgpack:"id" json:"id"`
	From     uint64          `msgpack:"fr" json:"from,omitzero"`     // revision that it replaces; 0: any
	Envelope Envelope        `msgpack:"e" json:"envelope,omitempty"` // nil: as it is
	Floor    resource.Vector `msgpack:"f" json:"floor,omitzero"`     // read with Envelope only
	Until    timeline.Time   `msgpack:"u" json:"until,omitzero"`     // 0: as it is
}
