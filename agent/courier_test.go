package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// move is two agents' parts in a migration's data, between folders of this machine that play the same path on two hosts.
type move struct {
	*testing.T
	dir     string
	courier *courier
	gate    *gate
	source  fence.Record
	target  fence.Record
	op      proto.Operation
	env     transfer.Environment
	dials   atomic.Int32
}

func newMove(t *testing.T) *move {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("owners of files can be set by root only: run it as root")
	}
	rsync, err := exec.LookPath("rsync")
	if err != nil {
		t.Skipf("%v: install rsync", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := &move{T: t, dir: t.TempDir()}
	for _, d := range []string{"a/data", "b", "state/source", "state/target", "state/admitted"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.write("a/data/aof", strings.Repeat("set k v\n", 100_000))
	m.write("a/redis.conf", "appendonly yes\n")
	m.source, m.target = m.record("a", proto.FenceOwner, 1), m.record("b", proto.FenceTarget, 1)
	m.env = transfer.Environment{
		Runner: transfer.Exec{Unconfined: true}, Program: func() string { return self }, Rsync: rsync,
		Stall: transfer.DefaultStall, Linger: time.Hour, Log: slog.New(slog.DiscardHandler),
	}
	m.restartTarget()

	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, theirs := m.identity(ca, "host-a"), m.identity(ca, "host-b")
	m.env.StateDir = filepath.Join(m.dir, "state/source")
	sender, err := transfer.NewSender(m.env)
	if err != nil {
		t.Fatal(err)
	}
	m.courier = &courier{
		sender: sender, armed: map[string]*final{}, begun: map[string]*begun{}, leaving: map[*final]struct{}{}, log: slog.New(slog.DiscardHandler),
		record: func(string) fence.Record { return m.source }, allow: func(string) error { return nil },
		dial: func(ctx context.Context, to proto.Peer) (net.Conn, error) {
			m.dials.Add(1)
			conn, _, err := wire.Dial(ctx, to.SyncAddr, wire.Sync, own, pki.Want{Kind: pki.Agent, Name: to.Host})
			if err != nil {
				return nil, err
			}
			return conn, nil
		},
	}
	t.Cleanup(func() { _ = m.courier.Close() })
	m.op = proto.Operation{
		Kind: proto.OpSyncRound, Migration: "m-1", Instance: "cache-1", Incarnation: 1, Fence: 1, Round: 1,
		Peer: proto.Peer{Host: "host-b", SyncAddr: m.serve(theirs)}, Facts: &proto.SourceFacts{DataBytes: 1 << 20, DataFiles: 2},
	}
	return m
}

func (m *move) record(host string, state proto.FenceState, at uint64) fence.Record {
	return fence.Record{
		Instance: "cache-1", Migration: "m-1", State: state, Token: fence.Token{Incarnation: 1, Fence: at},
		Spec: proto.InstanceSpec{Name: "cache-1", Service: &proto.ServiceSpec{
			Unit: "redis.service", Data: []string{filepath.Join(m.dir, host, "data")}, Config: []string{filepath.Join(m.dir, host, "redis.conf")},
		}},
	}
}

func (m *move) identity(ca *pki.CA, name string) *pki.Credentials {
	m.Helper()
	node, err := ca.Issue(pki.Agent, name, time.Now())
	if err != nil {
		m.Fatal(err)
	}
	creds, err := node.Credentials()
	if err != nil {
		m.Fatal(err)
	}
	return creds
}

// serve is the target's port.
func (m *move) serve(creds *pki.Credentials) string {
	m.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.Fatal(err)
	}
	server := wire.NewServer(wire.ServerOptions{Credentials: creds})
	server.Handle(wire.Sync, wire.Mutual, func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
		return m.gate.receiver.Serve(ctx, conn, peer.Name)
	})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ctx, l); err != nil {
			m.Error(err)
		}
	})
	m.Cleanup(func() { cancel(); serving.Wait() })
	return l.Addr().String()
}

