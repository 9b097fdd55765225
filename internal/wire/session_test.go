package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns two sessions over a pipe, the client first; both are closed at the end of the test.
func pair(t testing.TB, client, server wire.Options) (*wire.Session, *wire.Session) {
	a, b := net.Pipe()
	c, s := wire.NewSession(a, true, client), wire.NewSession(b, false, server)
	t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c, s
}

func echo(_ context.Context, _ wire.Peer, body []byte) ([]byte, error) { return body, nil }

// hang answers only when its context ends, and reports why it did.
func hang(ended chan<- error) wire.HandlerFunc {
	return func(ctx context.Context, _ wire.Peer, _ []byte) ([]byte, error) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}
}

func muxOf(handlers map[string]wire.HandlerFunc) *wire.Mux {
	m := wire.NewMux()
	for method, h := range handlers {
		m.Handle(method, h)
	}
	return m
}

func TestBothSidesCallEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := muxOf(map[string]wire.HandlerFunc{"echo": echo})
		c, s := pair(t, wire.Options{Mux: mux}, wire.Options{Mux: mux})
		for _, side := range []*wire.Session{c, s} {
			for _, size := range []int{0, 1, 32 << 10, 32<<10 + 1, 300 << 10, 4 << 20} {
				body := bytes.Repeat([]byte{7}, size)
				got, err := side.Call(t.Context(), "echo", body)
				if err != nil || !bytes.Equal(got, body) {
					t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
				}
			}
		}
	})
}

func TestErrorsSurviveTheTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := map[string]error{
			"refused":  wire.Errorf(wire.Refused, "host-b is short of memory at 12:00"),
			"wrapped":  fmt.Errorf("apply: %w", &wire.Error{Code: wire.Conflict, Message: "revision 7 is newer", Detail: []byte("7")}),
			"plain":    errors.New("disk broke"),
			"eof":      io.EOF,
			"leader":   wire.NotLeaderError("10.0.0.2:7647"),
			"deadline": context.DeadlineExceeded,
			"huge":     &wire.Error{Code: wire.Invalid, Message: strings.Repeat("é", 10000), Detail: make([]byte, 1<<20)},
		}
		mux := wire.NewMux()
		for method, err := range handlers {
			mux.Handle(method, func(context.Context, wire.Peer, []byte) ([]byte, error) { return nil, err })
		}
		mux.Handle("panic", func(context.Context, wire.Peer, []byte) ([]byte, error) { panic("oh") })
		c, _ := pair(t, wire.Options{}, wire.Options{Mux: mux})
		for method, want := range map[string]struct {
			code wire.Code
			text string
		}{
			"refused": {wire.Refused, "host-b is short of memory at 12:00"},
			"wrapped": {wire.Conflict, "apply: revision 7 is newer"},
			"plain":   {wire.Internal, "disk broke"},
			"eof":     {wire.Internal, "EOF"},
			"leader":  {wire.NotLeader, "10.0.0.2:7647 is"},
			// The handler's own deadline, not the call's.
			"deadline": {wire.Deadline, "deadline exceeded"},
			"huge":     {wire.Invalid, "éé"},
			"panic":    {wire.Internal, "panicked: oh"},
			"missing":  {wire.NotFound, `no method "missing"`},
		} {
			_, err := c.Call(t.Context(), method, nil)
			if wire.CodeOf(err) != want.code || !strings.Contains(fmt.Sprint(err), want.text) {
				t.Errorf("%s: %v (%v), want %v with %q", method, err, wire.CodeOf(err), want.code, want.text)
			}
			var e *wire.Error
			if !errors.As(err, &e) {
				t.Fatalf("%s: %v has no *Error", method, err)
			}
			if method == "wrapped" && string(e.Detail) != "7" {
				t.Errorf("detail %q did not survive", e.Detail)
			}
			if leader, ok := wire.LeaderOf(err); ok != (method == "leader") || (ok && leader != "10.0.0.2:7647") {
				t.Errorf("%s: LeaderOf = %q, %v", method, leader, ok)
			}
		}
	})
}

func TestHandlerSeesTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		left := make(chan time.Duration, 1)
		mux := muxOf(map[string]wire.HandlerFunc{"hang": func(ctx context.Context, p wire.Peer, b []byte) ([]byte, error) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return hang(ended)(ctx, p, b)
		}})
		c, _ := pair(t, wire.Options{}, wire.Options{Mux: mux})
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := c.Call(ctx, "hang", nil)
		if wire.CodeOf(err) != wire.Deadline || time.Since(start) != 700*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if had := <-left; had != 700*time.Millisecond {
			t.Errorf("the handler had %v", had)
		}
		if cause := <-ended; cause == nil {
			t.Error("the handler's context did not end")
		}
	})
}

func TestCallWithoutDeadlineGetsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		c, _ := pair(t, wire.Options{}, wire.Options{Mux: muxOf(map[string]wire.HandlerFunc{"hang": hang(ended)})})
		start := time.Now()
		if _, err := c.Call(context.Background(), "hang", nil); wire.CodeOf(err) != wire.Deadline || time.Since(start) != wire.DefaultTimeout {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		<-ended
	})
}

func TestCancellingReachesTheHandlerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 2)
		mux := muxOf(map[string]wire.HandlerFunc{"hang": hang(ended)})
		mux.HandleStream("stream", func(ctx context.Context, p wire.Peer, b []byte, _ *wire.Stream) error {
			_, err := hang(ended)(ctx, p, b)
			return err
		})
		c, _ := pair(t, wire.Options{}, wire.Options{Mux: mux})
		start := time.Now()

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Call(ctx, "hang", nil); wire.CodeOf(err) != wire.Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("the caller got %v", err)
		}
		if cause := <-ended; wire.CodeOf(cause) != wire.Canceled {
			t.Errorf("the handler got %v", cause)
		}

		ctx, cancel = context.WithCancel(t.Context())
		st, err := c.Stream(ctx, "stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		cancel() // nobody is in Send or Recv
		<-ended
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestStreamCarriesMessagesBothWaysAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := wire.NewMux()
		mux.HandleStream("double", func(_ context.Context, _ wire.Peer, body []byte, st *wire.Stream) error {
			n := 0
			for {
				m, err := st.Recv()
				if errors.Is(err, io.EOF) {
					if string(body) == "fail" {
						return wire.Errorf(wire.Refused, "after %d", n)
					}
					return st.Send(fmt.Appendf(nil, "%s: %d", body, n))
				}
				if err != nil {
					return err
				}
				n++
				if err := st.Send(append(m, m...)); err != nil {
					return err
				}
			}
		})
		c, s := pair(t, wire.Options{Mux: mux}, wire.Options{Mux: mux})
		for _, side := range []*wire.Session{c, s} {
			for _, request := range []string{"ok", "fail"} {
				st, err := side.Stream(t.Context(), "double", []byte(request))
				if err != nil {
					t.Fatal(err)
				}
				for i := range 5 {
					message := bytes.Repeat([]byte("x"), i*100_000)
					if err := st.Send(message); err != nil {
						t.Fatal(err)
					}
					if got, err := st.Recv(); err != nil || len(got) != 2*len(message) {
						t.Fatalf("%d: %d bytes, %v", i, len(got), err)
					}
				}
				if err := errors.Join(st.CloseSend(), st.CloseSend()); err != nil {
					t.Fatal(err)
				}
				if err := st.Send([]byte("x")); wire.CodeOf(err) != wire.Invalid {
					t.Errorf("sent after CloseSend: %v", err)
				}
				if request == "ok" {
					if got, err := st.Recv(); err != nil || string(got) != "ok: 5" {
						t.Errorf("last message %q, %v", got, err)
					}
				}
				want := map[string]wire.Code{"ok": wire.Internal, "fail": wire.Refused}[request]
				if _, err := st.Recv(); wire.CodeOf(err) != want || (request == "ok") != (errors.Is(err, io.EOF)) {
					t.Errorf("%s: ended with %v", request, err)
				}
				st.Close()
				st.Close()
			}
		}
	})
}

// What the handler sent before it failed is received before the failure.
func TestErrorComesAfterWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := wire.NewMux()
		mux.HandleStream("three", func(_ context.Context, _ wire.Peer, _ []byte, st *wire.Stream) error {
			for i := range 3 {
				if err := st.Send([]byte{byte(i)}); err != nil {
					return err
				}
			}
			return wire.Errorf(wire.Conflict, "no fourth")
		})
		c, _ := pair(t, wire.Options{}, wire.Options{Mux: mux})
		st, err := c.Stream(t.Context(), "three", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		synctest.Wait() // the error is here already
		for i := range 3 {
			if m, err := st.Recv(); err != nil || m[0] != byte(i) {
				t.Fatalf("message %d: %v, %v", i, m, err)
			}
		}
		if _, err := st.Recv(); wire.CodeOf(err) != wire.Conflict {
			t.Errorf("ended with %v", err)
		}
	})
}

