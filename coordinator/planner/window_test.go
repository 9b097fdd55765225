package planner

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// midnight is the begin of a day.
var midnight = begin.Floor(24 * time.Hour)

func span(from, to time.Duration) timeline.Span {
	return timeline.Span{Start: midnight.Add(from), End: midnight.Add(to)}
}

func windows() *rapid.Generator[proto.MoveWindow] {
	return rapid.Custom(func(t *rapid.T) proto.MoveWindow {
		w := proto.MoveWindow{Forbid: rapid.Bool().Draw(t, "forbid")}
		if rapid.Bool().Draw(t, "once") {
			from := rapid.IntRange(-10, 80).Draw(t, "from")
			w.Span = span(time.Duration(from)*time.Hour, time.Duration(from+rapid.IntRange(1, 30).Draw(t, "long"))*time.Hour)
			return w
		}
		w.From, w.To = 60*rapid.IntRange(0, 23).Draw(t, "from"), 60*rapid.IntRange(0, 24).Draw(t, "to")
		return w
	})
}

// contains reports whether a window is on at an instant, told from the clock's hands.
func contains(w proto.MoveWindow, at timeline.Time) bool {
	if w.Span != (timeline.Span{}) {
		return w.Span.Contains(at)
	}
	minute := int(at.Sub(at.Floor(24*time.Hour)) / time.Minute)
	if w.From < w.To {
		return w.From <= minute && minute < w.To
	}
	return minute >= w.From || minute < w.To
}

func TestMovesAreOnlyWithinTheirWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := [][]proto.MoveWindow{rapid.SliceOfN(windows(), 0, 3).Draw(t, "policy"), rapid.SliceOfN(windows(), 0, 3).Draw(t, "request")}
		within := span(time.Duration(rapid.IntRange(0, 23).Draw(t, "start"))*time.Hour, 72*time.Hour)
		open := OpenIn(within, lists...)
		for at := within.Start; at < within.End; at = at.Add(30 * time.Minute) {
			want := true
			for _, list := range lists {
				allowed, some := false, false
				for _, w := range list {
					if w.Forbid {
						want = want && !contains(w, at)
						continue
					}
					some, allowed = true, allowed || contains(w, at)
				}
				want = want && (allowed || !some)
			}
			if got := slices.ContainsFunc(open, func(s timeline.Span) bool { return s.Contains(at) }); got != want {
				t.Fatalf("at %s it may be moved: %v, want %v, by %v of %+v", at, got, want, open, lists)
			}
		}
		for i, s := range open {
			if s.Empty() || i > 0 && s.Start <= open[i-1].End || s.Start < within.Start || s.End > within.End {
				t.Fatalf("%v are not in order, apart and within %v", open, within)
			}
		}
	})
}

// The leader asks for every plan that waits, each second.
func TestAsManyWindowsAsThereMayBeAreLookedAtInOnePass(t *testing.T) {
	var windows []proto.MoveWindow
	for i := range proto.MaxWindows {
		windows = append(windows, proto.MoveWindow{Forbid: true, From: 20 * i, To: 20*i + 10})
	}
	within := span(0, windowsFor)
	if n := len(OpenIn(within, windows, windows)); n != 14*proto.MaxWindows {
		t.Errorf("%d spans are open", n)
	}
	if n := testing.AllocsPerRun(3, func() { OpenIn(within, windows, windows) }); n > 50*proto.MaxWindows {
		t.Errorf("to look at %d windows over %s takes %.0f allocations", 2*proto.MaxWindows, within.Length(), n)
	}
}

func TestAWindowReachesOverMidnight(t *testing.T) {
	night := []proto.MoveWindow{{From: 22 * 60, To: 5 * 60}, {Forbid: true, Span: span(23*time.Hour, 24*time.Hour)}}
	want := []timeline.Span{span(2*time.Hour, 5*time.Hour), span(22*time.Hour, 23*time.Hour), span(24*time.Hour, 29*time.Hour), span(46*time.Hour, 48*time.Hour)}
	if diff := cmp.Diff(want, Open(night, span(2*time.Hour, 48*time.Hour))); diff != "" {
		t.Error(diff)
	}
}

func TestWindowsThatAreAtNoTimeAreRefused(t *testing.T) {
	for name, w := range map[string]proto.MoveWindow{
		"window 1 ends":                   {Span: timeline.Span{Start: begin, End: begin}},
		"window 1 is once":                {Span: span(0, time.Hour), From: 60},
		"window 1 is from minute 1440":    {From: 1440, To: 10},
		"window 1 is from minute -1":      {From: -1, To: 10},
		"window 1 is from minute 0 to -1": {To: -1},
	} {
		err := ValidWindows([]proto.MoveWindow{w})
		if err == nil || err.Error()[:12] != name[:12] {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ValidWindows(make([]proto.MoveWindow, proto.MaxWindows+1)) == nil {
		t.Error("there are too many of them")
	}
	if err := ValidWindows([]proto.MoveWindow{{From: 22 * 60, To: 5 * 60}, {Span: span(0, time.Hour)}, {}}); err != nil {
		t.Error(err)
	}
}
