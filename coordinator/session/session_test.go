package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

var quiet = slog.New(slog.DiscardHandler)

func answer(text string) *wire.Mux {
	m := wire.NewMux()
	m.Handle("who", func(context.Context, wire.Peer, []byte) ([]byte, error) { return []byte(text), nil })
	return m
}

func peer(kind pki.Kind, name string) wire.Peer {
	return wire.Peer{Identity: pki.Identity{Fleet: "f", Kind: kind, Name: name}}
}

// connect serves one end of a pipe on the hub and returns a session on the other, and the end of serving.
func connect(ctx context.Context, h *Hub, p wire.Peer, mux *wire.Mux) (*wire.Session, <-chan error) {
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, a, p) }()
	return wire.NewSession(b, true, wire.Options{Mux: mux}), served
}

func TestAgentsAreCalledOnTheSessionThatTheyOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		h := NewHub(answer("for agents"), answer("for coordinators"), quiet)
		agent, served := connect(ctx, h, peer(pki.Agent, "host-a"), answer("agent of host-a"))
		other, servedOther := connect(ctx, h, peer(pki.Coordinator, "c2"), nil)
		synctest.Wait()

		if diff := cmp.Diff([]string{"host-a"}, h.Hosts()); diff != "" {
			t.Error(diff)
		}
		s, err := h.Agent("host-a")
		if err != nil {
			t.Fatal(err)
		}
		for want, from := range map[string]*wire.Session{"agent of host-a": s, "for agents": agent, "for coordinators": other} {
			if got, err := from.Call(ctx, "who", nil); err != nil || string(got) != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
		if _, err := h.Agent("host-b"); wire.CodeOf(err) != wire.Unavailable {
			t.Error(err)
		}
		h.Drop("host-a")
		if err := <-served; err != nil {
			t.Error(err)
		}
		<-agent.Done()
		if len(h.Hosts()) != 0 {
			t.Error("a dropped agent is still listed")
		}
		cancel()
		<-servedOther
		agent.Close()
		other.Close()
	})
}

func TestANewerSessionOfAnAgentReplacesTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		h := NewHub(answer(""), answer(""), quiet)
		first, servedFirst := connect(ctx, h, peer(pki.Agent, "host-a"), answer("first"))
		synctest.Wait()
		second, servedSecond := connect(ctx, h, peer(pki.Agent, "host-a"), answer("second"))
		synctest.Wait()
		first.Close() // the older one ends later than the newer began
		<-servedFirst
		s, err := h.Agent("host-a")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Call(ctx, "who", nil); err != nil || string(got) != "second" {
			t.Errorf("%q, %v", got, err)
		}
		cancel()
		<-servedSecond
		second.Close()
	})
}

func TestPeersShareOneSessionAndDialAgainWhenItIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		var remote *wire.Session
		p := NewPeers(func(context.Context, string, string) (net.Conn, wire.Peer, error) {
			if dials++; dials == 3 {
				return nil, wire.Peer{}, errors.New("no route")
			}
			a, b := net.Pipe()
			remote = wire.NewSession(a, false, wire.Options{Mux: answer("c2")})
			return b, peer(pki.Coordinator, "c2"), nil
		}, nil, quiet)
		ctx := context.Background()
		for range 2 {
			s, err := p.Get(ctx, "c2", "addr")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Call(ctx, "who", nil); err != nil || string(got) != "c2" {
				t.Fatalf("%q, %v", got, err)
			}
		}
		remote.Close()
		synctest.Wait()
		if _, err := p.Get(ctx, "c2", "addr"); err != nil || dials != 2 {
			t.Errorf("%d dials, %v", dials, err)
		}
		remote.Close()
		synctest.Wait()
		if _, err := p.Get(ctx, "c2", "addr"); wire.CodeOf(err) != wire.Unavailable {
			t.Error(err)
		}
		p.Close()
		if _, err := p.Get(ctx, "c2", "addr"); wire.CodeOf(err) != wire.Unavailable {
			t.Error(err)
		}
	})
}

func TestTheSessionOfAnAgentThatIsRefusedIsNotThatOfItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		h := NewHub(answer(""), answer(""), quiet)
		refused := false
		h.Require(func(wire.Peer) error {
			if refused {
				return errors.New("taken out")
			}
			return nil
		})
		first, served := connect(ctx, h, peer(pki.Agent, "host-a"), answer("first"))
		synctest.Wait()
		if connected, since, known := h.Seen("host-a"); !connected || !known || since.IsZero() {
			t.Errorf("connected %v since %v, known %v", connected, since, known)
		}
		refused = true
		if _, err := h.Agent("host-a"); wire.CodeOf(err) != wire.Unavailable || len(h.Hosts()) > 0 {
			t.Errorf("it is called: %v", err)
		}
		first.Close()
		<-served
		if connected, since, known := h.Seen("host-a"); connected || !known || since.IsZero() {
			t.Errorf("connected %v since %v, known %v", connected, since, known)
		}
		second, servedSecond := connect(ctx, h, peer(pki.Agent, "host-b"), nil)
		synctest.Wait()
		if _, _, known := h.Seen("host-b"); known {
			t.Error("it was taken for the agent of its host")
		}
		cancel()
		<-servedSecond
		second.Close()
	})
}