// A receiver that does not receive holds up its own sender and nobody else, and what waits for it is bounded.
func TestSlowReceiverHoldsUpOnlyItsOwnStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		mux := muxOf(map[string]wire.HandlerFunc{"echo": echo})
		mux.HandleStream("flood", func(_ context.Context, _ wire.Peer, _ []byte, st *wire.Stream) error {
			for {
				if err := st.Send(make([]byte, 10_000)); err != nil {
					return err
				}
				sent.Add(10_000)
			}
		})
		c, _ := pair(t, wire.Options{}, wire.Options{Mux: mux})
		st, err := c.Stream(t.Context(), "flood", nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := sent.Load(); n == 0 || n > 256<<10 {
			t.Errorf("%d bytes were sent to a receiver that takes none", n)
		}
		if _, err := c.Call(t.Context(), "echo", make([]byte, 1<<20)); err != nil {
			t.Errorf("another call: %v", err)
		}
		for range 1000 {
			if _, err := st.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		st.Close()
	})
}

func TestTooManyCallsAreRefusedAndCallersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		mux := muxOf(map[string]wire.HandlerFunc{"work": func(context.Context, wire.Peer, []byte) ([]byte, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(10 * time.Millisecond)
			now.Add(-1)
			return nil, nil
		}})
		fair, _ := pair(t, wire.Options{MaxStreams: 8}, wire.Options{Mux: mux, MaxStreams: 8})
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() {
				if _, err := fair.Call(t.Context(), "work", nil); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if most.Load() != 8 {
			t.Errorf("%d handlers ran at a time, want 8", most.Load())
		}

		greedy, _ := pair(t, wire.Options{MaxStreams: 50}, wire.Options{Mux: mux, MaxStreams: 8})
		var refused atomic.Int64
		for range 50 {
			group.Go(func() {
				if _, err := greedy.Call(t.Context(), "work", nil); wire.CodeOf(err) == wire.Unavailable {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if refused.Load() != 42 {
			t.Errorf("%d of 50 calls were refused, want 42", refused.Load())
		}
	})
}

func TestTooLargeMessagesAreRefusedOnBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := muxOf(map[string]wire.HandlerFunc{
			"echo": echo,
			"big":  func(context.Context, wire.Peer, []byte) ([]byte, error) { return make([]byte, 2001), nil },
		})
		c, _ := pair(t, wire.Options{MaxMessage: 1000}, wire.Options{Mux: mux, MaxMessage: 2000})
		if _, err := c.Call(t.Context(), "echo", make([]byte, 1001)); wire.CodeOf(err) != wire.Invalid {
			t.Errorf("sender: %v", err)
		}
		if _, err := c.Call(t.Context(), "big", nil); wire.CodeOf(err) != wire.Invalid {
			t.Errorf("handler's answer: %v", err)
		}
		wide, _ := pair(t, wire.Options{MaxMessage: 1 << 20}, wire.Options{Mux: mux, MaxMessage: 100_000})
		if _, err := wide.Call(t.Context(), "echo", make([]byte, 1<<20)); wire.CodeOf(err) != wire.Invalid {
			t.Errorf("receiver: %v", err)
		}
		if got, err := wide.Call(t.Context(), "echo", make([]byte, 100_000)); err != nil || len(got) != 100_000 {
			t.Errorf("the session did not go on: %v", err)
		}
	})
}

// silentConn takes what is written and never answers, like a host that lost its power.
type silentConn struct {
	net.Conn
	cut atomic.Bool
}

// Close is not seen by the other side after the cut.
func (c *silentConn) Close() error {
	if c.cut.Load() {
		return c.SetDeadline(time.Now())
	}
	return c.Conn.Close()
}

func (c *silentConn) Write(p []byte) (int, error) {
	if c.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func TestVanishedPeerIsNoticedWithinTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 2)
		a, b := net.Pipe()
		ca, cb := &silentConn{Conn: a}, &silentConn{Conn: b}
		mux := muxOf(map[string]wire.HandlerFunc{"hang": hang(ended)})
		c, s := wire.NewSession(ca, true, wire.Options{}), wire.NewSession(cb, false, wire.Options{Mux: mux})
		defer c.Close()
		defer s.Close()
		time.Sleep(time.Minute) // an idle session lives
		if c.Err() != nil || s.Err() != nil {
			t.Fatal(c.Err(), s.Err())
		}
		cut := time.Now()
		time.AfterFunc(time.Second, func() { ca.cut.Store(true); cb.cut.Store(true) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := c.Call(ctx, "hang", nil)
		if wire.CodeOf(err) != wire.Unavailable || !errors.Is(err, wire.ErrPeerGone) {
			t.Errorf("the call ended with %v", err)
		}
		<-s.Done()
		if took := time.Since(cut) - time.Second; took > 10*time.Second {
			t.Errorf("noticed after %v", took)
		}
		if cause := <-ended; !errors.Is(cause, wire.ErrPeerGone) {
			t.Errorf("the handler's context ended with %v", cause)
		}
	})
}

func TestCloseEndsEverythingOnBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 2)
		mux := muxOf(map[string]wire.HandlerFunc{"hang": hang(ended), "echo": echo})
		c, s := pair(t, wire.Options{}, wire.Options{Mux: mux})
		result := make(chan error, 1)
		go func() {
			_, err := c.Call(t.Context(), "hang", nil)
			result <- err
		}()
		synctest.Wait()
		s.Close()
		if cause := <-ended; !errors.Is(cause, wire.ErrClosed) {
			t.Errorf("the handler's context ended with %v", cause)
		}
		if err := <-result; wire.CodeOf(err) != wire.Unavailable {
			t.Errorf("the call ended with %v", err)
		}
		<-c.Done()
		if !errors.Is(c.Err(), wire.ErrClosed) {
			t.Errorf("the client's session ended with %v", c.Err())
		}
		for _, side := range []*wire.Session{c, s} {
			if _, err := side.Call(t.Context(), "echo", nil); wire.CodeOf(err) != wire.Unavailable {
				t.Errorf("a call after the end: %v", err)
			}
		}
	})
}

func TestPeerInGraceMayOnlyRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := muxOf(map[string]wire.HandlerFunc{"renew": echo, "echo": echo})
		mux.AllowExpired("renew")
		expired := wire.Peer{Identity: pki.Identity{Fleet: "f", Kind: pki.Agent, Name: "host-a"}, ExpiredGrace: true}
		agentMux := muxOf(map[string]wire.HandlerFunc{"echo": echo})
		agent, coordinator := pair(t, wire.Options{Mux: agentMux}, wire.Options{Mux: mux, Peer: expired})
		if _, err := agent.Call(t.Context(), "renew", nil); err != nil {
			t.Errorf("renew: %v", err)
		}
		for _, method := range []string{"echo", "missing"} {
			if _, err := agent.Call(t.Context(), method, nil); wire.CodeOf(err) != wire.Unauthorized {
				t.Errorf("%s: %v", method, err)
			}
		}
		if _, err := coordinator.Call(t.Context(), "echo", nil); wire.CodeOf(err) != wire.Unavailable {
			t.Errorf("a call to it: %v", err)
		}
	})
}

func TestARequirementHoldsForEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		mux := muxOf(map[string]wire.HandlerFunc{"echo": echo})
		mux.Require(func(p wire.Peer) error {
			if gone.Load() {
				return wire.Errorf(wire.Unauthorized, "%s was taken out", p.Name)
			}
			return nil
		})
		peer := wire.Peer{Identity: pki.Identity{Fleet: "f", Kind: pki.Coordinator, Name: "c3"}}
		c, _ := pair(t, wire.Options{}, wire.Options{Mux: mux, Peer: peer})
		if _, err := c.Call(t.Context(), "echo", nil); err != nil {
			t.Error(err)
		}
		gone.Store(true)
		if _, err := c.Call(t.Context(), "echo", nil); wire.CodeOf(err) != wire.Unauthorized {
			t.Errorf("in a session that had begun before: %v", err)
		}
	})
}

func TestManyConcurrentCallsGetTheirOwnAnswers(t *testing.T) {
	mux := muxOf(map[string]wire.HandlerFunc{"echo": echo})
	c, s := pair(t, wire.Options{Mux: mux}, wire.Options{Mux: mux})
	var group sync.WaitGroup
	for g := range 40 {
		side := []*wire.Session{c, s}[g%2]
		group.Go(func() {
			for i := range 50 {
				body := bytes.Repeat(fmt.Appendf(nil, "%d/%d ", g, i), 1+i*i*5)
				ctx, cancel := context.WithCancel(t.Context())
				if i%7 == 3 {
					go cancel()
				}
				got, err := side.Call(ctx, "echo", body)
				cancel()
				if i%7 == 3 && wire.CodeOf(err) == wire.Canceled {
					continue
				}
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%d/%d: %d bytes, %v", g, i, len(got), err)
				}
			}
		})
	}
	group.Wait()
}
