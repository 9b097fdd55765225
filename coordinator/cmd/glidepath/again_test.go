package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// looks runs a command again and again: each answer of a look in turn, then an interrupt.
func looks(t *testing.T, height int, answers ...any) (stdout, stderr string, err error) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		ctx, interrupt := context.WithCancel(t.Context())
		a := &app{stdout: &out, stderr: &errs, env: func(string) string { return "" }, height: func() int { return height }}
		n := 0
		err = a.again(ctx, nil, func() error {
			if n == len(answers) {
				interrupt()
				return ctx.Err()
			}
			n++
			a.looked = timeline.Of(time.Now())
			if e, bad := answers[n-1].(error); bad {
				return e
			}
			a.say(strings.ReplaceAll(answers[n-1].(string), "NOW", stamp(a.looked)))
			return nil
		})
		if a.stdout != &out {
			t.Error("what is printed later goes nowhere")
		}
		stdout, stderr = out.String(), errs.String()
	})
	return stdout, stderr, err
}

func interrupted(t *testing.T, err error) {
	t.Helper()
	if over := (&endedError{}); !errors.As(err, &over) || over.code != exitInterrupted || !over.told {
		t.Errorf("it ended with %v", err)
	}
}

func TestWhatIsWatchedIsPrintedAgainWhenItHasChanged(t *testing.T) {
	out, _, err := looks(t, 0, "x at NOW", "x at NOW", "y at NOW", "y at NOW")
	interrupted(t, err)
	if want := "x at 2000-01-01 00:00:00Z\n\ny at 2000-01-01 00:00:04Z\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if out, _, _ := looks(t, 0, "{\n  \"now\": 1,\n  \"leader\": \"c1\"\n}", "{\n  \"now\": 2,\n  \"leader\": \"c1\"\n}"); strings.Count(out, "leader") != 1 {
		t.Errorf("%q", out)
	}
}

func TestWhatIsWatchedOnATerminalIsDrawnOver(t *testing.T) {
	out, _, err := looks(t, 4, "a\nb\nc", "a\nb\nc\nd\ne")
	interrupted(t, err)
	const k = "\x1b[K\n"
	if want := "\x1b[H\x1b[2Ja" + k + "b" + k + "c" + k + "\x1b[J" + "\x1b[Ha" + k + "b" + k + "… 3 more lines" + k + "\x1b[J"; out != want {
		t.Errorf("%q\nwant %q", out, want)
	}
}

func TestAWatchWaitsForAFleetThatIsAwayAndEndsWithWhatIsGone(t *testing.T) {
	away, gone := fmt.Errorf("no coordinator answers"), &v1.Error{Code: v1.CodeNotFound, Message: "there is no instance"}
	out, stderr, err := looks(t, 0, "x", away, away, &v1.Error{Code: v1.CodeUnavailable, Message: "no leader"}, "y")
	interrupted(t, err)
	if out != "x\n\ny\n" || stderr != "glidepath: no coordinator answers\nglidepath: no leader\n" {
		t.Errorf("%q, %q", out, stderr)
	}
	if _, _, err := looks(t, 0, away); !errors.Is(err, away) {
		t.Errorf("at first: %v", err)
	}
	if _, _, err := looks(t, 0, "x", gone); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// lookedAt runs a command again and again for a while on a fleet that follow listens to, and returns the seconds at which it looked.
func lookedAt(t *testing.T, length time.Duration, follow func(ctx context.Context, see func(v1.Change)) error) (at []float64) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), length)
		defer interrupt()
		a := &app{stdout: io.Discard, stderr: io.Discard, env: func(string) string { return "" }, height: func() int { return 0 }}
		began := time.Now()
		interrupted(t, a.again(ctx, follow, func() error {
			at = append(at, time.Since(began).Seconds())
			return ctx.Err()
		}))
	})
	return at
}

func TestAWatchLooksAgainWhenTheFleetTellsOfAChange(t *testing.T) {
	var speaks []float64
	follow := func(ctx context.Context, see func(v1.Change)) error {
		began := time.Now()
		for _, second := range speaks {
			select {
			case <-time.After(time.Duration(second*float64(time.Second)) - time.Since(began)):
				see(v1.Change{})
			case <-ctx.Done():
			}
		}
		<-ctx.Done()
		return ctx.Err()
	}
	for _, c := range []struct {
		what         string
		speaks, want []float64
	}{
		{"as it begins", []float64{0}, []float64{0, 0.5}},
		{"now and then", []float64{0, 3.7, 12}, []float64{0, 0.5, 3.7, 12}},
		{"all the time", []float64{0, 3, 3.1, 3.2, 3.3, 3.4, 3.6}, []float64{0, 0.5, 3, 3.5, 4}},
		{"and then no more", []float64{0, 5}, []float64{0, 0.5, 5, 20, 22}},
		{"never", nil, []float64{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22}},
	} {
		speaks = c.speaks
		length := 13 * time.Second
		if c.what == "and then no more" || c.what == "never" {
			length = 23 * time.Second
		}
		if diff := cmp.Diff(c.want, lookedAt(t, length, follow)); diff != "" {
			t.Errorf("it speaks %s: %s", c.what, diff)
		}
	}
}

