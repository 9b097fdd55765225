package signals

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// bench is a scraper whose pages are served over pipes: nothing of it leaves a bubble.
type bench struct {
	*Scraper
	serve http.HandlerFunc

	silent bool // nothing answers who dials

	mu     sync.Mutex
	specs  []proto.InstanceSpec
	deny   error
	dialed []string
	read   int
	failed int
}

func newBench(serve http.HandlerFunc, specs ...proto.InstanceSpec) *bench {
	b := &bench{specs: specs, serve: serve}
	b.Scraper = New(Config{
		Now: func() timeline.Time { return timeline.Of(time.Now()) },
		Wanted: func() []proto.InstanceSpec {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.specs
		},
		Allow: func(proto.Signal) error { return b.deny },
		Meter: func(err error) {
			if err != nil {
				b.failed++
			} else {
				b.read++
			}
		},
		Log: slog.New(slog.DiscardHandler),
	})
	b.client = newClient(b.dial)
	return b
}

func (b *bench) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dialed = append(b.dialed, addr)
	if b.silent {
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		return nil, ctx.Err()
	}
	here, there := net.Pipe()
	go func() {
		server := &http.Server{Handler: b.serve}
		_ = server.Serve(&one{conn: there, closed: make(chan struct{})})
	}()
	return here, nil
}

func (b *bench) dials() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.dialed)
}

// one is a listener with one connection, which ends with it.
type one struct {
	conn   net.Conn
	closed chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return c, nil
	}
	return nil, errors.New("there is no other")
}
func (o *one) Close() error   { return nil }
func (o *one) Addr() net.Addr { return &net.TCPAddr{} }

func (b *bench) run(f func()) {
	ctx, stop := context.WithCancel(context.Background())
	var life sync.WaitGroup
	life.Go(func() { _ = b.Run(ctx) })
	f()
	stop()
	life.Wait()
}

func spec(signals ...proto.Signal) proto.InstanceSpec {
	return proto.InstanceSpec{Name: "cache-1", Address: "10.77.0.60/24", Signals: signals}
}

func named(name, path, metric string, kind proto.SignalKind) proto.Signal {
	return proto.Signal{Name: name, URL: "http://127.0.0.1:9121" + path, Metric: metric, Kind: kind}
}

// window is one of the instance that began so long after the test did, and has ended now.
func windowAt(start timeline.Time) []proto.Window {
	return []proto.Window{{Instance: proto.SystemInstance, Start: start}, {Instance: "cache-1", Start: start}}
}

func TestACounterIsARateAndAGaugeIsWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		total := func() float64 { return 1000 + 25*time.Since(began).Seconds() }
		b := newBench(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "requests_total %v\nsessions 7\n", total())
		}, spec(named("requests", "/metrics", "requests_total", proto.SignalCounter), named("sessions", "/metrics", "sessions", proto.SignalGauge)))
		b.run(func() {
			time.Sleep(5 * time.Second)
			first := windowAt(timeline.Of(began))
			b.Fill(first)
			if diff := cmp.Diff([]proto.SignalSample{{Name: "sessions", Value: 7}}, first[1].Signals); diff != "" || len(first[0].Signals) != 0 {
				t.Error(diff, first[0].Signals)
			}
			time.Sleep(10 * time.Second)
			second := windowAt(timeline.Of(began).Add(10 * time.Second))
			b.Fill(second)
			if diff := cmp.Diff([]proto.SignalSample{{Name: "requests", Value: 25}, {Name: "sessions", Value: 7}}, second[1].Signals); diff != "" {
				t.Error(diff)
			}
			again := windowAt(timeline.Of(began).Add(10 * time.Second))
			if b.Fill(again); len(again[1].Signals) != 0 {
				t.Error("what was read once is in two windows")
			}
		})
		if len(b.dialed) != 2 || b.read != 4 || b.failed != 0 {
			t.Errorf("%d pages fetched, %d signals read, %d failed: want one page a round", len(b.dialed), b.read, b.failed)
		}
	})
}

