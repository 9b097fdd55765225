package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// FleetInit makes the fleet. It is refused when there is one.
type FleetInit struct {
	Fleet    string `msgpack:"f"`  // identifier
	GridStep int64  `msgpack:"gs"` // milliseconds; 1 s to 1 h, a divisor of 24 h
	Policy   Policy `msgpack:"p"`
}

// PolicyPut replaces the policy. A policy under which a host would promise more than it may is refused.
type PolicyPut struct {
	Policy   Policy `msgpack:"p"`
	Revision uint64 `msgpack:"rv"` // that it replaces; 0: any
}

// Least returns the version that filling hosts one after another came with, where they are.
func (p PolicyPut) Least() uint8 {
	if p.Policy.Fill != FillSpread {
		return 3
	}
	return 2
}

// IncarnationRaise begins a new life of the control plane, after it was restored from a backup. Nothing is operated on a
// host until its agent has reported what it runs.
type IncarnationRaise struct {
	From   uint64 `msgpack:"fr"`
	Reason string `msgpack:"r"`
}

// CoordinatorPut states a coordinator of the Raft configuration. It is refused for one that was taken out, by its identity.
type CoordinatorPut struct {
	Coordinator Coordinator `msgpack:"c"`
}

// CoordinatorRemove forgets a coordinator. It is refused while it is the home of a host; as a standby it is struck out. Its identity is
// refused from then on.
type CoordinatorRemove struct {
	Name string `msgpack:"n"`
}

// Tick moves the ledger's grid to the leader's time and drops the reservations that have lapsed.
type Tick struct{}

// Pause lifts or restores every limit of the fleet, or of one host or one instance.
type Pause struct {
	Host     string `msgpack:"h"`
	Instance string `msgpack:"i"`
	Paused   bool   `msgpack:"pz"`
}

// PausedBy is whose word lifts limits.
type PausedBy string

// What limits are lifted by. Each is taken back by itself.
const (
	PausedFleet    PausedBy = "fleet"
	PausedHost     PausedBy = "host"
	PausedInstance PausedBy = "instance"
	PausedThere    PausedBy = "agent" // said on the host itself, where no coordinator answered
)

// HostRegister states a host's facts, new or changed. It is refused for one that was taken out, by its identity.
type HostRegister struct {
	Facts       HostFacts  `msgpack:"f"`
	Incarnation uint64     `msgpack:"inc"`          // of the fleet, under which the agent has reported its holdings; 0: it has not
	Identity    string     `msgpack:"id,omitempty"` // SHA-256 of the agent's public key, hex
	Conflicts   []Conflict `msgpack:"cf,omitempty"` // where its report and the tables can't both be right; one that blocks means that it has not reported
}

// Asks returns the command that came with the score of a host's CPU, if there is one.
func (h HostRegister) Asks() CommandType {
	if h.Facts.CPUScore != 0 {
		return CmdMigrationLearned
	}
	return 0
}

// HostHome assigns a host's home and standby.
type HostHome struct {
	Host    string `msgpack:"h"`
	From    string `msgpack:"fr"` // home that is replaced; it is stale when another is
	Home    string `msgpack:"ho"`
	Standby string `msgpack:"s"` // "" for none
}

// HostSet states what an operator decided on a host: all of it.
type HostSet struct {
	Host     string           `msgpack:"h"`
	Cordoned bool             `msgpack:"c"`
	Override resource.Vector  `msgpack:"o"`
	Reduced  timeline.Profile `msgpack:"rd"`
	Revision uint64           `msgpack:"rv,omitempty"` // of the decisions that it replaces; 0: any
}

// HostDebt states the memory that a host could not take back, in bytes.
type HostDebt struct {
	Host string `msgpack:"h"`
	Debt int64  `msgpack:"d"`
}

// HostForget removes a host that holds nothing, or one that died for good, with the instances that it owned. Its identity is refused
// from then on.
type HostForget struct {
	Host   string   `msgpack:"h"`
	Dead   bool     `msgpack:"x,omitempty"` // whatever it holds, it died for good
	Lost   []string `msgpack:"l,omitempty"` // with Dead: the instances that whoever decides knows to be lost, sorted. With others it is a conflict
	Reason string   `msgpack:"r,omitempty"`
}

// HostSystem puts the envelope of a host's own use. It is a fact: it is taken even when the host is then short.
type HostSystem struct {
	Host     string   `msgpack:"h"`
	Envelope Envelope `msgpack:"e"`
}

// TypePut defines an instance type, or changes its limits.
type TypePut struct {
	Type InstanceType `msgpack:"t"`
}

// TypeRemove removes an instance type that nothing uses.
type TypeRemove struct {
	Name string `msgpack:"n"`
}

// AppPut states what is known of an application.
type AppPut struct {
	Application Application `msgpack:"a"`
}

// AppRemove removes an application that no instance names.
type AppRemove struct {
	Name string `msgpack:"n"`
}

// EventPut states or changes an event.
type EventPut struct {
	Event Event `msgpack:"e"`
}

// EventRemove removes an event.
type EventRemove struct {
	ID string `msgpack:"id"`
}

// TokenCreate makes a token known by the hash of its secret.
type TokenCreate struct {
	Token Token `msgpack:"t"`
}

// TokenUse uses a join token: once, before it expires, for the role and the name that it is bound to.
type TokenUse struct {
	ID   string `msgpack:"id"`
	Role Role   `msgpack:"r"`
	Name string `msgpack:"n"` // of who joins
}

// TokenRevoke makes a token useless.
type TokenRevoke struct {
	ID string `msgpack:"id"`
}
