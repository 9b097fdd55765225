package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// OperationKind names an action of a migration, or of adoption, on one agent.
type OperationKind string

// The operations, in the order in which a migration uses them. Each is idempotent by its ID; each can be sent again.
const (
	OpAdopt   OperationKind = "adopt"   // owner: take a unit over: drop-in, fence record, address. Result: Adopted
	OpRelease OperationKind = "release" // owner: restore the unit byte for byte, lift its limits

	OpVerifySource  OperationKind = "verify-source"  // source: is it there, running, healthy; what must move. Result: SourceFacts
	OpVerifyTarget  OperationKind = "verify-target"  // target: can it be taken. Changes nothing
	OpPrepareTarget OperationKind = "prepare-target" // target: fence record, drop-in with the type's most, config set aside, receiving side opened
	OpSyncRound     OperationKind = "sync-round"     // source: one early round of its data to the target. Result: RoundResult
	OpFreeze        OperationKind = "freeze"         // source: address off, stopped, verified; durable
	OpFinalSync     OperationKind = "final-sync"     // source: last round by content, verified by the target. Result: RoundResult
	OpStart         OperationKind = "start"          // target: run it under a permit, unannounced, until healthy. Result: StartResult
	OpConfirm       OperationKind = "confirm"        // target: announce the address
	OpRetire        OperationKind = "retire"         // source: data to the retention folder, drop-in stays as a fence
	OpRefuse        OperationKind = "refuse"         // target: durably refuse the fence; stop it if it started
	OpCleanTarget   OperationKind = "clean-target"   // target: leave nothing of the migration behind
	OpThaw          OperationKind = "thaw"           // source: run again and announce: after an abort
	OpHook          OperationKind = "hook"           // either: run the instance's hooks of one point. It changes nothing of the instance, and runs beside other operations. Result: Hooks
)

// Operation is one idempotent action that the leader asks an agent for. It follows only from applied entries.
type Operation struct {
	ID          string          `msgpack:"id" json:"id"` // unique; sending it again joins or repeats the answer
	Kind        OperationKind   `msgpack:"k" json:"kind"`
	Migration   string          `msgpack:"m" json:"migration,omitzero"`
	Instance    string          `msgpack:"i" json:"instance"`
	Incarnation uint64          `msgpack:"inc" json:"incarnation"`
	Fence       uint64          `msgpack:"fe" json:"fence"`
	Deadline    timeline.Time   `msgpack:"dl" json:"deadline"` // by the coordinators' clock; 0 for none
	Spec        InstanceSpec    `msgpack:"sp" json:"spec"`
	Peer        Peer            `msgpack:"p" json:"peer,omitzero"`      // the host at the other end of the migration
	Round       int             `msgpack:"r" json:"round,omitzero"`     // of a sync round, from 1
	Rate        int64           `msgpack:"rt" json:"rate_bps,omitzero"` // bits per second for the transfer; 0 is unlimited
	Permit      timeline.Time   `msgpack:"pm" json:"permit,omitzero"`   // of start: milliseconds that the first permit lasts, from when the agent asked
	Facts       *SourceFacts    `msgpack:"sf" json:"facts,omitempty"`   // of verify-target and prepare-target: what the source said
	Max         resource.Vector `msgpack:"mx" json:"max,omitzero"`      // of prepare-target: of the instance type; what the drop-in tells systemd. Not limited if zero
	Hook        *HookCall       `msgpack:"hk" json:"hook,omitempty"`    // of hook
}

// Peer names the agent at the other end of a migration.
type Peer struct {
	Host     string `msgpack:"h" json:"host"`
	SyncAddr string `msgpack:"a" json:"sync_address"`
}

// OperationResult is what came of an operation. The same ID always gets the same final result.
type OperationResult struct {
	ID     string       `msgpack:"id" json:"id"`
	Error  *Fault       `msgpack:"e" json:"error,omitempty"` // nil: it is done
	Source *SourceFacts `msgpack:"sf" json:"source,omitempty"`
	Round  *RoundResult `msgpack:"r" json:"round,omitempty"`
	Start  *StartResult `msgpack:"st" json:"start,omitempty"`
	Adopt  *AdoptResult `msgpack:"ad" json:"adopt,omitempty"`
	Took   int64        `msgpack:"ms" json:"took_ms"`
	Steps  []TimedStep  `msgpack:"ts" json:"steps,omitempty"` // what took how long, in order
	Hooks  []HookResult `msgpack:"hk" json:"hooks,omitempty"` // of those that ran, in order
}

// TimedStep is a part of an operation and the milliseconds that it took.
type TimedStep struct {
	Name string `msgpack:"n" json:"name"`
	Took int64  `msgpack:"ms" json:"took_ms"`
}

// Codes of a Fault.
const (
	FaultRefused    = "refused"     // a condition does not hold; nothing was changed
	FaultFailed     = "failed"      // it was tried and did not work
	FaultStale      = "stale"       // the host has seen a newer decision
	FaultNotAllowed = "not-allowed" // the host's allow-list does not name it
	FaultStalled    = "stalled"     // a transfer does not move
	FaultUnhealthy  = "unhealthy"   // the health check did not pass
	FaultInDoubt    = "in-doubt"    // who may run the instance can't be told from here
)