func TestAWatchLooksByItselfWhereItCantFollow(t *testing.T) {
	tries := 0
	got := lookedAt(t, 33*time.Second, func(ctx context.Context, see func(v1.Change)) error {
		if tries++; tries == 1 {
			<-time.After(300 * time.Millisecond)
			return &v1.Error{Code: v1.CodeNotFound, Message: "there is no /v1/stream"}
		}
		see(v1.Change{})
		<-ctx.Done()
		return ctx.Err()
	})
	want := []float64{0}
	for at := 2.0; at <= 30; at += 2 {
		want = append(want, at)
	}
	want = append(want, 30.5) // told 30 s after it failed, right after a look
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d tries: %s", tries, diff)
	}
}

func TestAWatchFollowsTheStreamOfAFleet(t *testing.T) {
	for _, c := range []struct {
		of, header string
		change     proto.Body
		shows      string
	}{
		{"host", "HOST", &proto.HostSet{Host: "host-b", Cordoned: true}, "cordoned"},
		{"event", "EVENT", &proto.EventPut{Event: proto.Event{ID: "winter", Kind: "campaign", Span: timeline.Span{Start: 1, End: 2}}}, "winter"},
	} {
		f := apitest.New(t)
		f.Must(&proto.EventPut{Event: proto.Event{ID: "autumn", Kind: "campaign", Span: timeline.Span{Start: 1, End: 2}}})
		var mu sync.Mutex
		asked := map[string]int{}
		f.Config.Requested = func(route string, _ int, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			asked[route]++
		}
		pointAt(t, f)
		ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
		var out strings.Builder
		begun := false
		code := run(ctx, []string{c.of, "list", "--watch"}, writer(func(b []byte) (int, error) {
			if !begun {
				begun = true
				f.Must(c.change)
			}
			defer func() {
				if strings.Contains(out.String(), c.shows) {
					interrupt()
				}
			}()
			return out.Write(b)
		}), io.Discard)
		interrupt()
		mu.Lock()
		if code != exitInterrupted || strings.Count(out.String(), c.header) != 2 || !strings.Contains(out.String(), c.shows) || asked["GET /v1/stream"] == 0 {
			t.Errorf("%s: exit code %d after %v:\n%s", c.of, code, asked, out.String())
		}
		mu.Unlock()
	}
}

func TestATableFitsItsTerminalAndNothingIsCutElsewhere(t *testing.T) {
	text := func(width int) string {
		out := &screen{columns: width}
		table := newTable(out, "MIGRATION", "INSTANCE", "REASON", "STARTED")
		table.row("01JD8Z4QK3AAAAAAAAAAAAAAAA", "cache-1", "the health check did not pass within the time that it has", "2026-11-22 18:00:00Z")
		table.row("… and 3 more")
		if err := table.flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := text(0); !strings.Contains(got, "that it has  2026-11-22 18:00:00Z\n") {
		t.Errorf("%q", got)
	}
	want := "MIGRATION                   INSTANCE  REASON                  STARTED\n" +
		"01JD8Z4QK3AAAAAAAAAAAAAAAA  cache-1   the health check did …  2026-11-22 18:00:00Z\n… and 3 more\n"
	if got := text(82); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	for width := 10; width < 140; width++ {
		for line := range strings.Lines(text(width)) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("%d characters on a terminal of %d: %q", n, width, line)
			}
		}
		if width > 60 && !strings.Contains(text(width), "01JD8Z4QK3AAAAAAAAAAAAAAAA") {
			t.Errorf("on a terminal of %d the identifier is cut:\n%s", width, text(width))
		}
	}
}

func TestColoursAreForTerminalsThatHaveThem(t *testing.T) {
	for _, c := range []struct {
		width int
		env   map[string]string
		want  bool
	}{
		{80, nil, true}, {0, nil, false}, {80, map[string]string{"NO_COLOR": "1"}, false}, {80, map[string]string{"TERM": "dumb"}, false},
	} {
		a := &app{stdout: &screen{columns: c.width}, env: func(k string) string { return c.env[k] }}
		if a.coloured() != c.want {
			t.Errorf("%d columns, %v: %v", c.width, c.env, a.coloured())
		}
	}
}
