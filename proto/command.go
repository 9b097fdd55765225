package proto

import (
	"errors"
	"fmt"

	"github.com/glidepath/glidepath/internal/timeline"
)

// CommandType names a replicated command. A coordinator that does not know a type with the high bit set skips it; any
// other unknown type stops it, because its tables would no longer be those of the others.
type CommandType uint8

// Ignorable is the bit of types that an older coordinator may skip.
const Ignorable CommandType = 0x80

// The commands. A number is never used again.
const (
	CmdFleetInit         CommandType = 1
	CmdPolicyPut         CommandType = 2
	CmdIncarnationRaise  CommandType = 3
	CmdCoordinatorPut    CommandType = 4
	CmdCoordinatorRemove CommandType = 5
	CmdTick              CommandType = 6
	CmdPause             CommandType = 7

	CmdHostRegister CommandType = 16
	CmdHostHome     CommandType = 17
	CmdHostSet      CommandType = 18
	CmdHostDebt     CommandType = 19
	CmdHostForget   CommandType = 20
	CmdHostSystem   CommandType = 21
	CmdHostWindow   CommandType = 22
	CmdHostDrain    CommandType = 23

	CmdTypePut     CommandType = 32
	CmdTypeRemove  CommandType = 33
	CmdAppPut      CommandType = 34
	CmdAppRemove   CommandType = 35
	CmdEventPut    CommandType = 36
	CmdEventRemove CommandType = 37
	CmdTokenCreate CommandType = 38
	CmdTokenUse    CommandType = 39
	CmdTokenRevoke CommandType = 40

	CmdCalendarPut    CommandType = 41
	CmdCalendarRemove CommandType = 42
	CmdCalendarPoll   CommandType = 43

	CmdTypeRevise CommandType = 44
	CmdAppRevise  CommandType = 45

	CmdInstanceApply   CommandType = 48
	CmdInstanceAdopted CommandType = 49
	CmdInstanceMode    CommandType = 50
	CmdInstanceRelease CommandType = 51
	CmdInstanceRemove  CommandType = 52

	CmdReservationChange CommandType = 64
	CmdAdmit             CommandType = 65
	CmdNotice            CommandType = 66

	CmdMigrationStart    CommandType = 80
	CmdMigrationReturn   CommandType = 81
	CmdMigrationAdvance  CommandType = 82
	CmdMigrationRecord   CommandType = 83
	CmdMigrationFreeze   CommandType = 84
	CmdMigrationCommit   CommandType = 85
	CmdMigrationConfirm  CommandType = 86
	CmdMigrationAbort    CommandType = 87
	CmdMigrationThaw     CommandType = 88
	CmdMigrationComplete CommandType = 89
	CmdMigrationEnd      CommandType = 90
	CmdAcceptLoss        CommandType = 91
	CmdMigrationPrune    CommandType = 92
	CmdProbationEnd      CommandType = 93
	CmdMigrationAdmit    CommandType = 94
	CmdMigrationLearned  CommandType = 95

	CmdPlanPut    CommandType = 100
	CmdPlanChange CommandType = 101
	CmdPlanBegin  CommandType = 102
)

// Command is one entry of the replicated log. At and Actor are stamped by the leader before it is proposed.
type Command struct {
	Type    CommandType   `msgpack:"t" json:"type"`
	Version uint8         `msgpack:"v" json:"version"`
	ID      string        `msgpack:"id" json:"id"`             // of the request: the same one is applied once
	At      timeline.Time `msgpack:"at" json:"at"`             // the leader's clock
	Actor   string        `msgpack:"by" json:"actor,omitzero"` // who asked
	Body    []byte        `msgpack:"b" json:"body"`
}

// Body is the typed content of a command.
type Body interface {
	// Command returns the type of the command whose body this is.
	Command() CommandType
}

// Asking is a body with something in it that came later than its command, and that programs which know only the command would leave out of their tables.
type Asking interface {
	// Asks returns the command that came with it: the body is proposed only where that is known, too. 0: there is nothing like that in it.
	Asks() CommandType
}

// Versioned is a body that is of an older version of its command as long as nothing is in it that came with a newer one.
type Versioned interface {
	// Least returns the oldest version of the command that has all that is in the body.
	Least() uint8
}

// Errors of decoding a command that somebody decides on.
var (
	ErrUnknownCommand = errors.New("unknown command: this program is older than the coordinator that proposed it; install the same version on every coordinator")
	ErrIgnored        = errors.New("unknown command that may be skipped")
)

// NewCommand returns the command with the body, in the newest version that this program knows, or the oldest that has all that is in it. The identifier is that of
// the request; the leader stamps the time.
func NewCommand(id, actor string, body Body) (Command, error) {
	b, err := Marshal(body)
	if err != nil {
		return Command{}, err
	}
	if len(b) > MaxCommand {
		return Command{}, fmt.Errorf("the body of %s has %d bytes: at most %d can be committed", body.Command(), len(b), MaxCommand)
	}
	version := body.Command().Version()
	if v, ok := body.(Versioned); ok {
		version = v.Least()
	}
	return Command{Type: body.Command(), Version: version, ID: id, Actor: actor, Body: b}, nil
}

