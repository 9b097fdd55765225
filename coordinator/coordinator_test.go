package coordinator

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/client"
	v1 "github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// member is a coordinator of a test, running in this process on loopback.
type member struct {
	*Coordinator
	cfg   Config
	said  *lines // what it logged
	stop  context.CancelFunc
	ended chan error
}

// lines is a log that is written and read at once.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// nextPort is where freePort goes on: above the services' ports, below those that the kernel lends to connections going out, which would take a
// port between the look at it and its use. Test processes that run at once begin at different places.
var (
	nextPort   = 10000 + os.Getpid()*31%20000
	nextPortMu sync.Mutex
)

// freePort returns a port of loopback that nobody has for TCP or UDP; no other call in this process returns it.
func freePort(t testing.TB) int {
	t.Helper()
	nextPortMu.Lock()
	defer nextPortMu.Unlock()
	for nextPort < 32768 {
		addr := fmt.Sprintf("127.0.0.1:%d", nextPort)
		nextPort++
		stream, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = stream.Close()
		packets, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		_ = packets.Close()
		return nextPort - 1
	}
	t.Fatal("no free port below 32768")
	return 0
}

func config3(t testing.TB, name string) Config {
	t.Helper()
	c := Default()
	c.Name, c.DataDir = name, t.TempDir()
	for _, a := range []*AddressConfig{&c.RPC, &c.Gossip, &c.API} {
		a.Listen = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	return c
}

func start(t testing.TB, cfg Config) *member {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	said := &lines{}
	m := &member{
		Coordinator: newCoordinator(cfg, Process{Version: "test", Log: slog.New(slog.NewTextHandler(said, nil)), Audit: io.Discard}),
		cfg:         cfg, said: said, stop: stop, ended: make(chan error, 1),
	}
	ready := make(chan struct{})
	go func() { m.ended <- m.run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-m.ended:
		t.Fatalf("%s: %v", cfg.Name, err)
	}
	t.Cleanup(func() { m.end(t) })
	return m
}

// end stops a member and waits for it; ending it again does nothing.
func (m *member) end(t testing.TB) {
	t.Helper()
	m.stop()
	if err, open := <-m.ended; open {
		if err != nil {
			t.Errorf("%s: %v", m.cfg.Name, err)
		}
		close(m.ended)
	}
}

// eventually tries f until it succeeds. It is for what daemons do by themselves; a minute is far beyond what they need.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// alone makes a fleet of one coordinator, and starts it.
func alone(t testing.TB) (Config, Founded, *member, *client.Client) {
	t.Helper()
	cfg := config3(t, "c1")
	made, err := Init(cfg, 10*time.Second, proto.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	m := start(t, cfg)
	return cfg, made, m, connect(t, made, m)
}

func connect(t testing.TB, made Founded, members ...*member) *client.Client {
	t.Helper()
	var addrs []string
	for _, m := range members {
		addrs = append(addrs, m.cfg.API.Address())
	}
	pin, err := hex.DecodeString(made.Pin)
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Config{Addresses: addrs, Token: made.Token, Pin: pki.Pin(pin)})
	t.Cleanup(c.Close)
	return c
}

func status(c *client.Client) (v1.Status, error) {
	var s v1.Status
	err := c.Call(context.Background(), "GET", "/v1/status", nil, &s)
	return s, err
}

func joinToken(t testing.TB, c *client.Client, role proto.Role) string {
	t.Helper()
	var made v1.TokenReply
	eventually(t, "make a token", func() error {
		return c.Call(context.Background(), "POST", "/v1/tokens", v1.TokenRequest{Role: role}, &made)
	})
	return made.Secret
}

// three starts three coordinators that vote, and returns them with a client of the first.
func three(t testing.TB) ([]*member, Founded, *client.Client) {
	t.Helper()
	return threeOf(t, config3)
}

// threeOf is three with configurations that config makes.
func threeOf(t testing.TB, config func(t testing.TB, name string) Config) ([]*member, Founded, *client.Client) {
	t.Helper()
	first := config(t, "c1")
	made, err := Init(first, 10*time.Second, proto.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	members := []*member{start(t, first)}
	c := connect(t, made, members[0])
	for _, name := range []string{"c2", "c3"} {
		cfg := config(t, name)
		if err := Join(context.Background(), cfg, joinToken(t, c, proto.RoleCoordinator), nil); err != nil {
			t.Fatal(err)
		}
		members = append(members, start(t, cfg))
	}
	voters(t, connect(t, made, members...), 3)
	return members, made, c
}

// voters waits until the fleet has so many coordinators, which all vote.
func voters(t testing.TB, c *client.Client, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d voters", want), func() error {
		s, err := status(c)
		if err != nil {
			return err
		}
		got := 0
		for _, c := range s.Coordinators {
			if c.Voter {
				got++
			}
		}
		if got != want || len(s.Coordinators) != want {
			return fmt.Errorf("%d of %d vote", got, len(s.Coordinators))
		}
		return nil
	})
}

