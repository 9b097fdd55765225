// Package fence keeps the durable record of who may run which instance on this host, and answers systemd's question whether a unit may start.
//
// A record is one file. It is read by the agent and, while the agent is down, by the may-run command that the unit's
// drop-in calls. Every change is on the disk before it is acknowledged, and what a crash leaves is the record before or the
// record after. The transitions are pure functions of a record; Store makes them durable.
package fence

import (
	"cmp"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// Token orders the decisions about who may run an instance. The incarnation of the control plane comes first.
type Token struct {
	Incarnation uint64 `json:"incarnation"`
	Fence       uint64 `json:"fence"`
}

// Compare returns -1, 0 or 1 as t is older than, the same as, or newer than u.
func (t Token) Compare(u Token) int {
	return cmp.Or(cmp.Compare(t.Incarnation, u.Incarnation), cmp.Compare(t.Fence, u.Fence))
}

// Next returns the token of the decision that follows t in the same incarnation.
func (t Token) Next() Token { return Token{Incarnation: t.Incarnation, Fence: t.Fence + 1} }

func (t Token) String() string { return fmt.Sprintf("incarnation %d fence %d", t.Incarnation, t.Fence) }

// Moment is a time on the clock that permits are measured by: it counts from boot, suspended time included, and nothing sets it.
type Moment struct {
	Boot  string        // the kernel's boot ID
	Since time.Duration // since that boot
}

// Permit lets an instance that is not confirmed run for a while. It ends with the boot that it was given in.
type Permit struct {
	Boot         string `json:"boot"`
	ExpiresMilli int64  `json:"expires_ms"` // milliseconds since boot
}

// NewPermit returns the permit of the given length that was asked for at asked.
func NewPermit(asked Moment, length time.Duration) Permit {
	return Permit{Boot: asked.Boot, ExpiresMilli: (asked.Since + length).Milliseconds()}
}

// Valid reports whether the permit still holds at now.
func (p Permit) Valid(now Moment) bool { return p.Remaining(now) > 0 }

// Remaining returns how long the permit still holds at now; 0 when it does not.
func (p Permit) Remaining(now Moment) time.Duration {
	if p.Boot == "" || p.Boot != now.Boot {
		return 0
	}
	return max(0, time.Duration(p.ExpiresMilli)*time.Millisecond-now.Since)
}

// Record is what this host durably knows of an instance.
type Record struct {
	Version   int                `json:"version"`
	Instance  string             `json:"instance"`
	Units     []string           `json:"units"` // what may-run is asked for, by systemd's own names
	Spec      proto.InstanceSpec `json:"spec"`
	Token     Token              `json:"token"` // the newest seen
	State     proto.FenceState   `json:"state"`
	Migration string             `json:"migration,omitzero"`  // that brought it into this state
	RetiredBy string             `json:"retired_by,omitzero"` // migration that took the instance away from here, its last
	Refused   Token              `json:"refused,omitzero"`    // never starts under this token or an older one
	Permit    Permit             `json:"permit,omitzero"`     // of starting
	Peer      proto.Peer         `json:"peer,omitzero"`       // of frozen: the migration's target
	Unstarted bool               `json:"unstarted,omitzero"`  // of owner: it thawed on its target's word, and was not started yet
	TakenOut  bool               `json:"taken_out,omitzero"`  // of retired: by this host itself, because it was taken out of the fleet
}

// recordVersion is the format of the files. A newer format is not guessed at: the unit does not start.
const recordVersion = 1

// Holding returns what is told to the coordinators.
func (r Record) Holding(running bool) proto.Holding {
	return proto.Holding{Instance: r.Instance, Incarnation: r.Token.Incarnation, Fence: r.Token.Fence, State: r.State, Running: running, Migration: r.Migration}
}

// MayRun reports whether the record lets its instance run at now; if not, why, and what to do about it.
func (r Record) MayRun(now Moment) (bool, string) {
	switch r.State {
	case proto.FenceNone, proto.FenceOwner:
		return true, ""
	case proto.FenceStarting:
		if r.Permit.Valid(now) {
			return true, ""
		}
		return false, fmt.Sprintf("instance %s was starting here under a permit that has run out (%s): start the agent, which settles it with the coordinators; see `glidepath migration list`", r.Instance, r.Token)
	case proto.FenceTarget:
		return false, fmt.Sprintf("this host is being prepared as the target of migration %s of instance %s, which runs elsewhere (%s): wait for the migration, or abort it with `glidepath migration abort %s`", r.Migration, r.Instance, r.Token, r.Migration)
	case proto.FenceFrozen:
		return false, fmt.Sprintf("instance %s is frozen here: migration %s is handing it over (%s): `glidepath migration show %s` says where it runs; abort the migration to have it back", r.Instance, r.Migration, r.Token, r.Migration)
	case proto.FenceRefused:
		return false, fmt.Sprintf("this host has refused to run instance %s in migration %s (%s): it runs elsewhere; `glidepath migration show %s` says where", r.Instance, r.Migration, r.Refused, r.Migration)
	case proto.FenceRetired:
		if r.TakenOut {
			return false, fmt.Sprintf("this host was taken out of the fleet, and instance %s may run elsewhere (%s): its data are in the retention folder, see `glidepath-agent retention`; docs/operations.md says how to have it back", r.Instance, r.Token)
		}
		return false, fmt.Sprintf("instance %s has moved away from this host in migration %s (%s): bring it back with `glidepath migrate %s --to` this host, or give the unit free with `glidepath instance release`", r.Instance, r.Migration, r.Token, r.Instance)
	default:
		return false, fmt.Sprintf("the ownership record of instance %s has the unknown state %q: install the agent's version that wrote it", r.Instance, r.State)
	}
}
