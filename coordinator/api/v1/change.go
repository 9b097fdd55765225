package v1

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// ChangeKind says what a line of GET /v1/stream is about.
type ChangeKind string

// The kinds. Those after ChangeLeader are of the stream itself, and are told whatever kinds were asked for.
const (
	ChangeFleet       ChangeKind = "fleet"
	ChangeCoordinator ChangeKind = "coordinator"
	ChangeHost        ChangeKind = "host"
	ChangeType        ChangeKind = "type"
	ChangeApplication ChangeKind = "application"
	ChangeInstance    ChangeKind = "instance"
	ChangeReservation ChangeKind = "reservation"
	ChangeMigration   ChangeKind = "migration"
	ChangeEvent       ChangeKind = "event"
	ChangePlan        ChangeKind = "plan"   // that is stored
	ChangeNotice      ChangeKind = "notice" // a promise can't be kept, or was changed for somebody else's
	ChangeToken       ChangeKind = "token"  // for admins alone
	ChangeLeader      ChangeKind = "leader" // another coordinator leads, or none

	ChangeBegin     ChangeKind = "begin"     // first line: what changes after its index follows
	ChangeHeartbeat ChangeKind = "heartbeat" // nothing has changed for a while
	ChangeResync    ChangeKind = "resync"    // some of what changed is not told: list again what is followed
	ChangeEnd       ChangeKind = "end"       // last line: the message says why
)

// ChangeKinds lists the kinds that can be asked for.
func ChangeKinds() []ChangeKind {
	return []ChangeKind{
		ChangeFleet, ChangeCoordinator, ChangeHost, ChangeType, ChangeApplication, ChangeInstance, ChangeReservation, ChangeMigration, ChangeEvent, ChangePlan, ChangeNotice,
		ChangeToken, ChangeLeader,
	}
}

// ChangeWhat says what happened to an object.
type ChangeWhat string

// What happens.
const (
	ChangeAdded   ChangeWhat = "added"
	ChangeChanged ChangeWhat = "changed"
	ChangeRemoved ChangeWhat = "removed"
)

// Change is a line of GET /v1/stream. It has the object as it is now, or as it was before it was removed, under the name of its kind. What
// changed several times since the line before is told once.
type Change struct {
	Index uint64        `json:"index"` // what since takes to go on after this line, at any coordinator
	At    timeline.Time `json:"at"`    // when this coordinator saw it
	Kind  ChangeKind    `json:"kind"`
	What  ChangeWhat    `json:"what,omitempty"`
	Name  string        `json:"name,omitempty"` // or identifier, of the object; of a leader "" while there is none

	Fleet       *proto.Fleet        `json:"fleet,omitempty"`
	Coordinator *proto.Coordinator  `json:"coordinator,omitempty"`
	Host        *proto.Host         `json:"host,omitempty"`
	Type        *proto.InstanceType `json:"type,omitempty"`
	Application *proto.Application  `json:"application,omitempty"`
	Instance    *proto.Instance     `json:"instance,omitempty"`
	Reservation *proto.Reservation  `json:"reservation,omitempty"`
	Migration   *MigrationStatus    `json:"migration,omitempty"`
	Event       *proto.Event        `json:"event,omitempty"`
	Plan        *proto.StoredPlan   `json:"plan,omitempty"`
	Notice      *proto.Notice       `json:"notice,omitempty"`
	Token       *proto.Token        `json:"token,omitempty"` // without its secret

	Message string `json:"message,omitempty"` // for people
}