func TestThreeCoordinatorsMakeAFleetThatOutlivesItsLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	members, made, c := three(t)
	if _, err := Init(members[0].cfg, 10*time.Second, proto.DefaultPolicy()); !errors.Is(err, ErrFounded) {
		t.Fatalf("made twice: %v", err)
	}
	token := joinToken(t, c, proto.RoleCoordinator)
	if err := Join(context.Background(), config3(t, "c8"), token, nil); err != nil {
		t.Fatal(err)
	}
	if err := Join(context.Background(), config3(t, "c9"), token, nil); err == nil {
		t.Fatal("a join token was used twice")
	}
	// A follower takes changes, too.
	follower := connect(t, made, members[2])
	eventually(t, "a change by way of a follower", func() error {
		return follower.Call(context.Background(), "PUT", "/v1/types/m.small", proto.InstanceType{Name: "m.small", Max: resource.Uniform(100)}, nil)
	})
	members[0].end(t)
	rest := connect(t, made, members[1:]...)
	eventually(t, "a new leader that knows what the old one committed", func() error {
		s, err := status(rest)
		if err != nil {
			return err
		}
		if s.Leader == "" || s.Leader == "c1" {
			return fmt.Errorf("the leader is %q", s.Leader)
		}
		return rest.Call(context.Background(), "POST", "/v1/tokens", v1.TokenRequest{Role: proto.RoleAgent}, nil)
	})
}

