package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Host is a host as the coordinators know it: what its agent states, and what operators and the leader decided.
type Host struct {
	Facts       HostFacts        `msgpack:"f" json:"facts"`
	Home        string           `msgpack:"h" json:"home,omitzero"`                          // coordinator
	Standby     string           `msgpack:"s" json:"standby,omitzero"`                       // coordinator
	Incarnation uint64           `msgpack:"inc" json:"incarnation"`                          // of the control plane that the agent last reported its holdings to
	Cordoned    bool             `msgpack:"c" json:"cordoned,omitzero"`                      // nothing new is placed here
	Paused      bool             `msgpack:"pz" json:"paused,omitzero"`                       // every limit on it is lifted
	Override    resource.Vector  `msgpack:"o" json:"override,omitzero"`                      // allocatable by an operator's word; 0: what the agent states
	Reduced     timeline.Profile `msgpack:"rd" json:"reduced,omitempty"`                     // what is not there for a while
	Debt        int64            `msgpack:"d" json:"memory_debt,omitzero"`                   // bytes of memory that it could not take back
	Identity    string           `msgpack:"id,omitempty" json:"identity,omitzero"`           // SHA-256 of its agent's public key, hex; "" until that has said hello
	Revision    uint64           `msgpack:"rv,omitempty" json:"decisions_revision,omitzero"` // of what operators decided: Cordoned, Override, Reduced, Windows, Drain
	JoinedAt    timeline.Time    `msgpack:"at" json:"joined_at"`
	ChangedAt   timeline.Time    `msgpack:"ca" json:"changed_at"`
	Conflicts   []Conflict       `msgpack:"cf,omitempty" json:"conflicts,omitempty"` // of what its agent reported last with the tables
	Windows     []CapacityWindow `msgpack:"w,omitempty" json:"windows,omitempty"`    // in which some of its capacity is not there, sorted by identifier
	Drain       *Drain           `msgpack:"dr,omitempty" json:"drain,omitempty"`     // nil: it is not drained
}

// Conflict is where what a host's agent reports of an instance and what the tables say can't both be right.
type Conflict struct {
	Instance string `msgpack:"i" json:"instance"`
	What     string `msgpack:"w" json:"what"`
	Blocks   bool   `msgpack:"b" json:"blocks"` // the host is not operated before it is resolved
}

// Allocatable returns what may be promised on h before ratio, reductions and debt: the agent's figures, and an operator's where he set one.
func (h Host) Allocatable() resource.Vector {
	v := h.Facts.Allocatable
	for i, n := range h.Override {
		if n != 0 {
			v[i] = n
		}
	}
	return v
}

// InstanceType is a named set of maximum limits.
type InstanceType struct {
	Name string          `msgpack:"n" json:"name" yaml:"name"`
	Max  resource.Vector `msgpack:"x" json:"max" yaml:"max"` // Unlimited where there is none

	Revision uint64 `msgpack:"rv,omitempty" json:"revision,omitzero" yaml:"-"` // rises with every change; 0: it has not been changed since revisions are counted
}

// Application is what is known of a kind of software, whatever the instance.
type Application struct {
	Name        string          `msgpack:"n" json:"name"`
	Class       Class           `msgpack:"c" json:"class,omitzero"`               // for instances that name none
	Startup     resource.Vector `msgpack:"su" json:"startup,omitzero"`            // demand on top of the forecast right after a start
	Decay       int64           `msgpack:"dc" json:"decay_s,omitzero"`            // seconds in which Startup falls to 1/e; 0: not said
	MemoryFloor int64           `msgpack:"mf" json:"memory_floor,omitzero"`       // bytes
	Floor       resource.Vector `msgpack:"fl" json:"floor,omitzero"`              // the least that an instance of it ever gets
	Downtime    int64           `msgpack:"dt" json:"max_downtime_ms,omitzero"`    // objective; 0 for none
	Throttled   int             `msgpack:"th" json:"max_throttled,omitzero"`      // objective: share of time, in ten-thousandths; 0 for none
	Revision    uint64          `msgpack:"rv,omitempty" json:"revision,omitzero"` // rises with every change; 0: it has not been changed since revisions are counted
}

// EventKind groups events that move demand alike, so that earlier ones teach about later ones.
type EventKind string

// Event is something outside that moves demand. It touches the instances it names and those that have all of its labels.
type Event struct {
	ID        string        `msgpack:"id" json:"id"`
	Kind      EventKind     `msgpack:"k" json:"kind"`
	Title     string        `msgpack:"t" json:"title,omitzero"`
	Span      timeline.Span `msgpack:"sp" json:"span"`
	Size      int64         `msgpack:"z" json:"size_milli,omitzero"` // expected size against the usual of its kind, in thousandths; 0: as usual
	Instances []string      `msgpack:"i" json:"instances,omitempty"` // sorted
	Selector  []Label       `msgpack:"l" json:"selector,omitempty"`  // sorted by key
	Source    string        `msgpack:"s" json:"source,omitzero"`     // who told: an operator's name, a feed
	ChangedAt timeline.Time `msgpack:"ca" json:"changed_at"`
	Calendar  string        `msgpack:"cl,omitempty" json:"calendar,omitzero"` // that it follows; "": it was registered by hand
}

// Touches reports whether the event names the instance or selects it by its labels. An event with neither touches none.
func (e Event) Touches(s InstanceSpec) bool {
	for _, name := range e.Instances {
		if name == s.Name {
			return true
		}
	}
	if len(e.Selector) == 0 {
		return false
	}
	for _, want := range e.Selector {
		found := false
		for _, has := range s.Labels {
			found = found || has == want
		}
		if !found {
			return false
		}
	}
	return true
}
