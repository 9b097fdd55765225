package v1

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// HostCalendar is how full a host is promised over the ledger's grid.
type HostCalendar struct {
	Host      string                 `json:"host"`
	Now       timeline.Time          `json:"now"`       // of the coordinator that answers
	Resources []ResourceCalendar     `json:"resources"` // those of which anything has a limit
	Tightest  *Tightest              `json:"tightest,omitempty"`
	Holders   []Holder               `json:"holders"` // of that resource in that step, who holds most first, 8 at most
	Steps     []HostStep             `json:"steps"`   // equal neighbours joined
	Short     []proto.Shortfall      `json:"short"`   // what can't be kept, in order of time
	Windows   []proto.CapacityWindow `json:"windows"` // when some or all of it is not there
}

// ResourceCalendar is where one resource of a host is fullest.
type ResourceCalendar struct {
	Resource resource.Kind `json:"resource"`
	Tightest Tightest      `json:"tightest"`
}

// Holder is who holds some of a host.
type Holder struct {
	Reservation string      `json:"reservation"`
	Instance    string      `json:"instance,omitempty"`
	Class       proto.Class `json:"class"`
	Amount      int64       `json:"amount"` // firm and mean, in the resource's unit
}
