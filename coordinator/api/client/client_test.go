package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/client"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln.Addr().String()
}

func connect(t *testing.T, f *apitest.Fleet, addrs ...string) *client.Client {
	c := client.New(client.Config{Addresses: addrs, Token: f.Tokens[proto.RoleAdmin], Pin: f.CA.Pin()})
	t.Cleanup(c.Close)
	return c
}

func TestTheNextCoordinatorIsAskedWhenOneIsAwayOrCutOff(t *testing.T) {
	f := apitest.New(t)
	cutOff := apitest.New(t)
	cutOff.CA, cutOff.Tokens = f.CA, f.Tokens
	cutOff.Config = f.Config
	asked := 0
	cutOff.Config.Propose = func(context.Context, string, string, proto.Body) (proto.Result, error) {
		asked++
		return proto.Result{}, wire.Errorf(wire.Unavailable, "no leader is elected")
	}
	c := connect(t, f, closed(t), cutOff.Start(), f.Start())
	for range 2 {
		if err := c.Call(t.Context(), "DELETE", "/v1/types/m.large", nil, nil); err != nil && !strings.Contains(err.Error(), "no instance type") {
			t.Fatal(err)
		}
	}
	if _, there := f.View().Type("m.large"); there || asked != 1 {
		t.Errorf("the type is there: %v; the one that is cut off was asked %d times", there, asked)
	}
}

