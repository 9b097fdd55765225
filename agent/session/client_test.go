package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// coordinators are two coordinators on pipes, of which one is the home.
type coordinators struct {
	mu      sync.Mutex
	all     []string
	home    string
	down    map[string]bool
	dark    string // answers nothing, not even with a refusal
	refuse  bool   // takes no samples
	gone    bool   // says that the host was taken out
	dials   []string
	windows int
	open    []*wire.Session
}

func (c *coordinators) dial(ctx context.Context, addr string) (net.Conn, wire.Peer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dials = append(c.dials, addr)
	if c.dark == addr {
		c.mu.Unlock()
		<-ctx.Done()
		c.mu.Lock()
		return nil, wire.Peer{}, ctx.Err()
	}
	if c.down[addr] {
		return nil, wire.Peer{}, errors.New("no route")
	}
	mux := wire.NewMux()
	rpc.Handle(mux, proto.MethodHello, func(context.Context, wire.Peer, proto.Hello) (proto.HelloReply, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.gone {
			return proto.HelloReply{}, wire.TakenOutError("host was taken out")
		}
		return proto.HelloReply{Home: c.home, HomeAddr: c.home, Coordinators: c.all}, nil
	})
	rpc.Handle(mux, proto.MethodSamples, func(_ context.Context, _ wire.Peer, s proto.Samples) (proto.SamplesReply, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.refuse {
			return proto.SamplesReply{}, wire.Errorf(wire.Unavailable, "no leader")
		}
		c.windows += len(s.Windows)
		return proto.SamplesReply{Sequence: s.Sequence}, nil
	})
	a, b := net.Pipe()
	c.open = append(c.open, wire.NewSession(a, false, wire.Options{Mux: mux}))
	return b, wire.Peer{Identity: pki.Identity{Fleet: "f", Kind: pki.Coordinator, Name: addr}}, nil
}

// fail takes a coordinator down, with the sessions that it has.
func (c *coordinators) fail(addr string) {
	c.mu.Lock()
	c.down[addr] = true
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
}

func (c *coordinators) up(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.down, addr)
}

func (c *coordinators) setHome(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.home, c.down = addr, map[string]bool{}
}

// client returns a client that knows the first of them.
func (c *coordinators) client(b *Buffer, learn func([]string)) *Client {
	return NewClient(ClientConfig{
		Addrs: c.all[:1], Dial: c.dial, Buffer: b, Log: slog.New(slog.DiscardHandler), Mux: wire.NewMux(),
		Hello:  func(context.Context) (proto.Hello, error) { return proto.Hello{}, nil },
		Answer: func(proto.HelloReply, time.Time, time.Duration) bool { return false },
		Learn:  learn,
	})
}

func TestWhatCannotWaitDoesNotWaitForAHomeThatHasGoneDark(t *testing.T) {
	for _, home := range []string{"c1", "c2", "c3"} {
		synctest.Test(t, func(t *testing.T) {
			c := &coordinators{all: []string{"c1", "c2", "c3"}, home: home, down: map[string]bool{}}
			client := c.client(openBuffer(t, t.TempDir(), 1<<20), func([]string) {})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- client.Run(ctx) }()
			for range 5 {
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if !client.Connected() {
					t.Error("not connected")
				}
				c.mu.Lock()
				c.dark = home
				c.mu.Unlock()
				c.fail(home)
				time.Sleep(time.Second) // a permit is asked for within three
				synctest.Wait()
				if _, err := rpc.Call[proto.HelloReply](ctx, client, proto.MethodHello, proto.Hello{}); err != nil {
					t.Errorf("with home %s dark: %v", home, err)
				}
				time.Sleep(10 * time.Second)
				c.mu.Lock()
				c.dark = ""
				c.mu.Unlock()
				c.up(home)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			c.fail(home)
		})
	}
}

func TestAHostThatWasTakenOutHearsOfItAndGoesOnAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{all: []string{"c1"}, home: "c1", down: map[string]bool{}, gone: true}
		client := c.client(openBuffer(t, t.TempDir(), 1<<20), func([]string) {})
		heard := 0
		client.cfg.Gone = func(context.Context, error) { heard++ }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- client.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if heard < 2 || client.Connected() {
			t.Errorf("it heard of it %d times, and is connected: %v", heard, client.Connected())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.fail("c1")
	})
}

