package feeds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

var noon = timeline.Of(time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC))

// world is the tables of a fleet, a server of calendars and what follows them.
type world struct {
	*Feeds
	t      *testing.T
	mu     sync.Mutex
	state  *state.State
	now    timeline.Time
	n      int
	polls  []*proto.CalendarPoll
	fails  error // of proposing
	got    []Result
	log    bytes.Buffer
	asked  []string // If-None-Match of each request
	body   string
	status int
	etag   string
	url    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, state: state.New(), now: noon, status: http.StatusOK}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: 300_000, Policy: proto.DefaultPolicy()})
	w.url = serve(t, func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, r.Header.Get("If-None-Match"))
		out.Header().Set("ETag", w.etag)
		if w.etag != "" && r.Header.Get("If-None-Match") == w.etag {
			out.WriteHeader(http.StatusNotModified)
			return
		}
		out.WriteHeader(w.status)
		fmt.Fprint(out, w.body)
	}).URL
	w.Feeds = New(Config{
		View: w.view, Propose: w.propose, Polled: func(r Result) { w.got = append(w.got, r) }, Fetcher: anywhere(nil),
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	return w
}

func (w *world) view() *state.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.View()
}

func (w *world) apply(body proto.Body) proto.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	c, err := proto.NewCommand(fmt.Sprint("r", w.n), "test", body)
	if err != nil {
		w.t.Error(err)
	}
	c.At = w.now
	r, _ := w.state.Apply(c)
	return r
}

func (w *world) must(body proto.Body) {
	w.t.Helper()
	if r := w.apply(body); !r.OK() {
		w.t.Fatal(r)
	}
}

func (w *world) propose(_ context.Context, body proto.Body) error {
	if w.fails != nil {
		return w.fails
	}
	w.polls = append(w.polls, body.(*proto.CalendarPoll))
	return w.apply(body).Err()
}

func (w *world) add(change ...func(*proto.Calendar)) {
	w.t.Helper()
	c := proto.Calendar{Name: "sales", URL: w.url + "/private-1234/sales.ics", Every: 900_000, Instances: []string{"cache-1"}}
	for _, f := range change {
		f(&c)
	}
	w.must(&proto.CalendarPut{Calendar: c})
}

// poll lets some time pass and polls what is due. It returns what the calendar's record says.
func (w *world) poll(after time.Duration) proto.Polled {
	w.t.Helper()
	w.now = w.now.Add(after)
	w.polls = nil
	w.look(w.t.Context(), w.now)
	c, _ := w.view().Calendar("sales")
	return c.Polled
}

// events returns the kinds, starts and ends of what there is, by start.
func (w *world) events() string {
	var all []proto.Event
	for e := range w.view().Events() {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b proto.Event) int { return int(a.Span.Start - b.Span.Start) })
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprintf("%s %s-%s", e.Kind, e.Span.Start.Std().Format("02T15"), e.Span.End.Std().Format("15")))
	}
	return strings.Join(out, ", ")
}

// ics is a calendar of entries like "uid kind 10T18 20".
func ics(entries ...string) string {
	var b strings.Builder
	b.WriteString("BEGIN:VCALENDAR\r\n")
	for _, e := range entries {
		f := strings.Fields(e)
		fmt.Fprintf(&b, "BEGIN:VEVENT\r\nUID:%s\r\nSUMMARY:%s\r\nDTSTART:202603%s0000Z\r\nDTEND:202603%s%s0000Z\r\nEND:VEVENT\r\n", f[0], f[1], f[2], f[2][:3], f[3])
	}
	b.WriteString("END:VCALENDAR\r\n")
	return b.String()
}

func TestEventsFollowTheirCalendar(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body, w.etag = ics("a sale 09T18 20", "b sale 10T11 13", "c sale 11T18 20", "d job 12T02 03"), `"1"`
	p := w.poll(0)
	if got := w.events(); got != "sale 09T18-20, sale 10T11-13, sale 11T18-20, job 12T02-03" || p.Events != 4 || p.ETag != `"1"` || p.Error != "" {
		t.Fatalf("%s %+v", got, p)
	}
	// Not before it is due.
	if w.poll(14 * time.Minute); len(w.polls) != 0 || len(w.asked) != 1 {
		t.Errorf("polled %d times, asked %d times", len(w.polls), len(w.asked))
	}
	// Unchanged.
	if p := w.poll(3 * time.Minute); len(w.polls) != 1 || !w.polls[0].Unchanged || p.FetchedAt != w.now || p.ReadAt != noon || strings.Join(w.asked, ",") != `,"1"` {
		t.Errorf("%+v %q", p, w.asked)
	}
	// What is over and what goes on is not in it any more, one to come is moved, one is longer, one is new.
	w.body, w.etag = ics("c sale 11T19 21", "d job 12T02 05", "e sale 13T18 20"), `"2"`
	p = w.poll(17 * time.Minute)
	if got := w.events(); got != "sale 09T18-20, sale 10T11-12, sale 11T19-21, job 12T02-05, sale 13T18-20" || p.ChangedAt != w.now || p.Events != 3 {
		t.Errorf("%s %+v", got, p)
	}
	if len(w.polls) != 1 || len(w.polls[0].Put) != 3 || len(w.polls[0].Remove) != 2 {
		t.Errorf("more than what changed is proposed: %+v", w.polls)
	}
	if diff := cmp.Diff([]Result{Changed, Unchanged, Changed}, w.got); diff != "" {
		t.Error(diff)
	}
	// All of it is read once a day, and changes nothing then.
	w.poll(25 * time.Hour)
	if got := w.asked[len(w.asked)-1]; got != "" || w.got[len(w.got)-1] != Unchanged {
		t.Errorf("a day later %q is asked for, and it is %s", got, w.got[len(w.got)-1])
	}
}

