package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/session"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Status is what can be seen of an agent from its own host, also while it is down.
type Status struct {
	Host         string                `json:"host"`
	Fleet        string                `json:"fleet"`
	CertExpires  time.Time             `json:"certificate_expires"`
	Agent        string                `json:"agent"` // systemd's word for its service
	Coordinators []string              `json:"coordinators"`
	Document     proto.DocumentVersion `json:"document"`
	IssuedAt     timeline.Time         `json:"document_issued_at,omitzero"`
	Paused       bool                  `json:"paused,omitzero"`         // by the document
	PausedHere   timeline.Time         `json:"paused_here_at,omitzero"` // by glidepath-agent pause; 0: not
	Instances    []InstanceStatus      `json:"instances"`
}

// InstanceStatus is what this host holds of an instance.
type InstanceStatus struct {
	Instance    string            `json:"instance"`
	Unit        string            `json:"unit"`
	State       proto.FenceState  `json:"state"`
	Incarnation uint64            `json:"incarnation"`
	Fence       uint64            `json:"fence"`
	Migration   string            `json:"migration,omitzero"`
	MayRun      bool              `json:"may_run"`
	Why         string            `json:"why,omitzero"` // it may not
	Active      string            `json:"active"`       // systemd's word
	Limited     bool              `json:"limited"`      // by the document, and what was said here
	Limits      []proto.LimitFile `json:"limits"`       // what the kernel holds now
}

// ReadStatus reads the state that the agent keeps on this host, and what the kernel holds. It changes nothing and asks
// nobody but systemd.
func ReadStatus(ctx context.Context, cfg Config) (Status, error) {
	creds, err := credentials(pki.NewDir(durable.OS{}, cfg.path(pkiDir)))
	if err != nil {
		return Status{}, err
	}
	id := creds.Identity()
	s := Status{Host: id.Name, Fleet: id.Fleet, CertExpires: creds.Certificate().Leaf.NotAfter.UTC(), Instances: []InstanceStatus{}}
	if s.Coordinators, err = cfg.knownCoordinators(); err != nil {
		return s, err
	}
	documents, err := session.OpenDocuments(durable.OS{}, cfg.path(documentFile), nil)
	if err != nil {
		return s, err
	}
	document, _ := documents.Current()
	s.Document, s.IssuedAt, s.Paused = document.Version, document.IssuedAt, document.Paused
	if s.PausedHere, err = cfg.pausedSince(); err != nil {
		return s, err
	}
	records, err := fence.Read(durable.OS{}, cfg.FenceDir())
	if err != nil {
		return s, err
	}
	bus, err := systemd.Dial(ctx)
	if err != nil {
		return s, err
	}
	defer bus.Close()
	if u, err := bus.Unit(ctx, enforce.Default().AgentUnit); err == nil {
		s.Agent = u.ActiveState
	}
	now, err := fence.Now()
	if err != nil {
		return s, err
	}
	for _, r := range records {
		is := InstanceStatus{
			Instance: r.Instance, State: r.State, Incarnation: r.Token.Incarnation, Fence: r.Token.Fence, Migration: r.Migration,
			Unit: strings.Join(r.Units, ", "), Limits: []proto.LimitFile{},
		}
		is.MayRun, is.Why = r.MayRun(now)
		for _, d := range document.Instances {
			is.Limited = is.Limited || d.Instance == r.Instance && d.Limited && !document.Paused && s.PausedHere == 0
		}
		if len(r.Units) > 0 {
			if is.Active, is.Limits, err = unitLimits(ctx, bus, r.Units[0]); err != nil {
				return s, fmt.Errorf("instance %s: %w", r.Instance, err)
			}
		}
		s.Instances = append(s.Instances, is)
	}
	return s, nil
}

// unitLimits returns whether a unit is active, and what the kernel holds for it. Limits of the network are left out: they
// are in programs, which only the agent reads.
func unitLimits(ctx context.Context, bus *systemd.Bus, unit string) (active string, limits []proto.LimitFile, err error) {
	u, err := bus.Unit(ctx, unit)
	if err != nil && !errors.Is(err, systemd.ErrNoUnit) {
		return "", nil, err
	}
	limits = []proto.LimitFile{}
	if u.ControlGroup == "" {
		return u.ActiveState, limits, nil
	}
	for _, name := range []string{"cpu.max", "cpu.weight", "io.max", "memory.high", "memory.low", "memory.max"} {
		b, err := os.ReadFile(filepath.Join(enforce.Default().CgroupRoot, u.ControlGroup, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // no such controller, or just stopped
		}
		if err != nil {
			return "", nil, err
		}
		limits = append(limits, proto.LimitFile{Name: name, Value: strings.TrimSpace(string(b))})
	}
	return u.ActiveState, limits, nil
}
