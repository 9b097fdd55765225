package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// list is a machine that keeps the identifiers it was given, in order. A command of type 99 is one that it does not know.
type list struct {
	mu  sync.Mutex
	ids []string
	at  timeline.Time
}

func (l *list) Apply(_ uint64, cmd proto.Command) proto.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cmd.Type == 99 {
		return proto.Result{Code: proto.ResultUnknown}
	}
	l.ids, l.at = append(l.ids, cmd.ID), cmd.At
	return proto.Result{Code: proto.ResultOK, Fence: uint64(len(l.ids))}
}

func (l *list) Snapshot() func(io.Writer) error {
	ids := slices.Clone(l.get())
	return func(w io.Writer) error { return json.NewEncoder(w).Encode(ids) }
}

func (l *list) Restore(r io.Reader) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = nil
	return json.NewDecoder(r).Decode(&l.ids)
}

func (l *list) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids
}

// member is one of a cluster's coordinators.
type member struct {
	*Consensus
	name      string
	machine   *list
	transport *raft.InmemTransport
}

func start(t *testing.T, name, dir string, transport *raft.InmemTransport) *member {
	t.Helper()
	m := &member{name: name, machine: &list{}, transport: transport}
	var err error
	m.Consensus, err = Open(Config{Name: name, Addr: name, Dir: dir, Machine: m.machine, Log: slog.New(slog.DiscardHandler), transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newTransport(name string) *raft.InmemTransport {
	_, tr := raft.NewInmemTransportWithTimeout(raft.ServerAddress(name), time.Second)
	return tr
}

// cluster starts n coordinators that reach each other, and takes them into one cluster.
func cluster(t *testing.T, n int) []*member {
	t.Helper()
	var all []*member
	for i := range n {
		name := fmt.Sprintf("c%d", i+1)
		m := start(t, name, t.TempDir(), newTransport(name))
		for _, o := range all {
			m.transport.Connect(o.transport.LocalAddr(), o.transport)
			o.transport.Connect(m.transport.LocalAddr(), m.transport)
		}
		all = append(all, m)
	}
	if err := all[0].Bootstrap("c1", "c1"); err != nil {
		t.Fatal(err)
	}
	leader := waitLeader(t, all)
	for _, m := range all[1:] {
		if err := leader.AddVoter(m.name, m.name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// waitLeader returns the coordinator that can commit. The bubble's clock runs while it waits.
func waitLeader(t *testing.T, all []*member) *member {
	t.Helper()
	for range 600 {
		for _, m := range all {
			if m.IsLeader() && m.Barrier(context.Background()) == nil {
				return m
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no leader in a minute")
	return nil
}

func propose(t *testing.T, m *member, id string) {
	t.Helper()
	if r, _, err := m.Propose(context.Background(), proto.Command{ID: id}); err != nil || !r.OK() {
		t.Fatalf("%s: %v %v", id, r, err)
	}
}

func closeAll(t *testing.T, all []*member) {
	t.Helper()
	for _, m := range all {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsCommittedSurvivesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := cluster(t, 3)
		leader := waitLeader(t, all)
		propose(t, leader, "one")
		for _, m := range all {
			if m == leader {
				continue
			}
			var nl *NotLeaderError
			if _, _, err := m.Propose(context.Background(), proto.Command{ID: "no"}); !errors.As(err, &nl) || nl.Leader != leader.name || nl.Addr != leader.name {
				t.Errorf("a follower answered %v", err)
			}
		}
		leader.transport.DisconnectAll()
		rest := slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return m == leader })
		for _, m := range rest {
			m.transport.Disconnect(leader.transport.LocalAddr())
		}
		// Cut off, it may at worst not know what became of a command; it never says that it is done.
		if r, _, err := leader.Propose(context.Background(), proto.Command{ID: "lost"}); err == nil {
			t.Errorf("committed without a majority: %v", r)
		}
		next := waitLeader(t, rest)
		propose(t, next, "two")
		time.Sleep(time.Second)
		for _, m := range rest {
			if diff := cmp.Diff([]string{"one", "two"}, m.machine.get()); diff != "" {
				t.Errorf("%s: %s", m.name, diff)
			}
		}
		closeAll(t, all)
	})
}

func TestARestartGoesOnFromSnapshotAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m := start(t, "c1", dir, newTransport("c1"))
		if err := m.Bootstrap("c1", "c1"); err != nil {
			t.Fatal(err)
		}
		waitLeader(t, []*member{m})
		propose(t, m, "one")
		if err := m.Snapshot(); err != nil {
			t.Fatal(err)
		}
		propose(t, m, "two")
		closeAll(t, []*member{m})

		m = start(t, "c1", dir, newTransport("c1"))
		waitLeader(t, []*member{m})
		if diff := cmp.Diff([]string{"one", "two"}, m.machine.get()); diff != "" {
			t.Fatal(diff)
		}
		if age := timeline.Of(time.Now()).Sub(m.machine.at); age < 0 || age > time.Minute {
			t.Errorf("the leader stamped a time that is %s ago", age)
		}
		if err := m.Bootstrap("c1", "c1"); err == nil {
			t.Error("bootstrapped twice")
		}
		closeAll(t, []*member{m})
	})
}

func TestWhatASnapshotThatBrokeOffLeftIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		left := filepath.Join(dir, "snapshots", "2-41-1700000000000.tmp")
		if err := os.MkdirAll(left, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(left, "state.bin"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		closeAll(t, []*member{start(t, "c1", dir, newTransport("c1"))})
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
	})
}

// brokenSink can neither be ended nor given up in order, as on a full disk.
type brokenSink struct{ raft.SnapshotSink }

func (brokenSink) ID() string    { return "2-41-1700000000000" }
func (brokenSink) Close() error  { return syscall.ENOSPC }
func (brokenSink) Cancel() error { return syscall.ENOSPC }

func TestASnapshotThatCanNeitherBeEndedNorGivenUpLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(raft.SnapshotSink) error{"closed": raft.SnapshotSink.Close, "cancelled": raft.SnapshotSink.Cancel} {
		s := &snapshots{dir: filepath.Join(t.TempDir(), "in [brackets")}
		left, other := filepath.Join(s.dir, brokenSink{}.ID()+".tmp"), filepath.Join(s.dir, "3-1-1.tmp")
		if err := errors.Join(os.MkdirAll(left, 0o700), os.MkdirAll(other, 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := end(&snapshotSink{brokenSink{}, s}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it is still there: %v", name, err)
		}
		if _, err := os.Stat(other); err != nil {
			t.Errorf("%s: that of another is not: %v", name, err)
		}
	}
}

// unanswered is what raft never answers until the test does.
type unanswered struct{ answer chan struct{} }

func (u unanswered) Error() error { <-u.answer; return nil }

func TestWhatNobodyWaitsForAnyMoreIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := cluster(t, 1)[0]
		leader := waitLeader(t, []*member{m})
		stuck := unanswered{make(chan struct{})}
		for range givenMost {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := leader.await(ctx, stuck); !errors.Is(err, ErrInDoubt) {
				t.Fatal(err)
			}
			cancel()
		}
		cmd := proto.Command{}
		if _, _, err := leader.Propose(t.Context(), cmd); !errors.Is(err, ErrBehind) {
			t.Errorf("one more is taken: %v", err)
		}
		close(stuck.answer)
		synctest.Wait()
		propose(t, leader, "after")
		closeAll(t, []*member{m})
	})
}

