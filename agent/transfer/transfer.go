// Package transfer moves bulk data between two agents: one authenticated, rate-limited stream per round, confined on the receiving side.
package transfer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/proto"
)

// Errors that somebody decides on. They are the same on both sides: what fails on the target is told to the source.
var (
	ErrRefused  = errors.New("the transfer was not admitted") // nothing was changed
	ErrStale    = errors.New("a newer decision is known")
	ErrStalled  = errors.New("the transfer does not move")
	ErrReplaced = errors.New("a newer connection took over")
	ErrGivenUp  = errors.New("the round is not wanted any more") // an armed one that will not run: nothing is wrong
	ErrPeer     = errors.New("the other side failed")
	ErrNoSpace  = tree.ErrNoSpace
	ErrQuota    = tree.ErrQuota
	ErrPolicy   = tree.ErrPolicy
	ErrNoName   = tree.ErrNoName
	ErrChanged  = tree.ErrChanged
	ErrDigest   = tree.ErrDigest
	ErrProtocol = tree.ErrProtocol
)

// causes names the errors that keep their identity on the wire, the most telling first.
func causes() []cause {
	return []cause{
		{"no-space", ErrNoSpace}, {"quota", ErrQuota}, {"policy", ErrPolicy}, {"no-name", ErrNoName}, {"changed", ErrChanged},
		{"digest", ErrDigest}, {"refused", ErrRefused}, {"stale", ErrStale}, {"stalled", ErrStalled}, {"replaced", ErrReplaced}, {"given-up", ErrGivenUp}, {"protocol", ErrProtocol},
	}
}

type cause struct {
	name string
	err  error
}

// Fault puts an error of this package in the form that operations answer.
func Fault(err error) *proto.Fault {
	f := &proto.Fault{Code: proto.FaultFailed, What: err.Error()}
	switch {
	case errors.Is(err, ErrStalled):
		f.Code, f.Remedy = proto.FaultStalled, "look at the network between the two hosts and at the rate that the transfer was given"
	case errors.Is(err, ErrStale):
		f.Code = proto.FaultStale
	case errors.Is(err, ErrRefused):
		f.Code = proto.FaultRefused
	case errors.Is(err, ErrNoSpace):
		f.Remedy = "free space on the target, or choose another; the source was not touched"
	case errors.Is(err, ErrQuota):
		f.Remedy = "the source has grown since it was verified: plan the migration again"
	case errors.Is(err, ErrNoName):
		f.Remedy = "create the user or group on the target"
	case errors.Is(err, ErrPolicy):
		f.Remedy = "allow devices or set-id files in the target's allow.yaml, or remove them from the data"
	}
	return f
}

// Kind is what a round carries.
type Kind string

// The kinds of rounds.
const (
	Rsync  Kind = "rsync"  // an early round of a data directory, of a live source
	Index  Kind = "index"  // the target tells what it holds, so that a round of blocks can begin at once
	Blocks Kind = "blocks" // what differs by content; the final round of data
	Config Kind = "config" // the same, of a configuration path
)

// Round is one round of one path.
type Round struct {
	Migration, Instance string
	Incarnation, Fence  uint64
	Number              int    // from 1
	Kind                Kind   //
	Final               bool   // of Blocks and Config: the source is frozen, and any change is an error
	Path                int    // which of the admitted paths of that kind
	Root                string // that path, here on the source
	Ticket              string // what the admission was opened with
	Total               int64  // expected bytes, for progress; 0 if not known
	Rate                *Rate  // nil: unlimited. May be changed meanwhile
	Progress            func(done, total int64)
}

const (
	protocolVersion = 2
	handshakeTime   = 10 * time.Second
	// DefaultStall is how long a transfer may stand still.
	DefaultStall = 30 * time.Second
	// DefaultLinger is longer than clients are likely to wait once the last data have come.
	DefaultLinger = 5 * time.Second
	// armedTime is how long a round may wait, connected and ready, for the source to be frozen.
	armedTime = 10 * time.Minute
)

// Frames on the connection.
const (
	frameHello  = 'h' // source: hello
	frameAccept = 'a' // target: accept
	frameReady  = 'y' // the process of this side waits for data; before any
	frameData   = 'd'
	frameFin    = 'f' // no more data from this side
	frameEnd    = 'e' // end, the last frame of this side in an exchange
)

const (
	maxMessage = 8 << 10 // of hello, accept and end
	maxData    = 64 << 10
	maxField   = 256
)

// hello is the first frame of a connection, from the source.
type hello struct {
	Version     int    `msgpack:"v"`
	Migration   string `msgpack:"m"`
	Instance    string `msgpack:"i"`
	Incarnation uint64 `msgpack:"inc"`
	Fence       uint64 `msgpack:"fe"`
	Round       int    `msgpack:"r"`
	Kind        Kind   `msgpack:"k"`
	Final       bool   `msgpack:"fi"`
	Path        int    `msgpack:"p"`
	Ticket      string `msgpack:"t"`
	Index       string `msgpack:"x"` // the target's index that the source has, "" for none
}

// parseHello decodes a hello that may come from anybody.
func parseHello(b []byte) (hello, error) {
	var h hello
	if len(b) > maxMessage {
		return h, fmt.Errorf("%w: a hello of %d bytes", ErrProtocol, len(b))
	}
	if err := proto.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	switch {
	case h.Version != protocolVersion:
		return h, fmt.Errorf("%w: version %d of the sync protocol, this agent speaks %d; upgrade the older of the two agents", ErrRefused, h.Version, protocolVersion)
	case !validID(h.Migration) || len(h.Instance) > maxField || len(h.Ticket) > maxField || len(h.Index) > maxField:
		return h, fmt.Errorf("%w: a hello with fields too long or a malformed migration", ErrProtocol)
	case h.Kind != Rsync && h.Kind != Index && h.Kind != Blocks && h.Kind != Config:
		return h, fmt.Errorf("%w: unknown kind %.20q", ErrProtocol, h.Kind)
	case h.Path < 0 || h.Round < 0:
		return h, fmt.Errorf("%w: path %d, round %d", ErrProtocol, h.Path, h.Round)
	}
	return h, nil
}

// validID reports whether a migration's ID can be a file's name.
func validID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// accept answers a hello.
type accept struct {
	Index  string      `msgpack:"x"` // the index that the round works with
	Fresh  bool        `msgpack:"f"` // the source has it; else it follows first
	Policy tree.Policy `msgpack:"p"`
}

// end says what came of an exchange on one side.
type end struct {
	Cause  string      `msgpack:"c"` // "" if all is well, else of causes, or "failed"
	What   string      `msgpack:"w"`
	Result tree.Result `msgpack:"r"`
}

func endOf(res tree.Result, err error) end {
	if err == nil {
		return end{Result: res}
	}
	e := end{Cause: "failed", What: err.Error()}
	for _, c := range causes() {
		if errors.Is(err, c.err) {
			e.Cause = c.name
			break
		}
	}
	e.What = e.What[:min(len(e.What), maxMessage/2)]
	return e
}

// err makes an error of what the other side said.
func (e end) err(who string) error {
	if e.Cause == "" {
		return nil
	}
	for _, c := range causes() {
		if c.name == e.Cause {
			return &remoteError{fmt.Sprintf("%s: %s", who, e.What), c.err}
		}
	}
	return &remoteError{fmt.Sprintf("%s: %s", who, e.What), ErrPeer}
}

// remoteError has the words of the other side and the identity of a known error.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }
