package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// following is a client of the stream of changes. What it is told waits until it is taken.
type following struct {
	t      *testing.T
	header http.Header
	stop   context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	told []string // lines
}

func (f *following) Header() http.Header { return f.header }
func (f *following) WriteHeader(int)     {}
func (f *following) Flush()              {}

func (f *following) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, string(b))
	return len(b), nil
}

// text returns what has been told and not taken.
func (f *following) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.told, "")
}

// follow begins to follow in a bubble of synctest.
func (w *world) follow(role proto.Role, query string, headers ...string) *following {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	f := &following{t: w.t, header: http.Header{}, stop: stop, ended: make(chan struct{})}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/stream"+query, nil)
	r.Header.Set("Authorization", "Bearer "+w.Tokens[role])
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	go func() {
		defer close(f.ended)
		w.server.ServeHTTP(f, r)
	}()
	w.t.Cleanup(stop)
	return f
}

// take waits until the stream has told all that there is, and returns it.
func (f *following) take() []v1.Change {
	f.t.Helper()
	time.Sleep(time.Second / 2) // of the bubble
	synctest.Wait()
	var out []v1.Change
	c, err := schemas()
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.told {
		var u v1.Change
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			f.t.Fatalf("%v: %s", err, line)
		}
		c.check(f.t, "a line of the stream", []byte(line), "components", "schemas", "Change")
		out = append(out, u)
	}
	f.told = nil
	return out
}

// short says what lines tell, without their times.
func short(changes []v1.Change) string {
	var out []string
	for _, c := range changes {
		out = append(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", c.Kind, c.What, c.Name)), " "))
	}
	return strings.Join(out, "; ")
}

// bubble runs a test with a fleet in a bubble of synctest. Schemas are compiled outside.
func bubble(t *testing.T, change func(*apitest.Fleet), f func(w *world)) {
	if _, err := schemas(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { f(newWorld(t, change)) })
}

func unchanged(*apitest.Fleet) {}

func TestTheStreamTellsWhatChangesOnceAndNoSecret(t *testing.T) {
	bubble(t, unchanged, func(w *world) {
		f := w.follow(proto.RoleAdmin, "")
		if got := f.take(); short(got) != "begin" || got[0].Index != w.View().Applied() {
			t.Fatalf("%+v", got)
		}
		w.adopt("cache-1")
		got := f.take()
		i, _ := w.View().Instance("cache-1")
		if want := "instance added cache-1; reservation added " + i.Reservation; short(got) != want {
			t.Fatalf("%s, want %s", short(got), want)
		}
		if got[0].Instance.State != proto.InstanceRunning || got[1].Reservation.Instance != "cache-1" || got[1].Index != w.View().Applied() || got[0].Index >= got[1].Index {
			t.Errorf("%+v", got)
		}
		made := ok[v1.TokenReply](w, "POST /v1/tokens", v1.TokenRequest{Role: proto.RoleViewer, Name: "ann"})
		w.take(f, "token added "+made.ID)
		ok[v1.Empty](w, "DELETE /v1/types/m.large", nil)
		w.take(f, "type removed m.large")
		m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
		if text := short(f.take()); !strings.Contains(text, "migration added "+m.ID) || !strings.Contains(text, "instance changed cache-1") {
			t.Error(text)
		}
		w.Must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy})
		if got := f.take(); short(got) != "migration changed "+m.ID || got[0].Migration.Phase != proto.PhaseCopy {
			t.Errorf("%+v", got)
		}
		w.Must(&proto.HostSet{Host: "host-b", Cordoned: true})
		w.take(f, "host changed host-b")
		w.Must(&proto.NoticePut{Put: []proto.Notice{{ID: "short/host-b", Kind: proto.NoticeShort, Host: "host-b", Says: "it is short"}}})
		w.take(f, "notice added short/host-b")
		w.Must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p1", Kind: proto.PlanMigrate, Status: proto.PlanKept}})
		if got := f.take(); short(got) != "plan added p1" || got[0].Plan.Status != proto.PlanKept {
			t.Errorf("%+v", got)
		}
		w.Must(&proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "enough"})
		w.Must(&proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted})
		for _, c := range f.take() {
			if c.Kind == v1.ChangeMigration && (c.Migration.Outcome != proto.OutcomeAborted || c.Migration.Reason != "enough") {
				t.Errorf("%+v", c.Migration)
			}
		}
		if strings.Contains(f.text(), made.Secret) {
			t.Error("a secret is told")
		}
	})
}

// take checks what a follower is told.
func (w *world) take(f *following, want string) {
	w.t.Helper()
	if got := short(f.take()); got != want {
		w.t.Errorf("told %q, want %q", got, want)
	}
}

func TestAFollowerSeesTheKindsItAskedForAndMaySee(t *testing.T) {
	bubble(t, unchanged, func(w *world) {
		all, hosts := w.follow(proto.RoleViewer, ""), w.follow(proto.RoleViewer, "?kind=host,leader")
		w.take(all, "begin")
		w.take(hosts, "begin")
		ok[v1.TokenReply](w, "POST /v1/tokens", v1.TokenRequest{Role: proto.RoleViewer})
		ok[v1.Empty](w, "DELETE /v1/types/m.large", nil)
		w.take(all, "type removed m.large") // no token: they are an admin's to see
		w.take(hosts, "")
		w.Must(&proto.HostSet{Host: "host-b", Cordoned: true})
		w.take(hosts, "host changed host-b")
		for query, code := range map[string]int{"?kind=token": 403, "?kind=node": 400, "?since=x": 400, "?since=-1": 400} {
			if resp := w.ask(proto.RoleViewer, "GET /v1/stream"+query, nil); resp.Code != code {
				t.Errorf("%s: %d %s", query, resp.Code, resp.Body)
			}
		}
	})
}