// restartTarget begins another life of the target's agent.
func (m *move) restartTarget() {
	m.Helper()
	env := m.env
	env.StateDir = filepath.Join(m.dir, "state/target")
	receiver, err := transfer.NewReceiver(env)
	if err != nil {
		m.Fatal(err)
	}
	m.gate = &gate{
		receiver: receiver, dir: filepath.Join(m.dir, "state/admitted"), log: slog.New(slog.DiscardHandler),
		record: func(string) fence.Record { return m.target },
	}
	if err := m.gate.Recover(); err != nil {
		m.Fatal(err)
	}
}

func (m *move) write(name, text string) {
	m.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m *move) same(name string) {
	m.Helper()
	a, errA := os.ReadFile(filepath.Join(m.dir, "a", name))
	b, errB := os.ReadFile(filepath.Join(m.dir, "b", name))
	if err := errors.Join(errA, errB); err != nil || string(a) != string(b) {
		m.Errorf("%s differs: %d and %d bytes, %v", name, len(a), len(b), err)
	}
}

// open prepares the target. What it is told of its peer is the source.
func (m *move) open() error {
	op := m.op
	op.Kind, op.Peer = proto.OpPrepareTarget, proto.Peer{Host: "host-a"}
	return m.gate.Open(op)
}

func (m *move) early() error {
	_, err := m.courier.Early(m.Context(), m.op, func(proto.Progress) {})
	return err
}

func TestDataAndConfigurationMoveInEarlyRoundsAndALastOne(t *testing.T) {
	m := newMove(t)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	var told atomic.Int64 // progress is told by both directions of the stream
	first, err := m.courier.Early(t.Context(), m.op, func(p proto.Progress) { told.Store(p.Bytes) })
	if err != nil {
		t.Fatal(err)
	}
	if first.Total < 800_000 || told.Load() == 0 {
		t.Errorf("first round %+v, progress %d", first, told.Load())
	}
	m.same("data/aof")
	m.same("redis.conf")

	// The last round was prepared while the source still writes, and runs when it is frozen.
	dials := m.dials.Load()
	m.op.Kind, m.op.Fence = proto.OpFreeze, 2
	m.courier.Arm(m.op)
	f := m.courier.armed["m-1"]
	if <-f.ready; f.err != nil {
		t.Errorf("the last round was not prepared: %v", f.err)
	}
	m.write("a/data/aof", strings.Repeat("set k w\n", 100_000)) // of the same size
	m.write("a/redis.conf", "appendonly no\n")
	m.source = m.record("a", proto.FenceFrozen, 2)
	m.courier.Begin(m.op)
	<-m.courier.begun["m-1"].ended
	m.same("data/aof")  // before anybody has asked for it
	m.courier.Arm(m.op) // as when the freeze is asked for again
	m.courier.Begin(m.op)
	m.op.Kind = proto.OpFinalSync
	last, err := m.courier.Final(t.Context(), m.op)
	if err != nil {
		t.Fatal(err)
	}
	if last.Digest == "" || len(m.courier.begun) != 0 || last.Changed < 800_000 || len(m.courier.armed) != 0 || m.dials.Load() != dials {
		t.Errorf("last round %+v, %d connections made for it", last, m.dials.Load()-dials)
	}
	m.same("data/aof")
	m.same("redis.conf")
}