func TestAHomeThatTakesNoSamplesKeepsItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{all: []string{"c1"}, home: "c1", down: map[string]bool{}, refuse: true}
		buffer := openBuffer(t, t.TempDir(), 1<<20)
		client := c.client(buffer, func([]string) {})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- client.Run(ctx) }()
		put(t, buffer, 0, 5)
		time.Sleep(time.Minute)
		c.mu.Lock()
		c.refuse = false
		c.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if c.windows != 5 || len(c.dials) != 1 {
			t.Errorf("%d windows arrived, in %d sessions", c.windows, len(c.dials))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.fail("c1")
	})
}

func TestWhatIsOutdatedByTheAnswerIsStatedAgainOnce(t *testing.T) {
	for outdated, want := range map[bool]int32{false: 1, true: 2} {
		synctest.Test(t, func(t *testing.T) {
			c := &coordinators{all: []string{"c1"}, home: "c1", down: map[string]bool{}}
			client := c.client(openBuffer(t, t.TempDir(), 1<<20), func([]string) {})
			var stated atomic.Int32
			client.cfg.Hello = func(context.Context) (proto.Hello, error) {
				stated.Add(1)
				return proto.Hello{}, nil
			}
			client.cfg.Answer = func(proto.HelloReply, time.Time, time.Duration) bool { return outdated }
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- client.Run(ctx) }()
			time.Sleep(helloEvery / 2)
			synctest.Wait()
			if n := stated.Load(); n != want {
				t.Errorf("outdated %v: stated %d times, want %d", outdated, n, want)
			}
			cancel()
			<-ended
			c.fail("c1")
		})
	}
}

func TestTheAgentFollowsItsHomeAndDeliversWhatItBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{all: []string{"c1", "c2"}, home: "c2", down: map[string]bool{}}
		buffer := openBuffer(t, t.TempDir(), 1<<20)
		var learned []string
		client := c.client(buffer, func(addrs []string) { learned = addrs })
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- client.Run(ctx) }()

		put(t, buffer, 0, 5)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"c1", "c2"}, c.dials); diff != "" {
			t.Error(diff)
		}
		if !client.Connected() || c.windows != 5 {
			t.Errorf("connected %v, %d windows", client.Connected(), c.windows)
		}
		if _, err := rpc.Call[proto.HelloReply](ctx, client, proto.MethodHello, proto.Hello{}); err != nil {
			t.Error(err)
		}
		c.fail("c2")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		put(t, buffer, 5, 8)
		if client.Connected() {
			t.Error("connected to a home that is down")
		}
		// The other one stands in, but for the samples.
		if _, err := rpc.Call[proto.HelloReply](ctx, client, proto.MethodHello, proto.Hello{}); err != nil || c.windows != 5 {
			t.Errorf("%d windows, %v", c.windows, err)
		}
		c.up("c2")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !client.Connected() || c.windows != 8 {
			t.Errorf("the home is back: connected %v, %d windows", client.Connected(), c.windows)
		}
		c.fail("c1")
		c.fail("c2")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if _, err := client.Call(ctx, "x", nil); wire.CodeOf(err) != wire.Unavailable {
			t.Error(err)
		}
		put(t, buffer, 8, 9)
		c.setHome("c1") // the leader has made the standby the home
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if !client.Connected() || c.windows != 9 {
			t.Errorf("connected %v, %d windows", client.Connected(), c.windows)
		}
		if diff := cmp.Diff([]string{"c1", "c2"}, learned); diff != "" {
			t.Error(diff)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.fail("c1")
	})
}

func TestFactsThatChangedAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{all: []string{"c1"}, home: "c1", down: map[string]bool{}}
		client := c.client(openBuffer(t, t.TempDir(), 1<<20), func([]string) {})
		told := 0
		client.cfg.Hello = func(context.Context) (proto.Hello, error) {
			told++
			return proto.Hello{}, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- client.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		before := told
		client.Restate()
		synctest.Wait()
		if told != before+1 {
			t.Errorf("told %d times, then %d", before, told)
		}
		time.Sleep(helloEvery / 2)
		if told != before+1 {
			t.Errorf("told %d times although nothing changed", told)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.fail("c1")
	})
}