func TestAStreamGoesOnWhereItWasLeftAndSaysWhatIsLost(t *testing.T) {
	bubble(t, unchanged, func(w *world) {
		first := w.follow(proto.RoleAdmin, "")
		begin := first.take()[0].Index
		w.adopt("cache-1")
		got := first.take()
		first.stop()
		w.Must(&proto.HostSet{Host: "host-b", Cordoned: true})

		w.take(w.follow(proto.RoleAdmin, fmt.Sprint("?since=", got[1].Index)), "begin; host changed host-b")
		// Cut off amid what changed at once, all of that comes again.
		w.take(w.follow(proto.RoleAdmin, fmt.Sprint("?since=", got[0].Index)), "begin; "+short(got)+"; host changed host-b")
		w.take(w.follow(proto.RoleAdmin, "", "Last-Event-ID", fmt.Sprint(begin)), "begin; "+short(got)+"; host changed host-b")
		for _, lost := range []uint64{begin - 1, w.View().Applied() + 9} {
			f := w.follow(proto.RoleAdmin, fmt.Sprint("?since=", lost))
			lines := f.take()
			if short(lines) != "begin; resync" || lines[1].Index != w.View().Applied() || !strings.Contains(lines[1].Message, "list again") {
				t.Errorf("%+v", lines)
			}
			w.Must(&proto.HostSet{Host: "host-b", Cordoned: lost == begin-1})
			w.take(f, "host changed host-b")
		}
	})
}

func TestWhatIsKeptForFollowersIsBounded(t *testing.T) {
	bubble(t, unchanged, func(w *world) {
		api.KeepChanges(w.server, 2)
		f := w.follow(proto.RoleAdmin, "")
		begin := f.take()[0].Index
		for _, name := range []string{"host-a", "host-b", "host-c"} {
			w.Must(&proto.HostSet{Host: name, Cordoned: true})
		}
		w.take(f, "resync")
		w.Must(&proto.HostSet{Host: "host-a"})
		w.take(f, "host changed host-a")
		w.take(w.follow(proto.RoleAdmin, fmt.Sprint("?since=", begin)), "begin; resync")
		w.take(w.follow(proto.RoleAdmin, fmt.Sprint("?since=", w.View().Applied()-1)), "begin; host changed host-a")
	})
}

func TestASilentStreamSaysThatItIsThere(t *testing.T) {
	bubble(t, unchanged, func(w *world) {
		f := w.follow(proto.RoleViewer, "")
		f.take()
		time.Sleep(25 * time.Second)
		w.Must(&proto.Tick{}) // changes nothing that is told
		time.Sleep(10 * time.Second)
		got := f.take()
		if short(got) != "heartbeat; heartbeat; heartbeat" || got[2].Index != w.View().Applied() {
			t.Errorf("%+v", got)
		}
	})
}

func TestAStreamTellsWhoLeadsAndEndsWithItsToken(t *testing.T) {
	var leader atomic.Value
	leader.Store("c1")
	bubble(t, func(f *apitest.Fleet) {
		f.Config.Leader = func() (string, string) { return leader.Load().(string), "" }
	}, func(w *world) {
		f := w.follow(proto.RoleViewer, "")
		if got := f.take(); got[0].Message != "led by c1" {
			t.Errorf("%+v", got)
		}
		leader.Store("")
		time.Sleep(time.Second)
		w.take(f, "leader changed")
		leader.Store("c2")
		time.Sleep(time.Second)
		w.take(f, "leader changed c2")
		for tok := range w.View().Tokens() {
			if tok.Role == proto.RoleViewer {
				w.Must(&proto.TokenRevoke{ID: tok.ID})
			}
		}
		if got := f.take(); short(got) != "end" || !strings.Contains(got[0].Message, "revoked") {
			t.Errorf("%+v", got)
		}
		<-f.ended
	})
}

func TestBrowsersGetServerSentEvents(t *testing.T) {
	bubble(t, unchanged, func(w *world) {
		f := w.follow(proto.RoleViewer, "", "Accept", "text/event-stream")
		time.Sleep(time.Second)
		w.Must(&proto.HostSet{Host: "host-b", Cordoned: true})
		time.Sleep(time.Second)
		synctest.Wait()
		text := f.text()
		want := fmt.Sprintf("\n\nid: %d\nevent: host\ndata: {\"index\":", w.View().Applied())
		if !strings.HasPrefix(text, "id: ") || !strings.Contains(text, want) || !strings.HasSuffix(text, "}\n\n") || f.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%q, %v", text, f.header)
		}
	})
}

func TestSoManyMayFollowAndNoMore(t *testing.T) {
	bubble(t, unchanged, func(w *world) {
		var all []*following
		for range 256 {
			all = append(all, w.follow(proto.RoleViewer, ""))
		}
		synctest.Wait()
		if resp := w.ask(proto.RoleViewer, "GET /v1/stream", nil); resp.Code != http.StatusServiceUnavailable || !strings.Contains(resp.Body.String(), "follow them at another") {
			t.Errorf("%d %s", resp.Code, resp.Body)
		}
		all[0].stop()
		<-all[0].ended
		w.take(w.follow(proto.RoleViewer, ""), "begin")
	})
}
