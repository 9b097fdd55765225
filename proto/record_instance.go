package proto

import "github.com/glidepath/glidepath/internal/timeline"

// Instance is an instance as the coordinators know it. Only its owner may run it, and only as its state allows.
type Instance struct {
	Spec        InstanceSpec  `msgpack:"sp" json:"spec"` // type and mode are the ones in force; host is where it was adopted
	Owner       string        `msgpack:"o" json:"owner"` // host
	Fence       uint64        `msgpack:"fe" json:"fence"`
	State       InstanceState `msgpack:"s" json:"state"`
	Reservation string        `msgpack:"r" json:"reservation"`           // on the owner
	Migration   string        `msgpack:"m" json:"migration,omitzero"`    // that moves it now
	Companions  []string      `msgpack:"co" json:"companions,omitempty"` // units that adoption found to belong to it, sorted
	Fault       *Fault        `msgpack:"ft" json:"fault,omitempty"`      // why adoption or release did not succeed
	Paused      bool          `msgpack:"pz" json:"paused,omitzero"`      // its limits are lifted
	AdoptedBy   string        `msgpack:"by" json:"adopted_by,omitzero"`
	CreatedAt   timeline.Time `msgpack:"at" json:"created_at"`
	ChangedAt   timeline.Time `msgpack:"ca" json:"changed_at"`
}

// Name returns the instance's name.
func (i Instance) Name() string { return i.Spec.Name }

// InstanceState says what the owner may do with an instance.
type InstanceState string

// The states of an instance.
const (
	InstanceAdopting  InstanceState = "adopting"  // runs as it always did; the owner's agent has not yet taken it over
	InstanceRunning   InstanceState = "running"   // the owner runs it and announces its address
	InstanceFrozen    InstanceState = "frozen"    // nobody may run it: between freeze and commit or abort
	InstanceStarting  InstanceState = "starting"  // the owner, its target, may run it under a permit, unannounced
	InstanceThawing   InstanceState = "thawing"   // the owner, its source, may run it once the target can't
	InstanceReleasing InstanceState = "releasing" // the owner's agent gives it back to the operator
)
