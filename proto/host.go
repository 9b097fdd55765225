package proto

import (
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// SystemInstance is the pseudo-instance of a host that stands for the system and everything unmanaged on it. It is
// measured, forecast and reserved like any other; no limit is ever set on it.
const SystemInstance = "@system"

// HostFacts is what an agent states about its host. An agent can speak only of its own host.
type HostFacts struct {
	Name         string          `msgpack:"name" json:"name"`
	MachineID    string          `msgpack:"mid" json:"machine_id"`
	BootID       string          `msgpack:"boot" json:"boot_id"`
	Kernel       string          `msgpack:"kern" json:"kernel"`
	OS           string          `msgpack:"os" json:"os"`
	AgentVersion string          `msgpack:"ver" json:"agent_version"`
	CPUModel     string          `msgpack:"cpu" json:"cpu_model"`
	CPUs         int             `msgpack:"cpus" json:"cpus"`
	Capacity     resource.Vector `msgpack:"cap" json:"capacity"`           // all the host has; Unlimited where it is not known
	Allocatable  resource.Vector `msgpack:"alloc" json:"allocatable"`      // what may be promised
	Controllers  []string        `msgpack:"ctl" json:"controllers"`        // cgroup v2 controllers that the agent may use, sorted
	Missing      []Missing       `msgpack:"miss" json:"missing"`           // what is not there, and how to get it
	Segment      string          `msgpack:"seg" json:"segment"`            // the L2 segment that its instances' addresses live on
	Interface    string          `msgpack:"if" json:"interface"`           // where addresses are announced
	SyncAddr     string          `msgpack:"sync" json:"sync_address"`      // host:port where the agent takes bulk data
	DiskFree     int64           `msgpack:"disk" json:"disk_free"`         // bytes free for instances' data
	Labels       []Label         `msgpack:"lbl" json:"labels,omitzero"`    // sorted by key
	PausedAt     timeline.Time   `msgpack:"pza" json:"paused_at,omitzero"` // since when every limit is lifted by a word said on the host itself, by its clock; 0: none was

	CPUScore int64 `msgpack:"cps,omitempty" json:"cpu_score,omitzero"` // what one of its CPUs does by the agent's benchmark, in rounds in a thousand seconds; 0: not measured
}

// CPU returns what of the facts tells how much work a core does.
func (f HostFacts) CPU() CPU { return CPU{Model: f.CPUModel, Score: f.CPUScore} }

// Missing is a capability that a host lacks, and what enables it.
type Missing struct {
	What   string `msgpack:"w" json:"what"`
	Remedy string `msgpack:"r" json:"remedy"`
}

// LacksClock is missing on a host whose clock is too far from the coordinators' to be corrected. It takes part in no move.
const LacksClock = "a clock that agrees with the coordinators'"

// Lacks returns what is missing by that name, if it is.
func (f HostFacts) Lacks(what string) (Missing, bool) {
	at := slices.IndexFunc(f.Missing, func(m Missing) bool { return m.What == what })
	if at < 0 {
		return Missing{}, false
	}
	return f.Missing[at], true
}

// Label is a name and a value by which hosts and instances are selected.
type Label struct {
	Key   string `msgpack:"k" json:"key"`
	Value string `msgpack:"v" json:"value"`
}

// Hello opens an agent's session. The coordinator answers a HelloReply.
type Hello struct {
	Version   int             `msgpack:"v" json:"version"`
	Facts     HostFacts       `msgpack:"f" json:"facts"`
	Document  DocumentVersion `msgpack:"d" json:"document"` // the stored document, zero if none
	Instances []Holding       `msgpack:"i" json:"instances"`
	SentAt    timeline.Time   `msgpack:"t" json:"sent_at"` // the agent's clock
}

// HelloReply tells an agent who its home is, and the coordinators' time.
type HelloReply struct {
	Version      int           `msgpack:"v" json:"version"`
	Fleet        string        `msgpack:"fl" json:"fleet"`
	Incarnation  uint64        `msgpack:"inc" json:"incarnation"`
	Home         string        `msgpack:"home" json:"home"`          // name of the home coordinator
	HomeAddr     string        `msgpack:"ha" json:"home_address"`    // where to dial it; the session belongs there
	Coordinators []string      `msgpack:"co" json:"coordinators"`    // RPC addresses of all, sorted, to be remembered
	ReceivedAt   timeline.Time `msgpack:"t" json:"received_at"`      // the coordinator's clock
	GridStep     int64         `msgpack:"gs" json:"grid_step_milli"` // milliseconds
}

// Holding is what a host has of an instance: its fence record and whether it runs.
type Holding struct {
	Instance    string     `msgpack:"i" json:"instance"`
	Incarnation uint64     `msgpack:"inc" json:"incarnation"`
	Fence       uint64     `msgpack:"fe" json:"fence"`
	State       FenceState `msgpack:"s" json:"state"`
	Running     bool       `msgpack:"r" json:"running"`
	Migration   string     `msgpack:"m" json:"migration,omitzero"`
}

// FenceState is what the durable ownership record of a host says about an instance.
type FenceState string

// The states of an ownership record. Only Owner and, under an unexpired permit, Starting may run the instance.
const (
	FenceNone     FenceState = ""         // this host has nothing to do with the instance
	FenceOwner    FenceState = "owner"    // runs it, announces its address
	FenceTarget   FenceState = "target"   // being prepared; may not run it
	FenceFrozen   FenceState = "frozen"   // was the owner; stopped; may not run it
	FenceStarting FenceState = "starting" // may run it under a permit, unannounced
	FenceRefused  FenceState = "refused"  // durably refused the fence: will never start under it
	FenceRetired  FenceState = "retired"  // gave it away; keeps data for a return
)
