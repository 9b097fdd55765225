package coordinator

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/coordinator/migrate"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// tables are the state tables as consensus feeds them and everybody else reads them. Its methods may be called
// concurrently, but for those of consensus.Machine, which consensus calls one at a time.
type tables struct {
	mu      sync.Mutex
	state   *state.State
	view    *state.View // of now; nil after a change until somebody asks
	index   uint64      // of the last entry that was applied
	changed chan struct{}

	applied func(cmd proto.Command, r proto.Result, ended metrics.Ended) // is told of every command, and of what it ended
}

func newTables(applied func(proto.Command, proto.Result, metrics.Ended)) *tables {
	return &tables{state: state.New(), changed: make(chan struct{}), applied: applied}
}

// Apply applies an entry of the log.
func (t *tables) Apply(index uint64, cmd proto.Command) proto.Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, changes := t.state.Apply(cmd)
	t.advance(index)
	t.applied(cmd, r, t.ended(cmd, changes))
	return r
}

// ended returns what a command ended: migrations, and hooks that failed for good. t.mu is held.
func (t *tables) ended(cmd proto.Command, changes []state.Change) (out metrics.Ended) {
	switch cmd.Type {
	case proto.CmdMigrationRecord:
		body, err := cmd.Decode()
		record, ok := body.(*proto.MigrationRecord)
		if err != nil || !ok || record.Operation.Kind != proto.OpHook || len(changes) == 0 {
			return out
		}
		if m, ok := t.state.View().Migration(record.Migration); ok && migrate.FailedForGood(m, record.Operation) {
			out.Hooks = record.Operation.Hook
		}
	case proto.CmdMigrationComplete, proto.CmdMigrationEnd, proto.CmdAcceptLoss:
		view := t.state.View()
		for _, c := range changes {
			if m, ok := view.Migration(c.Key); ok && c.Table == proto.TableMigrations && !m.Active() {
				out.Migrations = append(out.Migrations, m.Outcome)
			}
		}
	}
	return out
}

// advance tells everybody that waits that something may have changed. t.mu is held.
func (t *tables) advance(index uint64) {
	t.view, t.index = nil, index
	close(t.changed)
	t.changed = make(chan struct{})
}

// Snapshot returns the writing of the tables as they are now.
func (t *tables) Snapshot() func(io.Writer) error { return t.View().Export }

// Restore replaces the tables by a snapshot.
func (t *tables) Restore(r io.Reader) error {
	s, err := state.Import(r)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = s
	t.advance(t.index)
	return nil
}

// View returns the tables as they are now; it never changes.
func (t *tables) View() *state.View {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.view == nil {
		t.view = t.state.View()
	}
	return t.view
}

// Own is as View, and what it returns is the caller's alone.
func (t *tables) Own() *state.View {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.View()
}

// at returns the tables, and the index of the last entry in them; 0 when none was applied since this coordinator started.
func (t *tables) at() (*state.View, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.View(), t.index
}

// Knows reports whether every coordinator can apply the version of the command. It makes no View: what was just
// applied would have to be copied before the next command changes it.
func (t *tables) Knows(c proto.CommandType, version uint8) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Knows(c, version)
}

// Changed returns a channel that is closed at the next change after this call. Take it before the View that is acted on.
func (t *tables) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// foundedWithin is for how long a coordinator that starts is not said to be ready, although it does not know its fleet yet: without the others it never does.
const foundedWithin = 10 * time.Second

// founded returns when the fleet and the tokens of those who use it are known here, or after a while.
func (t *tables) founded(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, foundedWithin)
	defer cancel()
	for {
		changed := t.Changed()
		for range t.View().Tokens() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// wait returns when the entry at index has been applied here.
func (t *tables) wait(ctx context.Context, index uint64) error {
	for {
		t.mu.Lock()
		there, changed := t.index >= index, t.changed
		t.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
