// Package snapshot writes the replicated state to a file that is kept away from the fleet, and reads it back.
package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
)

// magic begins the first line of a file, which ends with the sum of the second one; its number is raised when what follows is no longer read by older
// programs.
const magic = "glidepath-snapshot 1 "

// maxHeader bounds the second line, in bytes.
const maxHeader = 64 << 10

// ErrSnapshot is wrapped by errors about what is no snapshot, or not a whole one.
var ErrSnapshot = errors.New("not a whole snapshot")

// Header is the second line, as JSON: what can be known without reading the tables. The tables follow as state exports them.
type Header struct {
	Fleet       string        `json:"fleet"`
	Incarnation uint64        `json:"incarnation"`
	At          timeline.Time `json:"at"`          // of the last command in the tables
	Index       uint64        `json:"index"`       // of the last entry of the log in the tables; 0: not known
	Applied     uint64        `json:"applied"`     // commands since the fleet began
	TakenAt     timeline.Time `json:"taken_at"`    // by the clock of the coordinator
	Coordinator string        `json:"coordinator"` // that it was taken from
	Program     string        `json:"program_version"`
	Stale       bool          `json:"stale,omitempty"` // taken without asking the leader whether it is all
	Size        int64         `json:"size"`            // bytes of the tables
	SHA256      string        `json:"sha256"`          // of the tables, hexadecimal
}

// Write writes a file of the view. What h says of the view itself is filled in. The tables are written twice, once to know their sum: they may be large, and
// are in memory once as it is.
func Write(w io.Writer, v *state.View, h Header) error {
	sum := sha256.New()
	size := &counter{w: sum}
	if err := v.Export(size); err != nil {
		return err
	}
	h.Fleet, h.Incarnation, h.At, h.Applied = v.Fleet().ID, v.Fleet().Incarnation, v.Now(), v.Applied()
	h.Size, h.SHA256 = size.n, hex.EncodeToString(sum.Sum(nil))
	line, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	if _, err := io.WriteString(w, magic+sumOf(line)+"\n"+string(line)+"\n"); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	return v.Export(w)
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// Read reads a file and checks its sum. The error wraps ErrSnapshot when it is none, or was cut or changed.
func Read(r io.Reader) (Header, *state.State, error) {
	in := bufio.NewReaderSize(r, maxHeader)
	var h Header
	first, err := in.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(first, []byte(magic)) {
		if bytes.HasPrefix(first, []byte("glidepath-snapshot ")) {
			return h, nil, fmt.Errorf("%w: it is of another version, %q: use the program that wrote it, or a newer one", ErrSnapshot, strings.TrimSpace(string(first)))
		}
		return h, nil, fmt.Errorf("%w: it begins otherwise", ErrSnapshot)
	}
	want := strings.TrimSpace(string(first[len(magic):])) // the next read takes the buffer
	line, err := in.ReadSlice('\n')
	if err != nil {
		return h, nil, fmt.Errorf("%w: its header is cut", ErrSnapshot)
	}
	if sumOf(line[:len(line)-1]) != want {
		return h, nil, fmt.Errorf("%w: its header was changed since it was written", ErrSnapshot)
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, nil, fmt.Errorf("%w: its header: %w", ErrSnapshot, err)
	}
	sum := sha256.New()
	size := &counter{w: sum}
	tables := io.TeeReader(in, size)
	s, importErr := state.Import(tables)
	if _, err := io.Copy(io.Discard, tables); err != nil {
		return h, nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	switch got := hex.EncodeToString(sum.Sum(nil)); {
	case size.n != h.Size:
		return h, nil, fmt.Errorf("%w: it has %d bytes of tables, the header says %d", ErrSnapshot, size.n, h.Size)
	case got != h.SHA256:
		return h, nil, fmt.Errorf("%w: its sum is %.16s…, the header says %.16s…: it was changed since it was written", ErrSnapshot, got, h.SHA256)
	case importErr != nil:
		return h, nil, importErr
	}
	if f := s.View().Fleet(); f.ID != h.Fleet || f.Incarnation != h.Incarnation {
		return h, nil, fmt.Errorf("%w: its header is of fleet %s, incarnation %d, its tables of %s, %d", ErrSnapshot, h.Fleet, h.Incarnation, f.ID, f.Incarnation)
	}
	return h, s, nil
}

// Counts says how much is in the tables.
type Counts struct {
	Coordinators int `json:"coordinators"`
	Hosts        int `json:"hosts"`
	Instances    int `json:"instances"`
	Reservations int `json:"reservations"`
	Migrations   int `json:"migrations"`
	Active       int `json:"active_migrations"`
	Tokens       int `json:"tokens"`
}

// CountOf counts what is in a view.
func CountOf(v *state.View) Counts {
	return Counts{
		Coordinators: count(v.Coordinators()), Hosts: count(v.Hosts()), Instances: count(v.Instances()), Reservations: count(v.Reservations()),
		Migrations: count(v.Migrations()), Active: count(v.ActiveMigrations()), Tokens: count(v.Tokens()),
	}
}

func count[R any](all iter.Seq[R]) (n int) {
	for range all {
		n++
	}
	return n
}
