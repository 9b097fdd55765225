package scorecard

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// live lets a scorecard live for a while from at on, hour by hour: 400 comes, a model says model and the window says window. It returns
// when it ends, and when something changed.
func live(c *proto.Scorecard, at timeline.Time, d time.Duration, model, window float64) (timeline.Time, []timeline.Time) {
	var changed []timeline.Time
	for until := at.Add(d); at < until; at = at.Add(time.Hour) {
		Mature(c, came(at.Add(-26*time.Hour), repeat(400, 26*12)...), at)
		if len(Judge(c, at)) > 0 {
			changed = append(changed, at)
		}
		Issue(c, at, said(at, model, 400, window))
	}
	return at, changed
}

func TestTheWindowStandsInForAModelThatLosesUntilItWinsAgain(t *testing.T) {
	c := begin()
	at, changed := live(&c, monday, 7*day, 300, 360)
	if len(changed) != 1 || !c.Standing[resource.CPU].Window {
		t.Fatalf("changed at %v", changed)
	}
	// Six days of steps, each of which was forecast an hour and a day before.
	if waited := changed[0].Sub(monday); waited < 6*day || waited > 7*day {
		t.Errorf("it took %s", waited)
	}
	if s := StandsIn(&c); len(s) != 1 || s[0].Resource != resource.CPU || s[0].Since != changed[0] {
		t.Errorf("%+v", s)
	}
	if r := Ratio(&c, resource.CPU, at); r < 1.3 {
		t.Errorf("the model lost %v times as much", r)
	}
	_, changed = live(&c, at, 6*day, 390, 360)
	if len(changed) != 1 || c.Standing[resource.CPU].Window {
		t.Fatalf("changed at %v", changed)
	}
	if waited := changed[0].Sub(at); waited < 12*time.Hour || waited > 72*time.Hour {
		t.Errorf("it took %s to come back", waited)
	}
}

func TestAModelThatHardlyLosesIsKept(t *testing.T) {
	for name, c := range map[string]struct{ model, window float64 }{
		"as good": {360, 360}, "2 % worse": {359, 360}, "better": {380, 360}, "perfect, both": {400, 400},
	} {
		card := begin()
		if _, changed := live(&card, monday, 12*day, c.model, c.window); len(changed) > 0 {
			t.Errorf("%s: changed at %v", name, changed)
		}
	}
}

func TestAWindowThatStandsInIsKeptWithinTheBand(t *testing.T) {
	c := begin()
	at, _ := live(&c, monday, 7*day, 300, 360)
	if !c.Standing[resource.CPU].Window {
		t.Fatal("it does not stand in")
	}
	if _, changed := live(&c, at, 2*day, 359, 360); len(changed) > 0 {
		t.Errorf("changed at %v by a model that still loses, if little", changed)
	}
}

func TestNothingIsDecidedBeforeThereIsAWeekOfEvidence(t *testing.T) {
	c := begin()
	if _, changed := live(&c, monday, 6*day, 100, 360); len(changed) > 0 {
		t.Errorf("changed at %v", changed)
	}
}

func TestWhoForecastsDoesNotFlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, at := begin(), monday
		var all []timeline.Time
		for range 12 {
			hours := rapid.IntRange(1, 40).Draw(t, "hours")
			var changed []timeline.Time
			at, changed = live(&c, at, time.Duration(hours)*time.Hour, rapid.SampledFrom([]float64{100, 359, 361, 399}).Draw(t, "model"), 360)
			all = append(all, changed...)
		}
		for i := 1; i < len(all); i++ {
			if d := all[i].Sub(all[i-1]); d < day {
				t.Fatalf("changed again after %s", d)
			}
		}
	})
}
