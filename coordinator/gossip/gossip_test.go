package gossip

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
)

// network is an in-memory network of transports. It makes nothing but memory, so it works in a synctest bubble.
type network struct {
	mu  sync.Mutex
	all map[string]*transport
}

type transport struct {
	net     *network
	addr    *net.UDPAddr
	packets chan *memberlist.Packet
	streams chan net.Conn
}

func (n *network) transport(i byte) *transport {
	t := &transport{net: n, addr: &net.UDPAddr{IP: net.IPv4(10, 0, 0, i), Port: 7646}, packets: make(chan *memberlist.Packet, 256), streams: make(chan net.Conn, 16)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[t.addr.String()] = t
	return t
}

func (n *network) find(addr string) *transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[addr]
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.addr.IP, t.addr.Port, nil
}
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	if to := t.net.find(addr); to != nil && t.net.find(t.addr.String()) != nil {
		select {
		case to.packets <- &memberlist.Packet{Buf: bytes.Clone(b), From: t.addr, Timestamp: now}:
		default: // packets may be lost
		}
	}
	return now, nil
}

func (t *transport) DialTimeout(addr string, _ time.Duration) (net.Conn, error) {
	to := t.net.find(addr)
	if to == nil || t.net.find(t.addr.String()) == nil {
		return nil, fmt.Errorf("no route to %s", addr)
	}
	a, b := net.Pipe()
	to.streams <- b
	return a, nil
}

// Shutdown takes the member off the network without a word.
func (t *transport) Shutdown() error {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	delete(t.net.all, t.addr.String())
	return nil
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func open(t *testing.T, n *network, i byte, keys ...[]byte) *Pool {
	t.Helper()
	p, err := Open(Config{
		Self: Member{Name: fmt.Sprintf("c%d", i), RPCAddr: fmt.Sprintf("10.0.0.%d:7647", i)}, Fleet: "fleet-1",
		Bind: "0.0.0.0:7646", Keys: keys, Log: slog.New(slog.DiscardHandler), transport: n.transport(i),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func alive(p *Pool) string {
	var names []string
	for _, m := range p.Members() {
		if m.Alive {
			names = append(names, m.Name+"="+m.RPCAddr)
		}
	}
	return strings.Join(names, " ")
}

func TestCoordinatorsFindEachOtherAndNoticeALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{all: map[string]*transport{}}
		a, b, c := open(t, n, 1, key(1)), open(t, n, 2, key(1)), open(t, n, 3, key(1))
		for _, p := range []*Pool{b, c} {
			if err := p.Join([]string{"10.0.0.1:7646"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		all := "c1=10.0.0.1:7647 c2=10.0.0.2:7647 c3=10.0.0.3:7647"
		for _, p := range []*Pool{a, b, c} {
			if diff := cmp.Diff(all, alive(p)); diff != "" {
				t.Error(diff)
			}
		}
		<-a.Changed()
		if err := n.find("10.0.0.3:7646").Shutdown(); err != nil { // killed: it says nothing
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if diff := cmp.Diff("c1=10.0.0.1:7647 c2=10.0.0.2:7647", alive(a)); diff != "" {
			t.Error(diff)
		}
		<-a.Changed()
		ctx := context.Background()
		for _, p := range []*Pool{c, b, a} {
			if err := p.Close(ctx); err != nil {
				t.Error(err)
			}
		}
		// memberlist's loops end at their next tick.
		time.Sleep(time.Minute)
	})
}

func TestAMemberWithAnotherKeyStaysOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{all: map[string]*transport{}}
		a, stranger := open(t, n, 1, key(1)), open(t, n, 2, key(2))
		if err := stranger.Join([]string{"10.0.0.1:7646"}); err == nil {
			t.Error("let in")
		}
		if got := alive(a); got != "c1=10.0.0.1:7647" {
			t.Error(got)
		}
		for _, p := range []*Pool{a, stranger} {
			if err := p.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
	})
}

func TestARotatedKeyIsUnderstoodByThoseThatHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{all: map[string]*transport{}}
		before, after := open(t, n, 1, key(1), key(2)), open(t, n, 2, key(2), key(1))
		if err := after.Join([]string{"10.0.0.1:7646"}); err != nil {
			t.Error(err)
		}
		for _, p := range []*Pool{before, after} {
			if err := p.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
	})
}

func TestAPoolWithoutAKeyOrAPortIsRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"no key":    {Bind: "127.0.0.1:0"},
		"short key": {Bind: "127.0.0.1:0", Keys: [][]byte{{1}}},
		"no port":   {Bind: "127.0.0.1", Keys: [][]byte{key(1)}},
	} {
		c.Log = slog.New(slog.DiscardHandler)
		if _, err := Open(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPoolsOnRealSockets(t *testing.T) {
	var pools []*Pool
	for i := range 2 {
		p, err := Open(Config{Self: Member{Name: fmt.Sprint("c", i)}, Fleet: "f", Bind: "127.0.0.1:0", Keys: [][]byte{key(9)}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		pools = append(pools, p)
	}
	if err := pools[1].Join([]string{pools[0].Addr()}); err != nil {
		t.Fatal(err)
	}
	for _, p := range pools {
		// The one that was joined may still be taking in what it was told.
		for late := time.After(10 * time.Second); len(p.Members()) != 2; time.Sleep(time.Millisecond) {
			select {
			case <-late:
				t.Fatalf("%d members", len(p.Members()))
			default:
			}
		}
	}
}
