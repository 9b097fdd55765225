package consensus

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Restore makes dir, which must not be there, the folder of a cluster of one coordinator whose machine begins as write writes it. The coordinator must not run.
func Restore(dir, name, addr string, write func(io.Writer) error, log *slog.Logger) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("raft's folder: %w", err)
	}
	s, err := OpenStore(filepath.Join(dir, "raft.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// An entry, if there were one, would be of the first term; the coordinator elects itself in the second.
	if err := s.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		return fmt.Errorf("raft's term: %w", err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, hclogger{log: log})
	if err != nil {
		return fmt.Errorf("raft's snapshots: %w", err)
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(addr)) // it only spells addresses
	servers := []raft.Server{{ID: raft.ServerID(name), Address: raft.ServerAddress(addr)}}
	sink, err := snapshots.Create(raft.SnapshotVersionMax, 1, 1, raft.Configuration{Servers: servers}, 1, transport)
	if err != nil {
		return fmt.Errorf("raft's snapshot: %w", err)
	}
	return snapshot(write).Persist(sink)
}
