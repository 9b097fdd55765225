package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
)

func TestEveryHostSaysHowItTakesAChange(t *testing.T) {
	l := newLedger(t, "a", "b", "c")
	if err := l.Hold(hold("old", "a", 60, now, timeline.Forever), hold("gone", "b", 90, now, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	half := timeline.Time(now + 3_600_000).Floor(5 * time.Minute)
	c := Change{
		Release: []string{"gone"},
		Hold: []proto.Reservation{
			hold("x", "a", 70, half, timeline.Forever), hold("y", "b", 70, half, timeline.Forever), hold("z", "c", 101, half, timeline.Forever),
			hold("old", "a", 60, now, timeline.Forever),
		},
	}
	before := snapshot(l)
	v, err := l.Explain(c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, snapshot(l)); diff != "" {
		t.Fatalf("Explain changed the ledger:\n%s", diff)
	}
	if v.Fits || v.Short == nil || v.Short.Host != "a" {
		t.Fatalf("%+v, want host a short", v)
	}
	if diff := cmp.Diff(shortOf(l.Apply(c)), v.Short); diff != "" {
		t.Fatalf("Apply answers otherwise:\n%s", diff)
	}
	want := []struct {
		host        string
		fits        bool
		free, limit int64
	}{{"a", false, -30, 100}, {"b", true, 30, 100}, {"c", false, -1, 100}}
	for i, w := range want {
		h := v.Hosts[i]
		if h.Host != w.host || (h.Short == nil) != w.fits || h.Free != w.free || h.Limit != w.limit || h.Already != nil {
			t.Errorf("%+v, want %+v", h, w)
		}
	}
	for i, says := range []string{
		"gone ends on b and gives back up to cpu=90m",
		"x holds up to cpu=70m",
		"y holds up to cpu=70m",
		"z holds up to cpu=101m",
		"old is held on a already, just so: nothing changes",
		"a is short of cpu by 30m",
		"b has room: at the fullest, in [",
		"c is short of cpu by 1m",
	} {
		if !strings.Contains(v.Says[i], says) {
			t.Errorf("says %q, want %q", v.Says[i], says)
		}
	}
}

func TestFactsAndShortHostsAreExplained(t *testing.T) {
	l := newLedger(t, "a")
	fact := hold("@system@a", "a", 50, now, timeline.Forever)
	fact.Forced = true
	if err := l.Hold(hold("x", "a", 80, now, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	says := func(c Change) string {
		t.Helper()
		v, err := l.Explain(c)
		if err != nil || !v.Fits {
			t.Fatalf("%v %+v", err, v)
		}
		return strings.Join(v.Says, "\n")
	}
	got := says(Change{Hold: []proto.Reservation{fact}})
	if !strings.Contains(got, "@system@a is a fact on a, taken whatever fits") || !strings.Contains(got, "adds nothing to what the host is short of") {
		t.Fatal(got)
	}
	if err := l.Hold(fact); err != nil {
		t.Fatal(err)
	}
	less := hold("x", "a", 70, now, timeline.Forever)
	less.Until = now + 9_000_000
	less.Envelope[0].Own[resource.CPU] = 1
	got = says(Change{Revise: []proto.Reservation{less}})
	for _, want := range []string{"x changes on a from up to", "with a margin for what is pooled (it lapses at", "a had promised more than it may before: a is short of cpu by 30m"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %q", got, want)
		}
	}
	if _, err := l.Explain(Change{Release: []string{"nothing"}}); !errors.Is(err, ErrUnknownReservation) || shortOf(err) != nil {
		t.Fatalf("%v", err)
	}
}

func TestAnEnvelopeThatEndsIsDrawnOutAndAdmitted(t *testing.T) {
	l := newLedger(t, "a")
	const hour = timeline.Time(3_600_000)
	if err := l.Hold(hold("x", "a", 60, now, now+hour), hold("y", "a", 60, now+3*hour, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	if err := l.Extend("x", now+2*hour); err != nil {
		t.Fatal(err)
	}
	if r, _ := l.Reservation("x"); r.End() != now+2*hour || r.Envelope.End() != now+2*hour || r.Until != 0 {
		t.Fatalf("%+v", r)
	}
	if s := shortOf(l.Extend("x", now+4*hour)); s == nil || s.Missing != 20 || s.Span.Start != timeline.Time(now+3*hour).Floor(5*time.Minute) {
		t.Fatalf("short by %v, want 20 from the start of y on", s)
	}
	if err := l.Extend("x", now+hour/2); err != nil {
		t.Fatal(err)
	}
	if r, _ := l.Reservation("x"); r.End() != now+hour/2 || r.Envelope.End() != now+2*hour {
		t.Fatalf("%+v", r)
	}
	if err := l.Extend("y", timeline.Forever); err != nil {
		t.Fatal(err)
	}
	if err := l.Extend("y", -1); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	if err := l.Extend("z", now); !errors.Is(err, ErrUnknownReservation) {
		t.Fatal(err)
	}
}

func TestALapseNamesItsReason(t *testing.T) {
	r := hold("x", "a", 1, now, now+1000)
	if got := Lapse(r); !strings.Contains(got, "came to the end of its envelope at 2023-11-14T22:13:21") {
		t.Error(got)
	}
	r.Until = now + 500
	if got := Lapse(r); !strings.Contains(got, "reservation x on a lapsed at 2023-11-14T22:13:20.500Z") {
		t.Error(got)
	}
}

// shortOf returns the shortfall that an error is about; nil where it is about none.
func shortOf(err error) *proto.Shortfall {
	var s *proto.Shortfall
	errors.As(err, &s)
	return s
}
