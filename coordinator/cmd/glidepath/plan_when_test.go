package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestTimesAheadAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)
	at := func(text string) timeline.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return timeline.Of(v)
	}
	gain := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		flags whenFlags
		want  v1.PlanRequest
	}{
		{whenFlags{at: "now", gain: 5}, v1.PlanRequest{}},
		{whenFlags{at: "+2h", before: "06:00"}, v1.PlanRequest{At: at("2026-11-22T20:30:00Z"), Before: at("2026-11-23T06:00:00Z")}},
		{whenFlags{at: "18:31", before: "2h"}, v1.PlanRequest{At: at("2026-11-22T18:31:00Z"), Before: at("2026-11-22T20:30:00Z")}},
		{
			whenFlags{at: "best", before: "2026-11-24T00:00Z", gain: 7.5, window: []string{"22:00-05:00", "08:00-24:00"}, forbid: []string{"+1h/+3h"}, probation: time.Hour},
			v1.PlanRequest{
				Best: true, Before: at("2026-11-24T00:00:00Z"), LeastGain: gain(75), Probation: 3_600_000,
				Windows: []proto.MoveWindow{{From: 1320, To: 300}, {From: 480}, {Forbid: true, Span: timeline.Span{Start: at("2026-11-22T19:30:00Z"), End: at("2026-11-22T21:30:00Z")}}},
			},
		},
	} {
		var got v1.PlanRequest
		if err := c.flags.set(&got, now); err != nil {
			t.Errorf("%+v: %v", c.flags, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v: %s", c.flags, diff)
		}
	}
	for want, f := range map[string]whenFlags{
		"--at: \"soon\" is no time":       {at: "soon"},
		"--before: \"25:00\" is no":       {at: "now", before: "25:00"},
		"--window: \"22:00\" is no win":   {at: "now", window: []string{"22:00"}},
		"--window: \"22:00-5\" is no":     {at: "now", window: []string{"22:00-5"}},
		"--forbid: \"+3h/+1h\" ends":      {at: "now", forbid: []string{"+3h/+1h"}},
		"--least-gain 101":                {at: "best", gain: 101},
		"--probation -1s":                 {at: "now", probation: -time.Second},
		"--probation 0s: a move is on":    {at: "now", given: func(flag string) bool { return flag == "probation" }},
		"--least-gain is for --at best":   {at: "+2h", gain: 20, given: func(flag string) bool { return flag == "least-gain" }},
		"--probation 721h0m0s: use up to": {at: "now", probation: 721 * time.Hour},
		"for the next one in UTC":         {at: "tomorrow"},
		"2020-01-02T00:00Z\" is over":     {at: "now", window: []string{"2020-01-01T00:00Z/2020-01-02T00:00Z"}},
		// A time of 0 stands for none: it would begin at once, and go on for ever.
		"--at: \"1970-01-01T00:00Z\" is before 1970":     {at: "1970-01-01T00:00Z"},
		"--before: \"1970-01-01T00:00Z\" is before 1970": {at: "now", before: "1970-01-01T00:00Z"},
	} {
		if err := f.set(&v1.PlanRequest{}, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}