func TestAMigrationIsOutgoingFromItsFirstRoundOnUntilOneFails(t *testing.T) {
	m := newMove(t)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	outgoing := func() int {
		sent, err := transfer.Outgoing(m.env.StateDir)
		if err != nil {
			t.Error(err)
		}
		return len(sent)
	}
	var during atomic.Int64
	if _, err := m.courier.Early(t.Context(), m.op, func(proto.Progress) { during.Store(int64(outgoing())) }); err != nil {
		t.Fatal(err)
	}
	if during.Load() != 1 || outgoing() != 1 {
		t.Errorf("%d are outgoing while the first round is sent, and %d after it", during.Load(), outgoing())
	}
	m.op.Round = 2
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := m.courier.Early(ctx, m.op, func(proto.Progress) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if n := outgoing(); n != 0 {
		t.Errorf("%d are outgoing when a round has failed", n)
	}
}

func TestALastRoundThatWasNotPreparedOrWhosePreparationDiedIsCarriedOutAllTheSame(t *testing.T) {
	for name, prepare := range map[string]func(m *move){
		"not prepared":                  func(*move) {},
		"still being prepared":          func(m *move) { m.courier.Arm(m.op) },
		"prepared under an older fence": func(m *move) { m.op.Fence = 1; m.courier.Arm(m.op); m.op.Fence = 2 },
		"the target was started again": func(m *move) {
			m.courier.Arm(m.op)
			f := m.courier.armed["m-1"]
			<-f.ready
			f.rounds[0].Cancel()
		},
		"it died after it had begun": func(m *move) {
			m.courier.Arm(m.op)
			m.courier.Begin(m.op)
			b := m.courier.begun["m-1"]
			b.drop()
			if b.err == nil {
				m.Error("it did not die")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMove(t)
			m.op.Fence = 2
			if err := m.open(); err != nil {
				t.Fatal(err)
			}
			m.source = m.record("a", proto.FenceFrozen, 2)
			prepare(m)
			if _, err := m.courier.Final(t.Context(), m.op); err != nil {
				t.Fatal(err)
			}
			m.same("data/aof")
		})
	}
}

func TestNothingIsLeftOfALastRoundWhoseMigrationIsGivenUp(t *testing.T) {
	m := newMove(t)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	if err := m.early(); err != nil {
		t.Fatal(err)
	}
	if err := m.gate.Close("m-1"); err != nil { // as the target's cleaning does; the source is told nothing
		t.Fatal(err)
	}
	m.courier.watching.Wait()
	left, err := filepath.Glob(filepath.Join(m.dir, "state/source/send/*"))
	if err != nil || len(left) > 0 || len(m.courier.armed) > 0 {
		t.Errorf("%d rounds wait, files %q, %v", len(m.courier.armed), left, err)
	}
}

func TestAFinalRoundIsOfTheFreezeAfterWhichItBegan(t *testing.T) {
	m := newMove(t)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	m.source = m.record("a", proto.FenceFrozen, 2)
	m.courier.Arm(m.op)
	m.op.Fence = 2
	m.courier.Begin(m.op) // of what was armed before the freeze
	<-m.courier.begun["m-1"].ended
	m.write("a/data/aof", strings.Repeat("set k x\n", 100_000))
	m.op.Fence = 3 // thawed and frozen again
	if _, err := m.courier.Final(t.Context(), m.op); err != nil {
		t.Fatal(err)
	}
	m.same("data/aof")
}

func TestAFinalRoundThatHasBegunEndsWithItsMigration(t *testing.T) {
	m := newMove(t)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	if err := m.early(); err != nil {
		t.Fatal(err)
	}
	m.source = m.record("a", proto.FenceFrozen, 2)
	m.courier.Begin(m.op)
	b := m.courier.begun["m-1"]
	if err := m.courier.Forget("m-1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.ended:
	default:
		t.Error("it goes on")
	}
	left, err := filepath.Glob(filepath.Join(m.dir, "state/source/send/*"))
	if err != nil || len(left) > 0 || len(m.courier.begun) > 0 {
		t.Errorf("%d rounds have begun, files %q, %v", len(m.courier.begun), left, err)
	}
}

func TestATargetThatIsStartedAgainGoesOnReceiving(t *testing.T) {
	m := newMove(t)
	if err := m.early(); !errors.Is(err, transfer.ErrRefused) {
		t.Fatalf("received without being prepared: %v", err)
	}
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	m.restartTarget()
	if err := m.early(); err != nil {
		t.Fatal(err)
	}
	m.same("data/aof")
}

func TestATargetReceivesNothingOnceItsPartIsOver(t *testing.T) {
	m := newMove(t)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	if err := m.gate.Close("m-1"); err != nil {
		t.Fatal(err)
	}
	if err := m.early(); !errors.Is(err, transfer.ErrRefused) {
		t.Errorf("closed: %v", err)
	}
	// Nor when the record has moved on while the agent was down.
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	m.target = m.record("b", proto.FenceOwner, 2)
	m.restartTarget()
	if err := m.early(); !errors.Is(err, transfer.ErrRefused) {
		t.Errorf("owner: %v", err)
	}
	if left, err := os.ReadDir(m.gate.dir); err != nil || len(left) != 0 {
		t.Errorf("admissions left: %v, %v", left, err)
	}
}