func TestACounterThatBeganAnewSaysNothingForARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, total := 0, []float64{100, 200, 50, 80}
		b := newBench(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "requests_total %v\n", total[n])
			n++
		}, spec(named("requests", "/", "requests_total", proto.SignalCounter)))
		var got []float64
		b.run(func() {
			for i := range total {
				start := timeline.Of(time.Now())
				time.Sleep(5 * time.Second)
				w := windowAt(start)
				b.Fill(w)
				for _, s := range w[1].Signals {
					got = append(got, float64(i), s.Value)
				}
				time.Sleep(5 * time.Second)
			}
		})
		if diff := cmp.Diff([]float64{1, 10, 3, 3}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACounterGoesByTheSeriesThatItHadBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, pages := 0, []string{
			`r{c="a"} 1000` + "\n" + `r{c="b"} 500`,
			`r{c="a"} 1100` + "\n" + `r{c="b"} 520`,
			`r{c="a"} 1200` + "\n" + `r{c="b"} 540` + "\n" + `r{c="new"} 9000000`,
			`r{c="a"} 1300` + "\n" + `r{c="new"} 9000010`, // b is gone
			`r{c="a"} 50` + "\n" + `r{c="new"} 9000020`,   // a began anew
			`r{c="a"} 60` + "\n" + `r{c="new"} 9000030`,
			`r{c="other"} 7`,
		}
		b := newBench(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, pages[n])
			n++
		}, spec(named("requests", "/", "r", proto.SignalCounter)))
		got := map[int]float64{}
		b.run(func() {
			for i := range pages {
				start := timeline.Of(time.Now())
				time.Sleep(5 * time.Second)
				w := windowAt(start)
				b.Fill(w)
				for _, s := range w[1].Signals {
					got[i] = s.Value
				}
				time.Sleep(5 * time.Second)
			}
		})
		if diff := cmp.Diff(map[int]float64{1: 12, 2: 12, 3: 11, 5: 2}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARateIsKnownFromTwoReadingsThatAreNotLongApart(t *testing.T) {
	r, at := reading{signal: named("requests", "/", "r", proto.SignalCounter)}, time.Unix(1_800_000_000, 0)
	for i, c := range []struct {
		after time.Duration
		total float64
		want  float64
		ok    bool
	}{
		{0, 100, 0, false}, {longest, 700, 10, true}, {longest + time.Second, 800, 0, false}, {20 * time.Second, 900, 5, true}, {0, 1000, 0, false},
		{-time.Second, 1100, 0, false}, {time.Nanosecond, 1 << 50, 0, false}, {time.Second, 1 << 50, 0, true},
	} {
		at = at.Add(c.after)
		got, ok := r.next(found{c.total, map[uint64]float64{1: c.total}}, at)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("reading %d: %v, %v", i+1, got, ok)
		}
	}
}

func TestAValueGoesToTheNewestWindowThatHadBegunWhenItWasRead(t *testing.T) {
	s := New(Config{})
	s.readings["cache-1"] = []reading{{signal: proto.Signal{Name: "sessions"}, state: proto.SignalState{Value: 7, At: 25_000}}}
	windows := []proto.Window{
		{Instance: "cache-1", Start: 10_000}, {Instance: "cache-1", Start: 20_000}, {Instance: "cache-1", Start: 30_000}, {Instance: "web-1", Start: 20_000},
	}
	s.Fill(windows)
	for i, w := range windows {
		if len(w.Signals) > 0 != (i == 1) {
			t.Errorf("window %d has %v", i+1, w.Signals)
		}
	}
}

func TestAPageIsAskedForAsItIsAndOfItsAddressAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []http.Header
		b := newBench(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Clone())
			fmt.Fprintln(w, "sessions 1")
		}, spec(named("sessions", "/", "sessions", proto.SignalGauge)))
		b.run(func() { time.Sleep(5 * time.Second) })
		if len(asked) != 1 || asked[0].Get("Accept-Encoding") != "" || asked[0].Get("Accept") != "text/plain;version=0.0.4" {
			t.Error(asked)
		}
		if b.client.Transport.(*http.Transport).Proxy != nil {
			t.Error("there is a proxy")
		}
	})
}

func TestAFaultIsSaidInWordsThatAreBoundedAndStayTheSame(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"a status of the server's own": {raw("HTTP/1.1 500 \x1b[2J" + strings.Repeat("x", 9000) + "\r\n\r\n"), "it answered 500 Internal Server Error"},
		"a status that is none":        {raw("HTTP/1.1 799 \x1b[2J\r\n\r\n"), "it answered 799"},
		"a page that is cut off":       {raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsessions 1\n"), "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(c.serve, spec(named("sessions", "/", "sessions", proto.SignalGauge)))
				b.run(func() { time.Sleep(5 * time.Second) })
				if s := b.States("cache-1"); len(s) != 1 || s[0].Fault != c.want {
					t.Errorf("%.300q", fmt.Sprint(s))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", maxHeaders))
			fmt.Fprintln(w, "sessions 1")
		}, spec(named("sessions", "/", "sessions", proto.SignalGauge)))
		b.run(func() { time.Sleep(5 * time.Second) })
		if s := b.States("cache-1"); len(s) != 1 || !strings.Contains(s[0].Fault, "headers exceeded") {
			t.Errorf("%.300q", fmt.Sprint(s))
		}
	})
	reset := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 41234}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	if got := said(t.Context(), &url.Error{Op: "Get", URL: "http://127.0.0.1:1/", Err: reset}); got.Error() != "read: connection reset by peer" {
		t.Error(got)
	}
	if got := words(errors.New("a\x1b[2J\nb\xff" + strings.Repeat("é", maxWords))); len(got) > maxWords+len("…") || !strings.HasPrefix(got, "a [2J b?é") {
		t.Errorf("%.40q, %d bytes", got, len(got))
	}
}

func TestWhatIsDialledInVainEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which waits for all that was begun
		b := newBench(nil, spec(named("sessions", "/", "sessions", proto.SignalGauge)))
		b.silent = true
		b.run(func() { time.Sleep(25 * time.Second) })
		if s := b.States("cache-1"); b.dials() != 3 || len(s) != 1 || s[0].Fault != "it did not answer within 3s" {
			t.Errorf("dialled %d times: %+v", b.dials(), s)
		}
	})
}

func TestFewPagesAreFetchedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var specs []proto.InstanceSpec
		for i := range 2 * atOnce {
			s := spec(named("sessions", "/", "sessions", proto.SignalGauge))
			s.Name = fmt.Sprintf("cache-%d", i)
			specs = append(specs, s)
		}
		b := newBench(nil, specs...)
		b.silent = true
		b.run(func() {
			for n := range 2 {
				time.Sleep(fetchTime - time.Second)
				synctest.Wait()
				if got := b.dials(); got != (n+1)*atOnce {
					t.Errorf("%d pages were asked for", got)
				}
				time.Sleep(time.Second)
			}
			time.Sleep(time.Second)
		})
		if b.failed != 2*atOnce {
			t.Errorf("%d of %d failed", b.failed, 2*atOnce)
		}
	})
}

func TestWhatCanNotBeReadIsAMissingSampleAndAState(t *testing.T) {
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"an error": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, "it answered 500"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
		}, "redirections are not followed"},
		"silence":   {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "it did not answer within 3s"},
		"no metric": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "other 1") }, "there is no metric sessions"},
		"a slow page": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "sessions 1")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "it did not answer within 3s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(c.serve, spec(named("sessions", "/", "sessions", proto.SignalGauge)))
				start := timeline.Of(time.Now())
				b.run(func() { time.Sleep(5 * time.Second) })
				w := windowAt(start)
				b.Fill(w)
				states := b.States("cache-1")
				if len(w[1].Signals) != 0 || len(states) != 1 || !strings.Contains(states[0].Fault, c.want) || b.failed != 1 {
					t.Errorf("%v, %+v, %d failed", w[1].Signals, states, b.failed)
				}
				if len(b.dialed) != 1 || b.dialed[0] != "127.0.0.1:9121" {
					t.Errorf("dialed %q", b.dialed)
				}
			})
		})
	}
}

func TestWhatTheHostDoesNotAllowAndWhatIsNotTheInstancesIsNotFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "sessions 1") }
		b := newBench(serve, spec(named("sessions", "/", "sessions", proto.SignalGauge)))
		b.deny = errors.New("not on this host's allow-list")
		b.run(func() { time.Sleep(5 * time.Second) })
		if s := b.States("cache-1"); len(s) != 1 || s[0].Fault != "not on this host's allow-list" {
			t.Errorf("%+v", s)
		}
		b.deny = nil
		elsewhere := named("sessions", "/", "sessions", proto.SignalGauge)
		elsewhere.URL = "http://10.77.0.61:80/"
		b.specs = []proto.InstanceSpec{spec(elsewhere)}
		b.run(func() { time.Sleep(5 * time.Second) })
		if s := b.States("cache-1"); len(s) != 1 || !strings.Contains(s[0].Fault, "neither the host's loopback nor an address of the instance") {
			t.Errorf("%+v", s)
		}
		b.specs = nil
		b.run(func() { time.Sleep(5 * time.Second) })
		if len(b.dialed) != 0 || len(b.States("cache-1")) != 0 {
			t.Errorf("dialed %q, %+v", b.dialed, b.States("cache-1"))
		}
	})
}

func TestARealPageIsFetchedOverLoopback(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, example) }))
	defer page.Close()
	s := New(Config{Log: slog.New(slog.DiscardHandler)})
	got, faults, at, err := s.fetch(t.Context(), page.URL+"/metrics", []proto.Signal{signal("sessions")})
	if err != nil || faults[0] != nil || got[0].total != 41.5 || at.IsZero() {
		t.Error(got, faults, at, err)
	}
}
