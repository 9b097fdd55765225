package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
)

// snapshots are raft's in files, without what those that broke off have left: on a full disk each try would take more of it.
type snapshots struct {
	*raft.FileSnapshotStore
	dir string
}

// openSnapshots opens the snapshots in dir. Nobody writes any yet: what is unfinished is of an earlier life, and may be what the disk is full of.
func openSnapshots(dir string, logger hclogger) (*snapshots, error) {
	s := &snapshots{dir: filepath.Join(dir, "snapshots")}
	if err := s.sweep(""); err != nil {
		return nil, err
	}
	var err error
	s.FileSnapshotStore, err = raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, logger)
	return s, err
}

// Create begins a snapshot. What it leaves when it can't is removed.
func (s *snapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(v, index, term, c, at, trans)
	if err != nil {
		return nil, errors.Join(err, s.sweep(fmt.Sprintf("%d-%d-", term, index)))
	}
	return &snapshotSink{sink, s}, nil
}

// snapshotSink is a snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	of *snapshots
}

// Close ends a snapshot. Raft's own removes nothing of one that it can't end.
func (s *snapshotSink) Close() error {
	err := s.SnapshotSink.Close()
	if err != nil {
		err = errors.Join(err, s.of.sweep(s.ID()))
	}
	return err
}

// Cancel gives a snapshot up. Raft's own removes nothing where what was written last did not get to the disk.
func (s *snapshotSink) Cancel() error {
	return errors.Join(s.SnapshotSink.Cancel(), s.of.sweep(s.ID()))
}

// sweep removes the unfinished snapshots whose names begin so.
func (s *snapshots) sweep(name string) error {
	found, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range found {
		if strings.HasPrefix(f.Name(), name) && strings.HasSuffix(f.Name(), ".tmp") {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, f.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("remove unfinished snapshots: %w", err)
	}
	return nil
}
