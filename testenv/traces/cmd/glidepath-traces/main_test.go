package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunWritesTheHistoryAndItsCampaigns(t *testing.T) {
	events := filepath.Join(t.TempDir(), "events.csv")
	var out bytes.Buffer
	if err := run([]string{"--end", "2026-01-31T12:00:00Z", "--campaigns", "2", "--events", events}, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 1+14*288 || !strings.HasPrefix(lines[1], "2026-01-17T12:00:00Z,") {
		t.Errorf("%d lines, the second %q", len(lines), lines[1])
	}
	text, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	const want = "kind,start,end,size\ncampaign,2026-01-22T03:00:00Z,2026-01-22T05:00:00Z,1\ncampaign,2026-01-26T19:00:00Z,2026-01-26T21:00:00Z,1\n"
	if string(text) != want {
		t.Errorf("events:\n%s", text)
	}
}

func TestRunRefusesWithTheFlag(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--end", "yesterday"}, {"--end", "2026-01-31T12:00:00Z", "--cpu", "2GiB"},
		{"--end", "2026-01-31T12:00:00Z", "--campaigns", "500"}, {"--end", "2026-01-31T12:00:00Z", "--step", "1ms"},
	} {
		var out bytes.Buffer
		if err := run(args, &out); err == nil || out.Len() > 0 {
			t.Errorf("%v: error %v, wrote %d bytes", args, err, out.Len())
		}
	}
}
