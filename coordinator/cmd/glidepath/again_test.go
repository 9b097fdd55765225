package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
)

// looks runs a command again and again: each answer of a look in turn, then an interrupt.
func looks(t *testing.T, height int, answers ...any) (stdout, stderr string, err error) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		ctx, interrupt := context.WithCancel(t.Context())
		a := &app{stdout: &out, stderr: &errs, env: func(string) string { return "" }, height: func() int { return height }}
		n := 0
		err = a.again(ctx, func() error {
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