func TestACoordinatorThatWasTakenOutStaysOutUntilItJoinsAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	members, made, c := three(t)
	away := members[2]
	rest := connect(t, made, members[:2]...)
	if err := members[0].do(context.Background(), "test", &proto.CoordinatorRemove{Name: "c3"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it knows", func() error {
		if away.takenOut("c3", away.creds.Key()) == nil {
			return errors.New("it does not")
		}
		return nil
	})
	if err := away.register(context.Background()); wire.CodeOf(err) != wire.Unauthorized {
		t.Errorf("registering: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second) // a change that is taken takes milliseconds
	defer cancel()
	if err := away.do(ctx, "test", &proto.TypePut{Type: proto.InstanceType{Name: "m.small", Max: resource.Uniform(100)}}); err == nil {
		t.Error("it changed what belongs to a fleet that it is no part of")
	}
	voters(t, rest, 2)
	away.end(t)
	again := config3(t, "c3")
	if err := Join(context.Background(), again, joinToken(t, c, proto.RoleCoordinator), nil); err != nil {
		t.Fatal(err)
	}
	start(t, again)
	voters(t, rest, 3)
}

// members asks a client who is there, by name.
func members(t testing.TB, c *client.Client) map[string]v1.Member {
	t.Helper()
	var l v1.List[v1.Member]
	if err := c.Call(context.Background(), "GET", "/v1/raft", nil, &l); err != nil {
		t.Fatal(err)
	}
	out := map[string]v1.Member{}
	for _, m := range l.Items {
		out[m.Name] = m
	}
	return out
}

func TestAnOperatorSeesMovesAndRemovesCoordinators(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	all, made, c := three(t)
	ctx := context.Background()
	eventually(t, "all of them tell how far they are", func() error {
		for name, m := range members(t, c) {
			if !m.Reached || !m.Voter || m.Raft == nil || m.Raft.Applied == 0 || m.Raft.Leader != m.Leader || m.Leader != (name == "c1") {
				return fmt.Errorf("%s: %+v %+v", name, m, m.Raft)
			}
		}
		return nil
	})
	var moved v1.TransferReply
	if err := c.Call(ctx, "POST", "/v1/raft/leader", v1.TransferRequest{To: "c3"}, &moved); err != nil || moved.Leader != "c3" {
		t.Fatalf("%v, %q leads", err, moved.Leader)
	}
	if err := c.Call(ctx, "POST", "/v1/raft/leader", v1.TransferRequest{To: "c9"}, nil); codeOf(err) != v1.CodeNotFound {
		t.Errorf("to one that is not there: %v", err)
	}

	// Two of three are needed: without c3, c1 could not go on with a c2 that is away.
	all[1].end(t)
	if err := c.Call(ctx, "DELETE", "/v1/raft/c3", nil, nil); codeOf(err) != v1.CodeRefused {
		t.Fatalf("without a majority: %v", err)
	}
	if err := c.Call(ctx, "DELETE", "/v1/raft/c2", nil, nil); err != nil {
		t.Fatalf("one that is away: %v", err)
	}
	if err := c.Call(ctx, "DELETE", "/v1/raft/c1", nil, nil); codeOf(err) != v1.CodeUnavailable {
		t.Errorf("itself: %v", err)
	}
	// The leader, home of a host: both go to the one that stays.
	if err := all[0].do(ctx, "test", &proto.HostRegister{Facts: proto.HostFacts{Name: "host-a", MachineID: "m", Capacity: resource.Uniform(1), Allocatable: resource.Uniform(1)}}); err != nil {
		t.Fatal(err)
	}
	if err := all[0].do(ctx, "test", &proto.HostHome{Host: "host-a", Home: "c3", Standby: "c1"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(ctx, "DELETE", "/v1/raft/c3", nil, nil); err != nil {
		t.Fatalf("the leader: %v", err)
	}
	if left := members(t, c); len(left) != 1 || !left["c1"].Leader {
		t.Errorf("left: %+v", left)
	}
	if h, _ := all[0].tables.View().Host("host-a"); h.Home != "c1" {
		t.Errorf("the host's home is %q", h.Home)
	}
	if _, err := status(connect(t, made, all[2])); codeOf(err) != v1.CodeUnavailable || !strings.Contains(err.Error(), "join again with a token") {
		t.Errorf("the one that was taken out answers: %v", err)
	}
	if err := c.Call(ctx, "DELETE", "/v1/raft/c2", nil, nil); codeOf(err) != v1.CodeNotFound {
		t.Errorf("twice: %v", err)
	}
}

func TestACoordinatorIsReplacedByOneThatVotesBeforeItGoes(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	all, made, _ := three(t)
	ctx := context.Background()
	// The one that goes leads, and is home to a host.
	goes, stay := all[0], connect(t, made, all[1:]...)
	for _, body := range []proto.Body{
		&proto.HostRegister{Facts: proto.HostFacts{Name: "host-a", MachineID: "m", Capacity: resource.Uniform(1), Allocatable: resource.Uniform(1)}},
		&proto.HostHome{Host: "host-a", Home: "c1", Standby: "c2"},
	} {
		if err := goes.do(ctx, "test", body); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config3(t, "c4")
	if err := Join(ctx, cfg, joinToken(t, stay, proto.RoleCoordinator), nil); err != nil {
		t.Fatal(err)
	}
	comes := start(t, cfg)
	voters(t, stay, 4)

	if err := stay.Call(ctx, "DELETE", "/v1/raft/c1", nil, nil); err != nil {
		t.Fatal(err)
	}
	voters(t, stay, 3)
	if left := slices.Sorted(maps.Keys(members(t, stay))); !slices.Equal(left, []string{"c2", "c3", "c4"}) {
		t.Errorf("left: %v", left)
	}
	eventually(t, "the host has its standby as home, as the new one knows", func() error {
		if h, _ := comes.tables.View().Host("host-a"); h.Home != "c2" {
			return fmt.Errorf("its home is %q", h.Home)
		}
		return nil
	})
	// The new one's vote counts: without it c3 decides nothing.
	goes.end(t)
	all[1].end(t)
	two := connect(t, made, all[2], comes)
	eventually(t, "two of three go on", func() error {
		return two.Call(ctx, "PUT", "/v1/types/m.small", proto.InstanceType{Name: "m.small", Max: resource.Uniform(100)}, nil)
	})
}

// codeOf returns the code of what the API answered.
func codeOf(err error) v1.Code {
	var told *v1.Error
	if errors.As(err, &told) {
		return told.Code
	}
	return ""
}

func TestALeaderThatIsStoppedHasHandedOver(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	all, _, _ := three(t)
	all[0].end(t)
	next, rest := all[1], all[2]
	if rest.consensus.IsLeader() {
		next, rest = rest, next
	}
	if !next.consensus.IsLeader() {
		t.Fatal("c1 has stopped, and nobody leads")
	}
	// Of two the one that goes has to vote for the other.
	if err := next.RemoveMember(context.Background(), NewID(), "test", "c1", false); err != nil {
		t.Fatal(err)
	}
	next.handLeadershipOver()
	if !rest.consensus.IsLeader() {
		t.Error("of two the leadership was not handed over")
	}
}

func TestCoordinatorsAreRestartedInTurnWhileChangesGoOn(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	all, made, _ := three(t)
	c := connect(t, made, all...) // any of them
	n := 0
	change := func(when string) {
		t.Helper()
		n++
		if err := c.Call(context.Background(), "PUT", fmt.Sprintf("/v1/types/t%d", n), proto.InstanceType{Name: fmt.Sprintf("t%d", n), Max: resource.Uniform(100)}, nil); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	for i, m := range all {
		change("before")
		m.end(t)
		change("while " + m.cfg.Name + " is away") // whoever led has handed over
		all[i] = start(t, m.cfg)
		eventually(t, m.cfg.Name+" has caught up", func() error {
			if got := len(slices.Collect(all[i].tables.View().Types())); got != n {
				return fmt.Errorf("it has %d of %d", got, n)
			}
			return nil
		})
	}
	change("after")
}

func TestTheLastVoterCanNotBeTakenOut(t *testing.T) {
	all := []v1.Member{{Name: "c1", Voter: true, Reached: true}, {Name: "c2", Reached: true}}
	for _, force := range []bool{false, true} {
		if _, err := mayGo(all, "c1", force); wire.CodeOf(err) != wire.Refused {
			t.Errorf("force %v: %v", force, err)
		}
	}
	all[1].Voter = true
	if heir, err := mayGo(all, "c1", false); err != nil || heir != "c2" {
		t.Errorf("%q, %v", heir, err)
	}
	all[1].Reached = false
	if _, err := mayGo(all, "c1", false); wire.CodeOf(err) != wire.Refused {
		t.Errorf("the other one is away: %v", err)
	}
	if _, err := mayGo(all, "c1", true); err != nil {
		t.Errorf("forced: %v", err)
	}
}

func TestWhoHasCaughtUpEnoughDoesNotWaitForThoseWhoNeedMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCoordinator(Config{Name: "c1"}, Process{Log: slog.New(slog.DiscardHandler)}) // it has nobody to propose to
		c.catching.turn <- struct{}{}                                                        // somebody tries, for as long as a leader is looked for
		ctx, cancel := context.WithTimeout(t.Context(), proposeFor)
		defer cancel()
		if err := c.catchUp(ctx, foreverAgo); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a coordinator that has just come back: %v", err)
		}
		at := time.Now()
		c.catching.at.Store(&at)
		time.Sleep(caughtUpFor)
		began := time.Now()
		if err := c.catchUp(t.Context(), foreverAgo); err != nil || time.Since(began) != 0 {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
		<-c.catching.turn
		c.catching.err, c.catching.last = errors.New("no leader"), time.Now()
		if err := c.catchUp(t.Context(), caughtUpFor); err == nil || err.Error() != "no leader" {
			t.Errorf("tried again at once: %v", err)
		}
	})
}