// Fault is a refusal or failure in a form that survives the wire: what failed, for which object, and what to do.
type Fault struct {
	Code   string `msgpack:"c" json:"code"` // one of the constants above
	What   string `msgpack:"w" json:"what"`
	Remedy string `msgpack:"r" json:"remedy,omitzero"`
}

// Error returns the fault in words.
func (f *Fault) Error() string {
	if f.Remedy == "" {
		return f.What
	}
	return f.What + ": " + f.Remedy
}

// SourceFacts is what a target must match or have room for, as the source's agent states it.
type SourceFacts struct {
	Unit       string          `msgpack:"u" json:"unit"`
	Fragment   string          `msgpack:"fr" json:"fragment"`       // path of the unit file
	Executable string          `msgpack:"x" json:"executable"`      // first ExecStart
	Package    string          `msgpack:"pk" json:"package"`        // that owns the executable, "" if none
	Version    string          `msgpack:"v" json:"version"`         // of that package
	Digest     string          `msgpack:"dg" json:"digest"`         // SHA-256 of the executable, hex
	Main       *Program        `msgpack:"mp" json:"main,omitempty"` // what the main process runs where the executable only starts it
	Users      []string        `msgpack:"us" json:"users"`          // names that own data or run the unit, sorted
	Groups     []string        `msgpack:"gr" json:"groups"`         // sorted
	DataBytes  int64           `msgpack:"db" json:"data_bytes"`     // on disk, sparse files as they are
	DataFiles  int64           `msgpack:"df" json:"data_files"`
	Companions []string        `msgpack:"co" json:"companions"`
	Enabled    []string        `msgpack:"en" json:"enabled,omitempty"` // the unit and companions that start at boot, sorted
	Usage      resource.Vector `msgpack:"us8" json:"usage"`            // now
}

// Program is a file that is run, and where it is from.
type Program struct {
	Path    string `msgpack:"p" json:"path"`
	Package string `msgpack:"pk" json:"package,omitzero"` // that owns it, "" if none
	Version string `msgpack:"v" json:"version,omitzero"`  // of that package
	Digest  string `msgpack:"dg" json:"digest"`           // SHA-256, hex
}

// RoundResult is what one round of a transfer did.
type RoundResult struct {
	Bytes   int64  `msgpack:"b" json:"bytes"`   // sent over the wire
	Changed int64  `msgpack:"c" json:"changed"` // bytes of content that differed
	Total   int64  `msgpack:"t" json:"total"`   // bytes of content in all
	Files   int64  `msgpack:"f" json:"files"`
	Took    int64  `msgpack:"ms" json:"took_ms"`
	Digest  string `msgpack:"dg" json:"digest,omitzero"` // of the final round: the tree, the same on both sides
}

// StartResult is how the start on the target went.
type StartResult struct {
	ActiveAfter  int64 `msgpack:"a" json:"active_after_ms"`  // milliseconds until systemd called the unit active
	HealthyAfter int64 `msgpack:"h" json:"healthy_after_ms"` // milliseconds until the health check had passed
}

// AdoptResult is what adoption found and left.
type AdoptResult struct {
	Companions []string `msgpack:"co" json:"companions"` // units that belong to it, found
	DropIn     string   `msgpack:"di" json:"drop_in"`    // path of the drop-in
	Running    bool     `msgpack:"r" json:"running"`
	Notes      []string `msgpack:"n" json:"notes,omitempty"`
}

// PermitRequest asks the leader, by way of the home, to go on running a starting instance.
type PermitRequest struct {
	Instance    string `msgpack:"i" json:"instance"`
	Migration   string `msgpack:"m" json:"migration"`
	Incarnation uint64 `msgpack:"inc" json:"incarnation"`
	Fence       uint64 `msgpack:"fe" json:"fence"`
}

// PermitReply grants Milliseconds more, counted by the agent's monotonic clock from when it asked; 0 refuses for good.
type PermitReply struct {
	Milliseconds int64  `msgpack:"ms" json:"milliseconds"`
	Reason       string `msgpack:"r" json:"reason,omitzero"`
}

// RefusedRequest is a frozen source's question to its target: can you still start the instance in this migration under
// this token? A target that has only been prepared refuses it for good then.
type RefusedRequest struct {
	Instance    string `msgpack:"i" json:"instance"`
	Migration   string `msgpack:"m" json:"migration"`
	Incarnation uint64 `msgpack:"inc" json:"incarnation"`
	Fence       uint64 `msgpack:"fe" json:"fence"` // the one after the freeze's
}

// RefusedReply tells up to which token the target has durably refused, with nothing of the instance running there; zero
// when it has not refused what it was asked for. It is then held as State says.
type RefusedReply struct {
	Incarnation uint64     `msgpack:"inc" json:"incarnation"`
	Fence       uint64     `msgpack:"fe" json:"fence"`
	State       FenceState `msgpack:"s" json:"state"`
}

// Progress is how far a running operation is.
type Progress struct {
	ID    string `msgpack:"id" json:"id"`
	Stage string `msgpack:"s" json:"stage"`
	Bytes int64  `msgpack:"b" json:"bytes"`
	Total int64  `msgpack:"t" json:"total"` // 0 when it is not known
}
