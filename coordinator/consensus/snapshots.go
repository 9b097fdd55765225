package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// snapshots are raft's in files, without what those that broke off have left: on a full disk each try would take more of it.
type snapshots struct {
	*raft.FileSnapshotStore
	dir string
}

// openSnapshots opens the snapshots in dir. Nobody writes any yet: what is unfinished is of an earlier life.
func openSnapshots(dir string, logger hclogger) (*snapshots, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, logger)
	if err != nil {
		return nil, err
	}
	s := &snapshots{FileSnapshotStore: files, dir: filepath.Join(dir, "snapshots")}
	return s, s.sweep("*")
}

// Create begins a snapshot. What it leaves when it can't is removed.
func (s *snapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(v, index, term, c, at, trans)
	if err != nil {
		return nil, errors.Join(err, s.sweep(fmt.Sprintf("%d-%d-*", term, index)))
	}
	return sink, nil
}

// sweep removes unfinished snapshots whose names match.
func (s *snapshots) sweep(names string) error {
	found, err := filepath.Glob(filepath.Join(s.dir, names+".tmp"))
	for _, path := range found {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return fmt.Errorf("remove unfinished snapshots: %w", err)
	}
	return nil
}
