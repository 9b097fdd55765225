// Package guestd is the control channel between the test bed and a guest: it runs commands and
// moves files in the guest, over one TCP connection for each request.
//
// A connection carries frames: one byte of kind, four bytes of big-endian length, the payload.
// The client sends a request (JSON), then stdin; the server sends stdout and stderr as they
// come, then the outcome (JSON). Nothing is kept between connections but the processes that
// run, so a guest that is rebooted, paused or put back to an earlier state needs no
// resynchronisation: the next request dials anew.
package guestd

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Port is the TCP port that the server in the guest listens on.
const Port = 9000

// maxFrame bounds a frame's payload in bytes, on both sides, before it is read.
const maxFrame = 1 << 20

// chunk is how much of a stream goes into one frame, in bytes.
const chunk = 64 << 10

type frameKind byte

const (
	frameRequest frameKind = iota + 1
	frameStdin
	frameStdinEnd
	frameStdout
	frameStderr
	frameOutcome
)

type operation string

const (
	opExec    operation = "exec"
	opSpawn   operation = "spawn"
	opSignal  operation = "signal"
	opRead    operation = "read"
	opWrite   operation = "write"
	opSetTime operation = "set-time"
	opHello   operation = "hello"
)

// request is what the client asks for. Which fields count depends on Op.
type request struct {
	Op operation
	// ID names a running command, chosen by the client; opSignal refers to it.
	ID     string   `json:",omitempty"`
	Argv   []string `json:",omitempty"`
	Env    []string `json:",omitempty"`
	Dir    string   `json:",omitempty"`
	Signal int      `json:",omitempty"`
	// Path is the file of opRead and opWrite, and the log of opSpawn.
	Path string `json:",omitempty"`
	// Mode is the permission bits of the file that opWrite makes.
	Mode uint32 `json:",omitempty"`
	// UnixNano is the wall clock that opSetTime sets.
	UnixNano int64 `json:",omitempty"`
}

// outcome ends every exchange.
type outcome struct {
	// Error says why the operation could not be done at all; a command that ran and failed has
	// a Code instead.
	Error string `json:",omitempty"`
	// Code is the exit code, or 128 plus the signal that ended the command.
	Code  int    `json:",omitempty"`
	PID   int    `json:",omitempty"`
	Hello *Hello `json:",omitempty"`
}

// Hello is what a guest says of itself.
type Hello struct {
	// BootID is the kernel's identifier of this boot: another one after every reboot.
	BootID string
	// UnixNano is the guest's wall clock.
	UnixNano int64
}

func writeFrame(w io.Writer, kind frameKind, payload []byte) error {
	frame := make([]byte, 5, 5+len(payload))
	frame[0] = byte(kind)
	binary.BigEndian.PutUint32(frame[1:], uint32(len(payload)))
	_, err := w.Write(append(frame, payload...))
	return err
}

func writeJSONFrame(w io.Writer, kind frameKind, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if len(payload) > maxFrame {
		return fmt.Errorf("frame of %d bytes is above the limit of %d", len(payload), maxFrame)
	}
	return writeFrame(w, kind, payload)
}

// readFrame returns io.EOF if the stream ends before a frame begins.
func readFrame(r io.Reader) (frameKind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes is above the limit of %d", size, maxFrame)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("read frame: %w", err)
	}
	return frameKind(head[0]), payload, nil
}
