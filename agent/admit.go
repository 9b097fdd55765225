package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// How much more than the source stated a target takes: data grow while they are copied. Beyond it something else is sent.
const (
	growFactor = 2
	growBytes  = 256 << 20
	growFiles  = 10_000
)

// gate is the target's side of a migration's data: it admits the source to what a committed operation prepared, and to nothing else.
// What it admits is on the disk, so that a target whose agent was killed goes on receiving.
type gate struct {
	receiver *transfer.Receiver
	dir      string // of admissions, one file each
	record   func(instance string) fence.Record
	log      *slog.Logger
}

// admission is what is remembered of an open migration; the rest is in the ownership record.
type admission struct {
	Migration string `json:"migration"`
	Instance  string `json:"instance"`
	Source    string `json:"source"`
	MaxBytes  int64  `json:"max_bytes"`
	MaxFiles  int64  `json:"max_files"`
	Rate      int64  `json:"rate_bps"`
}

const (
	admissionSuffix = ".json"
	maxAdmission    = 64 << 10
)

// Open admits the source of a migration that this host was prepared for.
func (g *gate) Open(op proto.Operation) error {
	a := admission{Migration: op.Migration, Instance: op.Instance, Source: op.Peer.Host, Rate: op.Rate}
	if f := op.Facts; f != nil {
		a.MaxBytes, a.MaxFiles = growFactor*f.DataBytes+growBytes, growFactor*f.DataFiles+growFiles
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(durable.OS{}, g.path(a.Migration), b, 0o600); err != nil {
		return fmt.Errorf("remember whom this host receives from: %w", err)
	}
	return g.admit(a)
}

// Close ends a migration's admission; rounds at work are stopped. Closing what is not open is no error.
func (g *gate) Close(migration string) error {
	if _, err := os.Lstat(g.path(migration)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := g.receiver.Close(migration); err != nil {
		return err
	}
	return durable.Remove(durable.OS{}, g.path(migration))
}

// Source returns the host that an open migration's data come from; "" when none is open.
func (g *gate) Source(migration string) string {
	a, err := g.read(migration + admissionSuffix)
	if err != nil {
		return "" // nobody is taken for the source then
	}
	return a.Source
}

// read returns the admission in a file.
func (g *gate) read(name string) (a admission, err error) {
	b, err := durable.ReadFile(durable.OS{}, filepath.Join(g.dir, name), maxAdmission)
	if err != nil {
		return a, fmt.Errorf("open transfers: %w", err)
	}
	if err := json.Unmarshal(b, &a); err != nil || a.Migration+admissionSuffix != name {
		return a, fmt.Errorf("open transfers: %s is damaged: remove it; the migration's next operation opens it again (%w)", filepath.Join(g.dir, name), err)
	}
	return a, nil
}

// Recover admits again what was open in an earlier life, as far as the records still say that this host is being prepared.
func (g *gate) Recover() error {
	names, err := durable.OS{}.List(g.dir)
	if err != nil {
		return fmt.Errorf("open transfers: %w", err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, admissionSuffix) {
			continue
		}
		a, err := g.read(name)
		if err != nil {
			return err
		}
		if r := g.record(a.Instance); r.State != proto.FenceTarget || r.Migration != a.Migration {
			if err := durable.Remove(durable.OS{}, g.path(a.Migration)); err != nil {
				return err
			}
			continue
		}
		if err := g.admit(a); err != nil {
			g.log.Error("a transfer can't be received any more", "migration", a.Migration, "error", err)
		}
	}
	return nil
}

func (g *gate) admit(a admission) error {
	r := g.record(a.Instance)
	if r.Spec.Service == nil {
		return fmt.Errorf("instance %s has no data that this agent can receive", a.Instance)
	}
	return g.receiver.Open(transfer.Admission{
		Migration: a.Migration, Instance: a.Instance, Incarnation: r.Token.Incarnation, Fence: r.Token.Fence, Source: a.Source,
		Data: r.Spec.Service.Data, Config: r.Spec.Service.Config, Rate: transfer.NewRate(a.Rate),
		Policy: tree.Policy{MaxBytes: a.MaxBytes, MaxFiles: a.MaxFiles},
	})
}

func (g *gate) path(migration string) string {
	return filepath.Join(g.dir, migration+admissionSuffix)
}
