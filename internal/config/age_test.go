package config

import (
	"testing"
	"time"
)

func TestAgesMayBeInDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"0s": 0, "36h": 36 * time.Hour, "7d": 168 * time.Hour, "1.5d": 36 * time.Hour, "90m": 90 * time.Minute} {
		if got, err := ParseAge(text); err != nil || got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "week", "7", "-1h", "-1d", "9999999999d", "200000d", "1d2h"} {
		if got, err := ParseAge(text); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}