func TestWhoIsUnreachableIsSaidWithTheReason(t *testing.T) {
	f, stranger := apitest.New(t), apitest.New(t)
	gone, foreign := closed(t), stranger.Start()
	err := connect(t, f, gone, foreign).Call(t.Context(), "GET", "/v1/status", nil, nil)
	var unreachable *client.UnreachableError
	if !errors.As(err, &unreachable) || !errors.Is(err, pki.ErrPin) {
		t.Fatal(err)
	}
	for _, want := range []string{gone + ": connect: connection refused", foreign + ": it is not of the fleet"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if err := connect(t, f).Call(t.Context(), "GET", "/v1/status", nil, nil); !errors.As(err, &unreachable) {
		t.Error(err)
	}
	if _, err := connect(t, f, gone).Watch(t.Context(), "x", func(v1.MigrationUpdate) {}); !errors.As(err, &unreachable) {
		t.Error(err)
	}
}

func TestAnErrorComesAsTheCoordinatorSaidIt(t *testing.T) {
	f := apitest.New(t)
	c := connect(t, f, f.Start())
	var told *v1.Error
	if err := c.Call(t.Context(), "GET", "/v1/hosts/x", nil, nil); !errors.As(err, &told) || told.Code != v1.CodeNotFound {
		t.Error(err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("time,cpu_cores\n")), nil }
	if err := c.Upload(t.Context(), "/v1/instances/x/history", open, nil); !errors.As(err, &told) || told.Code != v1.CodeNotFound {
		t.Error(err)
	}
	if _, err := c.Watch(t.Context(), "x", func(v1.MigrationUpdate) {}); !errors.As(err, &told) || told.Code != v1.CodeNotFound {
		t.Error(err)
	}
	var out strings.Builder
	if err := c.Download(t.Context(), "/metrics", "", &out); err != nil || out.String() != "glidepath_up 1\n" {
		t.Errorf("%q %v", out.String(), err)
	}
}

// start begins a migration of cache-1 to host-c.
func start(t *testing.T, c *client.Client) proto.Migration {
	t.Helper()
	spec := apitest.Spec("cache-1")
	if err := c.Call(t.Context(), "PUT", "/v1/instances/cache-1", spec, nil); err != nil {
		t.Fatal(err)
	}
	var m proto.Migration
	if err := c.Call(t.Context(), "POST", "/v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"}, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAWatchTellsEveryPhaseAndGoesOnAtAnotherCoordinator(t *testing.T) {
	f := apitest.New(t)
	f.Config.MigrationProgress = func(context.Context, string) any {
		return proto.MigrationProgress{Stage: "copy", Round: 2, Bytes: 5, Total: 9}
	}
	// The first coordinator leaves while it is watched.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- api.New(f.Config).Serve(ctx, ln) }()
	c := connect(t, f, ln.Addr().String(), f.Start())
	m := start(t, c)

	var phases []proto.Phase
	limited, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	last, err := c.Watch(limited, m.ID, func(u v1.MigrationUpdate) {
		if n := len(phases); n > 0 && phases[n-1] == u.Migration.Phase {
			return
		}
		phases = append(phases, u.Migration.Phase)
		switch u.Migration.Phase {
		case proto.PhasePrepare:
			if !strings.Contains(string(u.Progress), `"round":2`) {
				t.Errorf("progress %s", u.Progress)
			}
			f.Must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy})
		case proto.PhaseCopy:
			leave()
			if err := <-left; err != nil {
				t.Error(err)
			}
			i, _ := f.View().Instance("cache-1")
			f.Must(&proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "a test"})
		case proto.PhaseUndo:
			f.Must(&proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted})
		}
	})
	if err != nil || last.Outcome != proto.OutcomeAborted || last.Reason != "a test" {
		t.Fatalf("%+v %v", last, err)
	}
	want := "[prepare copy undo ended]"
	if got := fmt.Sprint(phases); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAWatchEndsWithItsContext(t *testing.T) {
	f := apitest.New(t)
	c := connect(t, f, f.Start())
	m := start(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	last, err := c.Watch(ctx, m.ID, func(v1.MigrationUpdate) { cancel() })
	if !errors.Is(err, context.Canceled) || last.ID != m.ID {
		t.Errorf("%+v %v", last, err)
	}
}

func TestChangesGoOnAtAnotherCoordinatorWithoutALoss(t *testing.T) {
	f := apitest.New(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	second := api.New(f.Config)
	go func() { left <- api.New(f.Config).Serve(ctx, ln) }()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over, end := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() { gone <- second.Serve(over, other) }()
	t.Cleanup(func() {
		end()
		if err := <-gone; err != nil {
			t.Error(err)
		}
	})
	c := connect(t, f, ln.Addr().String(), other.Addr().String())
	// The second one is followed, too, so that it keeps what changes.
	limited, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	watching, watched := make(chan struct{}), make(chan error, 1)
	go func() {
		watched <- connect(t, f, other.Addr().String()).Changes(limited, nil, 0, func(u v1.Change) {
			if u.Kind == v1.ChangeBegin {
				close(watching)
			}
		})
	}()
	<-watching

	var told []string
	err = c.Changes(limited, []string{"host", "event"}, 0, func(u v1.Change) {
		told = append(told, strings.TrimSpace(fmt.Sprint(u.Kind, " ", u.Name)))
		switch {
		case u.Kind == v1.ChangeBegin:
			f.Must(&proto.HostSet{Host: "host-a", Cordoned: true})
		case u.Name == "host-a":
			leave()
			if err := <-left; err != nil {
				t.Error(err)
			}
			f.Must(&proto.HostSet{Host: "host-b", Cordoned: true})
		case u.Name == "host-b":
			stop()
		}
	})
	<-watched
	if !errors.Is(err, context.Canceled) || fmt.Sprint(told) != "[begin host host-a host host-b]" {
		t.Errorf("%q %v", told, err)
	}
}

func TestChangesEndWhereTheTokenIsNotGood(t *testing.T) {
	f := apitest.New(t)
	c := connect(t, f, f.Start())
	var told *v1.Error
	if err := c.Changes(t.Context(), []string{"nothing"}, 0, func(v1.Change) {}); !errors.As(err, &told) || told.Code != v1.CodeInvalid {
		t.Error(err)
	}
	err := c.Changes(t.Context(), nil, 0, func(u v1.Change) {
		if u.Kind != v1.ChangeBegin {
			return
		}
		for tok := range f.View().Tokens() {
			f.Must(&proto.TokenRevoke{ID: tok.ID})
		}
	})
	if !errors.As(err, &told) || told.Code != v1.CodeUnauthorised || !strings.Contains(told.Message, "revoked") {
		t.Error(err)
	}
}