func TestAnUnknownCommandStopsTheCoordinatorWithoutASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, "c1", t.TempDir(), newTransport("c1"))
		if err := m.Bootstrap("c1", "c1"); err != nil {
			t.Fatal(err)
		}
		waitLeader(t, []*member{m})
		propose(t, m, "one")
		if _, _, err := m.Propose(context.Background(), proto.Command{Type: 99, ID: "new"}); !errors.Is(err, proto.ErrUnknownCommand) {
			t.Errorf("answered %v", err)
		}
		<-m.Stopped()
		if _, _, err := m.Propose(context.Background(), proto.Command{ID: "after"}); err == nil {
			t.Error("went on after a command that it does not know")
		}
		if err := m.Snapshot(); err == nil {
			t.Error("took a snapshot without the command")
		}
		if diff := cmp.Diff([]string{"one"}, m.machine.get()); diff != "" {
			t.Error(diff)
		}
		closeAll(t, []*member{m})
	})
}

func TestALinkHandsOverWhatItIsGiven(t *testing.T) {
	l := NewLink("c1", nil)
	a, b := net.Pipe()
	defer b.Close()
	done := make(chan error)
	go func() { done <- l.Handle(context.Background(), a) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// linked is coordinators that reach each other through their links, which the mutex guards.
type linked struct {
	t     *testing.T
	mu    sync.Mutex
	links map[string]*Link
}

// open starts a coordinator whose log lies in dir.
func (l *linked) open(name, dir string) *member {
	l.t.Helper()
	// Like a listener, the other end serves for as long as there is a connection, however soon the dialling is over.
	serve := l.t.Context()
	link := NewLink(name, func(_ context.Context, addr string) (net.Conn, error) {
		here, there := net.Pipe()
		l.mu.Lock()
		to := l.links[addr]
		l.mu.Unlock()
		go func() {
			defer there.Close()
			_ = to.Handle(serve, there) // what is refused is seen by its closed connection
		}()
		return here, nil
	})
	l.mu.Lock()
	l.links[name] = link
	l.mu.Unlock()
	m := &member{name: name, machine: &list{}}
	var err error
	if m.Consensus, err = Open(Config{Name: name, Addr: name, Dir: dir, Machine: m.machine, Link: link, Log: slog.New(slog.DiscardHandler)}); err != nil {
		l.t.Fatal(err)
	}
	return m
}

// found makes a cluster of the coordinators, which the first one leads.
func found(t *testing.T, all ...*member) {
	t.Helper()
	if err := all[0].Bootstrap(all[0].name, all[0].name); err != nil {
		t.Fatal(err)
	}
	if led := <-all[0].Leadership(); !led {
		t.Fatal("not elected")
	}
	for _, m := range all[1:] {
		if err := all[0].AddVoter(m.name, m.name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCoordinatorsReplicateOverLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &linked{t: t, links: map[string]*Link{}}
		var all []*member
		for _, name := range []string{"c1", "c2", "c3"} {
			all = append(all, l.open(name, t.TempDir()))
		}
		defer closeAll(t, all)
		found(t, all...)
		propose(t, all[0], "one")
		servers, err := all[0].Servers()
		if err != nil || len(servers) != 3 {
			t.Fatalf("%v, %v", servers, err)
		}
		time.Sleep(time.Second) // less than any timeout of the transport: nothing may have to be tried again
		for _, m := range all {
			if diff := cmp.Diff([]string{"one"}, m.machine.get()); diff != "" {
				t.Errorf("%s: %s", m.name, diff)
			}
		}
	})
}

func TestACoordinatorFollowsALeaderThatJoinedWhileItWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &linked{t: t, links: map[string]*Link{}}
		dir := t.TempDir()
		c1, c2, c3 := l.open("c1", t.TempDir()), l.open("c2", t.TempDir()), l.open("c3", dir)
		found(t, c1, c2, c3)
		propose(t, c1, "one")
		closeAll(t, []*member{c3})
		c4 := l.open("c4", t.TempDir())
		if err := c1.AddVoter("c4", "c4"); err != nil {
			t.Fatal(err)
		}
		if err := c1.raft.LeadershipTransferToServer("c4", "c4").Error(); err != nil {
			t.Fatal(err)
		}
		if led := <-c4.Leadership(); !led {
			t.Fatal("c4 does not lead")
		}
		propose(t, c4, "two")
		c3 = l.open("c3", dir)
		defer closeAll(t, []*member{c1, c2, c3, c4})
		time.Sleep(time.Minute)
		if name, _ := c3.Leader(); name != "c4" {
			t.Errorf("c3 follows %q", name)
		}
		if diff := cmp.Diff([]string{"one", "two"}, c3.machine.get()); diff != "" {
			t.Error(diff)
		}
	})
}
