package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

func TestLengthsOfTimeAreShort(t *testing.T) {
	for ms, want := range map[int64]string{
		0: "0s", 7: "7ms", 2345: "2.35s", 12_345: "12.3s", 60_000: "1m", 90_000: "1m30s", 300_000: "5m", 3_600_000: "1h", 3_660_000: "1h1m", 601_400: "10m1s",
	} {
		if got := took(ms); got != want {
			t.Errorf("%d ms: %q, want %q", ms, got, want)
		}
	}
	if got := hours(14 * 24 * time.Hour); got != "14 days" {
		t.Errorf("%q", got)
	}
}

func TestLifetimesOfTokensAreReadAsPeopleSayThem(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "30d": 720 * time.Hour, "2w": 336 * time.Hour, "90m": 90 * time.Minute} {
		if got, err := lifetime(text); err != nil || got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"0d", "-3d", "d", "1.5d", "0", "-1h", "9999999d", "soon"} {
		if got, err := lifetime(text); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}

func TestAmountsAreShort(t *testing.T) {
	for _, c := range []struct {
		k    resource.Kind
		n    int64
		want string
	}{
		{resource.CPU, 250, "250m"}, {resource.CPU, 2000, "2"}, {resource.CPU, 12_345, "12.3"}, {resource.CPU, resource.Unlimited, "unlimited"},
		{resource.Memory, 133_169_152, "127MiB"}, {resource.Memory, 1<<30 + 1<<28, "1.2GiB"}, {resource.NetTx, 1_500_000, "1.5Mbit"}, {resource.ReadIOPS, 1234, "1234"},
	} {
		if got := short(c.k, c.n); got != c.want {
			t.Errorf("%s %d: %q, want %q", c.k, c.n, got, c.want)
		}
	}
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-11-22T18:00Z": "2026-11-22T18:00:00Z", "2026-11-22T18:00:30Z": "2026-11-22T18:00:30Z", "2026-11-22T18:00+02:00": "2026-11-22T16:00:00Z",
		"now": "2026-11-22T12:00:00Z", "+2h": "2026-11-22T14:00:00Z", "-30m": "2026-11-22T11:30:00Z",
	} {
		if got, err := parseTime(text, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2h", "tomorrow", "2026-11-22", "18:00"} {
		if _, err := parseTime(text, now); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestATableFitsAndItsCellsStayInTheirLine(t *testing.T) {
	var out bytes.Buffer
	table := newTable(&out, "A", "B")
	table.row("x\x1b[2J\ny", "")
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	if want := "A        B\nx [2J y  -\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if got := cut("abcdef", 4); got != "abc…" {
		t.Errorf("%q", got)
	}
}

func TestAPlotShowsEveryPeakWithoutColoursWhereNoTerminalIs(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, env: func(string) string { return "" }}
	span := timeline.Span{Start: 0, End: 72_000_000}
	// Shorter than a character is wide.
	peak := timeline.Profile{{Span: timeline.Span{Start: 36_000_000, End: 36_000_001}, Amount: resource.Vector{resource.CPU: 800}}}
	a.plot(resource.CPU, span, curve{"allocation", peak})
	text := out.String()
	if !strings.Contains(text, "800m") || !strings.Contains(text, "╭") || strings.Contains(text, "\x1b") {
		t.Error(text)
	}
	for line := range strings.Lines(text) {
		if n := len([]rune(line)); n > 90 {
			t.Errorf("a line of %d characters: %q", n, line)
		}
	}
}