// Decode returns the typed body. The error wraps ErrUnknownCommand for a type or version that this program does not
// know and that must not be skipped, ErrIgnored for one that may be, and ErrMalformed for a body that is not what its
// type says.
func (c Command) Decode() (Body, error) {
	body := newBody(c.Type)
	if body == nil || c.Version > c.Type.Version() {
		if c.Type&Ignorable != 0 {
			return nil, fmt.Errorf("%w: type %d version %d", ErrIgnored, c.Type, c.Version)
		}
		return nil, fmt.Errorf("%w: type %d version %d", ErrUnknownCommand, c.Type, c.Version)
	}
	if len(c.Body) > MaxCommand {
		return nil, fmt.Errorf("%w: the body of %s has %d bytes, at most %d are taken", ErrMalformed, c.Type, len(c.Body), MaxCommand)
	}
	if change, ok := body.(*ReservationChange); ok {
		if change.readPlain(c.Body) {
			return change, nil
		}
		*change = ReservationChange{}
	}
	if err := Unmarshal(c.Body, body); err != nil {
		if errors.Is(err, ErrMalformed) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return body, nil
}

// Version returns the newest version of the command that this program can apply; 0 for an unknown one.
func (t CommandType) Version() uint8 {
	if newBody(t) == nil {
		return 0
	}
	switch t {
	case CmdHostForget:
		return 2 // since then of a host that died, too: whoever knows only the first would refuse what others carry out
	case CmdInstanceApply:
		return 2 // since then with signals, too: without any it is of the first
	case CmdPolicyPut:
		return 3 // since 2 of windows, moves over one link and rebalancing, too, since 3 of which hosts are filled first: without that it is of the second
	}
	return 1
}

// KnownCommands returns every command type that this program can apply, sorted by type.
func KnownCommands() []KnownType {
	var known []KnownType
	for t := 0; t <= 0xff; t++ {
		if v := CommandType(t).Version(); v != 0 {
			known = append(known, KnownType{CommandType(t), v})
		}
	}
	return known
}

// ResultCode says what came of a command.
type ResultCode string

// The result codes.
const (
	ResultOK       ResultCode = "ok"
	ResultRefused  ResultCode = "refused"   // not allowed as things are: capacity, policy, something in use
	ResultNotFound ResultCode = "not_found" // what it names is not there
	ResultConflict ResultCode = "conflict"  // another thing of that name, or another decision, was first
	ResultStale    ResultCode = "stale"     // it was made against a fence, phase or revision that has passed
	ResultInvalid  ResultCode = "invalid"   // malformed, or a value that can never be right
	ResultUnknown  ResultCode = "unknown"   // this coordinator's program does not know the command: it must stop
)

// Result is what came of a command: the same on every coordinator.
type Result struct {
	Code      ResultCode `msgpack:"c" json:"code"`
	Message   string     `msgpack:"m" json:"message,omitzero"` // names the object, the fault and the remedy
	Shortfall *Shortfall `msgpack:"sf" json:"shortfall,omitempty"`
	Fence     uint64     `msgpack:"fe" json:"fence,omitzero"`    // of the instance, after a decision on it
	Repeated  bool       `msgpack:"rp" json:"repeated,omitzero"` // this is the result of an earlier command with the same ID
}

// OK reports whether the command was done.
func (r Result) OK() bool { return r.Code == ResultOK }

// Stop returns an error that wraps ErrUnknownCommand when the coordinator that applied the command must stop.
func (r Result) Stop() error {
	if r.Code == ResultUnknown {
		return fmt.Errorf("apply: %w (%s)", ErrUnknownCommand, r.Message)
	}
	return nil
}

// Err returns nil for a command that was done, and the refusal as an error otherwise; errors.As finds the *Refusal.
func (r Result) Err() error {
	if r.OK() {
		return nil
	}
	return &Refusal{Result: r}
}

// Refusal is a result other than ok, as an error.
type Refusal struct{ Result Result }

// Error returns the message.
func (r *Refusal) Error() string { return string(r.Result.Code) + ": " + r.Result.Message }

// Proposal asks the leader to commit a command for another coordinator.
type Proposal struct {
	Command Command `msgpack:"c" json:"command"`
}

// ProposalReply is the result, and the index at which the command was committed; a follower that has applied that index
// has seen it. Leader is set, and nothing was committed, when the coordinator asked is not the leader.
type ProposalReply struct {
	Result Result `msgpack:"r" json:"result"`
	Index  uint64 `msgpack:"i" json:"index"`
	Leader string `msgpack:"l" json:"leader,omitzero"` // RPC address
}
