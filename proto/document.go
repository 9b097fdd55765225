package proto

import (
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// DocumentVersion orders documents: an agent refuses one that is not newer than what it has stored.
type DocumentVersion struct {
	Incarnation uint64 `msgpack:"inc" json:"incarnation"`
	Revision    uint64 `msgpack:"rev" json:"revision"`
}

// Newer reports whether v comes after w.
func (v DocumentVersion) Newer(w DocumentVersion) bool {
	if v.Incarnation != w.Incarnation {
		return v.Incarnation > w.Incarnation
	}
	return v.Revision > w.Revision
}

// MemoryGiveBack is how long before its bound falls an agent begins to lower an instance's memory, which takes time to reclaim. Who
// promises memory lets the promise end that much later than the need for it.
const MemoryGiveBack = 30 * time.Second

// MemoryYields is from when on memory that others yield now may be planned for: they give it back first, and have to learn of that before.
const MemoryYields = MemoryGiveBack + 15*time.Second

// Document is everything one host's agent needs to allocate without asking: the schedules of all its instances.
type Document struct {
	Host      string             `msgpack:"h" json:"host"`
	Version   DocumentVersion    `msgpack:"v" json:"version"`
	IssuedAt  timeline.Time      `msgpack:"at" json:"issued_at"`
	Paused    bool               `msgpack:"pz" json:"paused,omitzero"` // lift every limit
	Headroom  timeline.Profile   `msgpack:"hr" json:"headroom"`        // what feedback may hand out over all instances together
	Instances []InstanceSchedule `msgpack:"i" json:"instances"`        // sorted by instance
}

// InstanceSchedule is the schedule of one instance on one host, and how far its agent may depart from it. At every
// instant Floor ≤ Safe ≤ Schedule ≤ Promised ≤ Max holds for each resource.
type InstanceSchedule struct {
	Instance string           `msgpack:"i" json:"instance"`
	Spec     InstanceSpec     `msgpack:"sp" json:"spec"`
	Fence    uint64           `msgpack:"fe" json:"fence"`
	Schedule timeline.Profile `msgpack:"s" json:"schedule"`
	Promised timeline.Profile `msgpack:"p" json:"promised"` // by the committed envelope; feedback goes as far as this and the host's headroom
	Floor    resource.Vector  `msgpack:"fl" json:"floor"`
	Safe     resource.Vector  `msgpack:"sf" json:"safe"`    // held when Schedule has run out
	Max      resource.Vector  `msgpack:"mx" json:"max"`     // of the instance type; what the drop-in tells systemd
	Limited  bool             `msgpack:"li" json:"limited"` // false in mode observe and when paused: measured, never limited
}