func TestACalendarWhoseEventsChangeRestsForAWhile(t *testing.T) {
	w := newWorld(t)
	w.add(func(c *proto.Calendar) { c.Every = 60_000 })
	for n := range 3 {
		w.body = ics(fmt.Sprintf("a sale 1%dT18 20", n+1))
		w.poll(2 * time.Minute)
	}
	if w.events() != "sale 11T18-20" || len(w.asked) != 1 {
		t.Errorf("asked %d times: %s", len(w.asked), w.events())
	}
	if w.poll(12 * time.Minute); w.events() != "sale 13T18-20" {
		t.Error(w.events())
	}
	w.poll(16 * time.Minute)
	if w.poll(2 * time.Minute); len(w.asked) != 4 {
		t.Errorf("unchanged it is asked for %d times", len(w.asked))
	}
}

func TestACalendarThatMakesReadingPanicIsOneThatFails(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.read = func(context.Context, proto.Calendar, []byte, timeline.Time) ([]proto.Event, error) {
		panic("private-1234")
	}
	if p := w.poll(0); p.Error != "it can't be read: something in it makes reading it fail" || p.Failures != 1 || w.got[0] != Failed {
		t.Errorf("%+v %v", p, w.got)
	}
}

func TestAllOfACalendarIsReadThatWasReadByAClockThatIsAhead(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body, w.etag = ics("c sale 11T18 20"), `"1"`
	w.poll(100 * 24 * time.Hour)
	w.now, w.tried = noon, map[string]try{} // another leader
	if w.poll(17 * time.Minute); w.asked[len(w.asked)-1] != "" || w.events() != "sale 11T18-20" {
		t.Errorf("%q %s", w.asked, w.events())
	}
}

func TestWhatCannotBeReadChangesNoEvents(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body, w.etag = ics("c sale 30T18 20"), `"1"`
	w.poll(0)
	w.etag = ""
	failures := 0
	for says, answer := range map[string]struct {
		status int
		body   string
	}{
		"answers 503 Service Unavailable":       {http.StatusServiceUnavailable, ics()},
		"it is a web page":                      {http.StatusOK, "\n<!doctype html><p>sign in"},
		`the calendar line 1: unknown column …`: {http.StatusOK, "no file at /private-1234/sales.ics, which nobody has"},
		"cut short":                     {http.StatusOK, "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"},
		"line 4: DTSTART":               {http.StatusOK, "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:x\r\nDTSTART:soon\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"},
		"unknown column":                {http.StatusOK, "hello"},
		"its first line can't be read":  {http.StatusOK, ""},
		"ends before it starts":         {http.StatusOK, "kind,start,end\nsale,2026-03-12T18:00Z,2026-03-12T17:00Z\n"},
		"has a kind that is no name":    {http.StatusOK, "kind,start,end\nno kind,2026-03-12T18:00Z,2026-03-12T19:00Z\n"},
		"has more than 5000 events":     {http.StatusOK, many(proto.MaxCalendarEvents + 1)},
		"names more than 64 instances":  {http.StatusOK, "kind,start,end,instances\nsale,2026-03-12T18:00Z,2026-03-12T19:00Z," + names(proto.MaxCalendarInstances+1) + "\n"},
		"names what can be no instance": {http.StatusOK, "kind,start,end,instances\nsale,2026-03-12T18:00Z,2026-03-12T19:00Z,a\xffb\n"},
		"begins before 1970":            {http.StatusOK, "kind,start,end\nsale,1960-03-12T18:00Z,2026-03-12T19:00Z\n"},
		"recurs more often than hourly": {http.StatusOK, "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20260310T180000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=SECONDLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"},
	} {
		w.status, w.body = answer.status, answer.body
		failures++
		p := w.poll(7 * time.Hour)
		if !strings.Contains(p.Error, says) || strings.Contains(p.Error, "private") || p.Failures != failures || p.FetchedAt != noon || p.ETag != `"1"` || w.events() != "sale 30T18-20" {
			t.Errorf("%s: %+v, %s", says, p, w.events())
		}
	}
	w.status, w.body = http.StatusOK, ics("c sale 30T18 20")
	if p := w.poll(7 * time.Hour); p.Error != "" || p.Failures != 0 || p.FetchedAt != w.now {
		t.Errorf("it can be read again: %+v", p)
	}
	if log := w.log.String(); strings.Contains(log, "private-1234") || !strings.Contains(log, "calendar=sales") {
		t.Error(log)
	}
	if slices.Contains(w.got[1:], Changed) || slices.Index(w.got, Unchanged) != len(w.got)-1 {
		t.Error(w.got)
	}
}

