// Package tree makes a directory tree equal to another by content: one side indexes, one sends what differs, one applies and proves it.
package tree

import (
	"errors"
	"fmt"
	"syscall"
)

// Errors that somebody decides on.
var (
	ErrNoSpace  = errors.New("no space left on the target")      // the disk, or its quota of the file system, is full
	ErrQuota    = errors.New("more than was admitted")           // the tree has more bytes or files than the admission allows
	ErrChanged  = errors.New("changed while it was read")        // in a final round: something still writes
	ErrDigest   = errors.New("the trees differ after the round") // the target's content is not the source's
	ErrNoName   = errors.New("unknown user or group")            // an owner's name that this host does not know
	ErrProtocol = errors.New("protocol violation")               // what only a broken or hostile peer sends
	ErrPolicy   = errors.New("not allowed on this host")         // a device or set-id bit that the target does not take
)

// Limits of what a peer may say. They bound memory before anything is decoded.
const (
	maxPath     = 4095 // bytes of a path below the root, and of a link's target: the kernel's own limit
	maxName     = 256  // bytes of a user's or an attribute's name
	maxXattrs   = 128
	maxXattr    = 64 << 10 // bytes of one value: the kernel's own limit
	maxFileSize = 1 << 44  // bytes, holes included: the most that ext4 has
	maxLinks    = 1 << 20  // files with several names that one tree may have
)

// Policy says what a target takes.
type Policy struct {
	Devices  bool  `msgpack:"d"` // device nodes
	SetID    bool  `msgpack:"s"` // set-user-ID, set-group-ID of files, and file capabilities
	MaxBytes int64 `msgpack:"b"` // bytes of content that are not zero blocks; 0 is none
	MaxFiles int64 `msgpack:"f"` // entries of any kind; 0 is none
}

// Result is what one pass over a tree found and did.
type Result struct {
	Changed int64  `msgpack:"c"` // bytes of content that were sent or written
	Total   int64  `msgpack:"t"` // bytes of content in all, sparse files at full length
	Files   int64  `msgpack:"f"` // entries of any kind
	Dropped int64  `msgpack:"x"` // entries left out or stripped because the target's policy says so
	Digest  []byte `msgpack:"d"` // SHA-256 over every entry and the tags of its content
}

// noSpace tells a full disk from other failures.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}
