package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// series FILE DAYS writes requests every five minutes from 2026-01-01 on, with a day, and a campaign at 9:00 of the 3rd, 7th and 11th.
func series(ts *testscript.TestScript, _ bool, args []string) {
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b strings.Builder
	b.WriteString("t,host,requests\n")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range days * 288 {
		v := 100 + 60*math.Sin(2*math.Pi*float64(i)/288) + float64((i*7919)%13)
		if campaign := at.Hour() == 9 || at.Hour() == 10; campaign && at.Day()%4 == 3 {
			v += 80
		}
		fmt.Fprintf(&b, "%s,web,%.1f\n", at.Format("2006-01-02 15:04:05"), v)
		at = at.Add(5 * time.Minute)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// waits FILE waits until it is there.
func waits(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); ; {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("%s does not come", args[0])
		}
	}
}

func TestNumbersWithoutUnitsAreShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", 1.23456: "1.235", 12.3456: "12.35", 123.456: "123.5", 1234.56: "1235", 2628810320: "2628810320", .066: "0.066", 1e-9: "0"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func TestProgressSaysHowFarItIsAndHowLongItTakes(t *testing.T) {
	if got, want := progressBar(30, 120, 83*time.Second), "[======                  ] 30 of 120 forecasts, about 1m23s left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestForecastsAreAskedForInAsManyStepsAsMayBe(t *testing.T) {
	for _, c := range []struct{ grid, horizon, want time.Duration }{
		{5 * time.Minute, 48 * time.Hour, 5 * time.Minute},
		{10 * time.Second, 4 * time.Hour, 10 * time.Second},
		{10 * time.Second, 48 * time.Hour, time.Minute},
		{10 * time.Second, 14 * 24 * time.Hour, 5 * time.Minute},
	} {
		if got := forecastStep(c.grid, c.horizon); got != c.want {
			t.Errorf("%s of a grid of %s in steps of %s, want %s", c.horizon, c.grid, got, c.want)
		}
	}
}