func TestACalendarThatFailsIsPolledLessOften(t *testing.T) {
	c := proto.Calendar{Name: "sales", Every: 900_000}
	if !due(c, 0, noon) {
		t.Error("a new one is not due")
	}
	for failures, want := range map[int]time.Duration{0: 15 * time.Minute, 1: 15 * time.Minute, 2: 30 * time.Minute, 3: time.Hour, 6: 6 * time.Hour, 1000: 6 * time.Hour} {
		c.Polled = proto.Polled{At: noon, Failures: failures}
		if due(c, 0, noon.Add(want-time.Second)) || !due(c, 0, noon.Add(want*11/10)) {
			t.Errorf("after %d failures it is not polled after %s and a little", failures, want)
		}
	}
	c.Every = (24 * time.Hour).Milliseconds()
	if c.Polled.Failures = 3; due(c, 0, noon.Add(23*time.Hour)) || !due(c, 0, noon.Add(27*time.Hour)) {
		t.Error("one that is polled daily is polled more often when it fails, or never")
	}
	// A clock that was ahead, whose time is in the record, does not keep it from being polled.
	c.Every, c.Polled = 900_000, proto.Polled{At: noon.Add(1000 * time.Hour)}
	if !due(c, 0, noon) || due(c, noon, noon.Add(time.Minute)) {
		t.Error("by a record of the future")
	}
	spread := map[time.Duration]bool{}
	for i := range 20 {
		j := jitter(fmt.Sprint("c", i), noon, 15*time.Minute)
		if j < 0 || j > 90*time.Second {
			t.Errorf("%s", j)
		}
		spread[j] = true
	}
	if len(spread) < 15 {
		t.Errorf("20 calendars wait %d different times", len(spread))
	}
}

func TestWhatCouldNotBeCommittedIsNotFetchedAgainAtOnce(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body, w.fails = ics("c sale 11T18 20"), errors.New("no leader")
	w.poll(0)
	w.fails = nil
	if w.poll(time.Minute); len(w.asked) != 1 || w.got[0] != Failed {
		t.Errorf("asked %d times, %v", len(w.asked), w.got)
	}
	if w.poll(17 * time.Minute); w.events() != "sale 11T18-20" {
		t.Error(w.events())
	}
	// One that is changed is fetched at once.
	w.add(func(c *proto.Calendar) { c.Kind = "campaign" })
	if w.poll(time.Second); w.events() != "campaign 11T18-20" {
		t.Error(w.events())
	}
}

func TestWhatIsRefusedIsToldInTheCalendar(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body = ics("c sale 11T18 20")
	propose := w.cfg.Propose
	w.cfg.Propose = func(ctx context.Context, body proto.Body) error {
		if b := body.(*proto.CalendarPoll); len(b.Put) > 0 {
			return (proto.Result{Code: proto.ResultRefused, Message: "the private-1234 is full"}).Err()
		}
		return propose(ctx, body)
	}
	p := w.poll(0)
	if p.Error != "what was read could not be committed: refused: the … is full" || p.Failures != 1 || p.At != noon || w.got[0] != Failed {
		t.Errorf("%+v %v", p, w.got)
	}
}

func TestAPollOfWhatIsRemovedMeanwhileComesToNothing(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body = ics("c sale 11T18 20")
	c, _ := w.view().Calendar("sales")
	w.must(&proto.CalendarRemove{Name: "sales"})
	w.Feeds.poll(t.Context(), c, w.now)
	if w.events() != "" || len(w.got) != 0 || w.log.Len() != 0 {
		t.Errorf("%s %v %s", w.events(), w.got, w.log.String())
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.now = timeline.Of(time.Now())
	w.body = "kind,start,end\n"
	ctx, cancel := context.WithCancel(t.Context())
	w.cfg.Polled = func(r Result) {
		w.got = append(w.got, r)
		cancel()
	}
	if err := w.Run(ctx); err != nil || len(w.got) != 1 {
		t.Errorf("%v %v", err, w.got)
	}
}
