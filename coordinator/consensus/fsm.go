package consensus

import (
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/glidepath/glidepath/proto"
)

// Machine is what is replicated. Apply, Snapshot and Restore are called one at a time, in the order of the log; the
// writer that Snapshot returned is used while Apply goes on. Apply is deterministic.
type Machine interface {
	Apply(index uint64, cmd proto.Command) proto.Result
	Snapshot() (write func(io.Writer) error)
	Restore(r io.Reader) error
}

// fsm hands raft's entries to the machine.
type fsm struct {
	machine Machine
	stopped chan struct{} // closed when failed is set

	mu     sync.Mutex
	failed error // the tables are no longer those of the others
}

var _ raft.BatchingFSM = (*fsm)(nil)

func (f *fsm) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// fail stops the machine: from now on nothing is applied and no snapshot is taken, so that the entry is applied again
// by a program that knows it.
func (f *fsm) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
		close(f.stopped)
	}
}

// Apply applies one entry. Its answer is a proto.Result, or an error when the coordinator must stop.
func (f *fsm) Apply(l *raft.Log) any {
	if err := f.failure(); err != nil {
		return err
	}
	if l.Type != raft.LogCommand {
		return nil
	}
	cmd, err := proto.DecodeCommand(l.Data)
	if err != nil {
		err = fmt.Errorf("log entry %d: %w", l.Index, err)
		f.fail(err)
		return err
	}
	r := f.machine.Apply(l.Index, cmd)
	if err := r.Stop(); err != nil {
		f.fail(fmt.Errorf("log entry %d: %w", l.Index, err))
		return err
	}
	return r
}

// ApplyBatch applies entries in their order.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i, l := range logs {
		out[i] = f.Apply(l)
	}
	return out
}

// Snapshot returns the machine as it is now, to be written later.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	return snapshot(f.machine.Snapshot()), nil
}

// Restore replaces the machine by a snapshot.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	return f.machine.Restore(r)
}

type snapshot func(io.Writer) error

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s(sink); err != nil {
		return fmt.Errorf("write snapshot: %w", joinCancel(err, sink))
	}
	return sink.Close()
}

func joinCancel(err error, sink raft.SnapshotSink) error {
	if cerr := sink.Cancel(); cerr != nil {
		return fmt.Errorf("%w (and cancel it: %w)", err, cerr)
	}
	return err
}

func (snapshot) Release() {}
