package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// alone is a source whose target is played by the test.
type alone struct {
	*direct

	mu      sync.Mutex // of all that follows but contact
	record  fence.Record
	contact *contact
	reply   proto.RefusedReply
	fail    error
	asked   []time.Duration // since the beginning
	thaws   []fence.Token
}

// after lets time pass, and then looks at what came of it and changes what the target says.
func (a *alone) after(d time.Duration, look func()) {
	time.Sleep(d)
	a.mu.Lock()
	defer a.mu.Unlock()
	look()
}

// cutOff runs the story of a source that was just frozen under fence 2.
func cutOff(t *testing.T, story func(*testing.T, *alone)) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := &alone{contact: newContact(), record: recordIn(proto.FenceFrozen, 2)}
		a.record.Peer = proto.Peer{Host: "host-b", SyncAddr: "10.0.0.2:7647"}
		a.direct = &direct{
			records: func() []fence.Record {
				a.mu.Lock()
				defer a.mu.Unlock()
				return []fence.Record{a.record}
			},
			silence: a.contact.silence, log: slog.New(slog.DiscardHandler),
			ask: func(_ context.Context, to proto.Peer, q proto.RefusedRequest) (proto.RefusedReply, error) {
				a.mu.Lock()
				defer a.mu.Unlock()
				if to != a.record.Peer || q != (proto.RefusedRequest{Instance: "cache-1", Migration: "m-1", Incarnation: 1, Fence: 3}) {
					t.Errorf("asks %+v for %+v", to, q)
				}
				a.asked = append(a.asked, time.Since(began))
				return a.reply, a.fail
			},
			thaw: func(_ context.Context, _, _ string, refused fence.Token) error {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.thaws = append(a.thaws, refused)
				return a.fail
			},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.run(ctx) }()
		story(t, a)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAFrozenSourceAsksItsTargetWhenTheCoordinatorsHaveBeenSilentForLong(t *testing.T) {
	cutOff(t, func(t *testing.T, a *alone) {
		ended := a.contact.begin("cache-1")
		time.Sleep(5 * time.Minute) // a long last round is no silence
		ended()
		a.after(aloneAfter-time.Second, func() {
			if len(a.asked) > 0 {
				t.Errorf("asked at %v", a.asked)
			}
			a.reply = proto.RefusedReply{State: proto.FenceStarting}
		})
		a.after(time.Minute, func() {
			if n := len(a.asked); n < 4 || len(a.thaws) > 0 {
				t.Errorf("asked %d times, thawed by %v", n, a.thaws)
			}
			a.reply = proto.RefusedReply{Incarnation: 1, Fence: 3, State: proto.FenceRefused}
		})
		a.after(directEvery-5*time.Second, func() {
			if want := []fence.Token{{Incarnation: 1, Fence: 3}}; !slices.Equal(a.thaws, want) {
				t.Errorf("thawed by %v", a.thaws)
			}
		})
	})
}

func TestNothingButARefusalThawsASource(t *testing.T) {
	for name, set := range map[string]func(*alone){
		"silence":                  func(a *alone) { a.fail = errors.New("no route to host") },
		"an older refusal":         func(a *alone) { a.reply = proto.RefusedReply{Incarnation: 1, Fence: 2, State: proto.FenceTarget} },
		"a host that knows it not": func(a *alone) { a.reply = proto.RefusedReply{} },
	} {
		cutOff(t, func(t *testing.T, a *alone) {
			a.after(0, func() { set(a) })
			a.after(time.Hour, func() {
				if len(a.thaws) > 0 || len(a.asked) < 300 {
					t.Errorf("%s: asked %d times, thawed by %v", name, len(a.asked), a.thaws)
				}
			})
		})
	}
}

func TestATargetThatOwnsTheInstanceIsAskedOnce(t *testing.T) {
	cutOff(t, func(t *testing.T, a *alone) {
		a.after(0, func() { a.reply = proto.RefusedReply{State: proto.FenceOwner} })
		a.after(time.Hour, func() {
			if len(a.asked) != 1 || len(a.thaws) > 0 {
				t.Errorf("asked at %v, thawed by %v", a.asked, a.thaws)
			}
		})
	})
}

func TestASourceThatWasNotStartedAfterItsThawIsStartedUntilItRuns(t *testing.T) {
	cutOff(t, func(t *testing.T, a *alone) {
		a.after(0, func() {
			a.record = recordIn(proto.FenceOwner, 3)
			a.record.Unstarted = true
			a.fail = errors.New("the unit does not start")
		})
		a.after(3*directEvery+time.Second, func() {
			if len(a.thaws) != 3 || len(a.asked) > 0 {
				t.Errorf("started %d times, asked at %v", len(a.thaws), a.asked)
			}
			a.record.Unstarted = false
		})
		a.after(time.Minute, func() {
			if len(a.thaws) != 3 {
				t.Errorf("started %d times", len(a.thaws))
			}
		})
	})
}

func TestTheDirectLinkIsForAgentsAndKnowsTheSource(t *testing.T) {
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	credentials := func(kind pki.Kind, name string) *pki.Credentials {
		node, err := ca.Issue(kind, name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		c, err := node.Credentials()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	bySource, closed := make(chan bool, 2), make(chan string, 2)
	f := &refuser{
		refused: func(_ context.Context, q fence.Request, source bool) (fence.Token, proto.FenceState, error) {
			bySource <- source
			return q.Token, proto.FenceRefused, nil
		},
		source: func(string) string { return "host-a" }, close: func(m string) error { closed <- m; return nil }, log: slog.New(slog.DiscardHandler),
	}
	server := wire.NewServer(wire.ServerOptions{Credentials: credentials(pki.Agent, "host-b")})
	server.Handle(wire.RPC, wire.Mutual, f.serve)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	ask := func(c *pki.Credentials, host string) (proto.RefusedReply, error) {
		return asking(c)(ctx, proto.Peer{Host: host, SyncAddr: listener.Addr().String()}, proto.RefusedRequest{Instance: "cache-1", Migration: "m-1", Incarnation: 1, Fence: 3})
	}
	for host, source := range map[string]bool{"host-a": true, "host-c": false} {
		reply, err := ask(credentials(pki.Agent, host), "host-b")
		if err != nil || reply != (proto.RefusedReply{Incarnation: 1, Fence: 3, State: proto.FenceRefused}) {
			t.Fatalf("%s: %+v, %v", host, reply, err)
		}
		if got, m := <-bySource, <-closed; got != source || m != "m-1" {
			t.Errorf("%s is taken for the source: %v; closed %q", host, got, m)
		}
	}
	if reply, err := ask(credentials(pki.Coordinator, "c1"), "host-b"); err == nil {
		t.Errorf("a coordinator is answered %+v", reply)
	}
	if reply, err := ask(credentials(pki.Agent, "host-a"), "host-d"); err == nil {
		t.Errorf("another host than the target answers %+v", reply)
	}
}
