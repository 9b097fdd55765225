package scorecard

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func TestAClockThatWasYearsAheadIsOutlived(t *testing.T) {
	c := begin()
	at, _ := live(&c, monday, 9*day, 300, 360) // the window stands in
	wrong := at.Add(10 * 365 * day)
	Mature(&c, came(wrong.Add(-day), repeat(400, 12)...), wrong)
	c.Standing[resource.CPU].Since = wrong
	Issue(&c, wrong, said(wrong, 300, 400, 360))
	if len(c.Issued) != 2 {
		t.Fatalf("%d were issued then", len(c.Issued))
	}
	at = at.Add(time.Hour)
	Mature(&c, came(at.Add(-day), repeat(400, 12*24)...), at)
	if !Due(&c, at) || c.UpdatedAt != at {
		t.Error("nothing is issued any more")
	}
	if _, changed := live(&c, at, 9*day, 390, 360); len(changed) != 1 {
		t.Errorf("the model wins, and who forecasts changed at %v", changed)
	}
}

func TestStepsThatDoNotDivideAnHourAreIssuedOnTheirGridAndNeverNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		step := time.Duration(rapid.SampledFrom([]int{5, 8, 9, 15, 16, 18, 24, 32, 36, 40, 45, 48, 60}).Draw(t, "minutes")) * time.Minute
		c, at := Begin(proto.Scorecard{}, "cache-1", step, levels()), monday
		for range 20 {
			at = at.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes later")) * time.Minute)
			Issue(&c, at, [proto.Forecasters]*forecast.Forecast{flat(at, step, 1, 2), flat(at, step, 1, 2), flat(at, step, 1, 2)})
			for _, is := range c.Issued {
				if is.Steps < 1 || is.Start != is.Start.Floor(step) {
					t.Fatalf("%d steps of %s are issued from %s on", is.Steps, step, is.Start)
				}
			}
			if err := c.Valid(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNothingIsIssuedWhereNothingIsForecast(t *testing.T) {
	c := begin()
	cold := said(monday, 100, 80, 300)
	cold[proto.ByModel].Reasons[resource.CPU].Cold = true
	Issue(&c, monday, cold)
	if len(c.Issued) != 0 || !Due(&c, monday) {
		t.Errorf("%d were issued", len(c.Issued))
	}
}

func TestAWindowLeavesWhereTheEvidenceHasEnded(t *testing.T) {
	c := begin()
	at, _ := live(&c, monday, 9*day, 300, 360)
	if !c.Standing[resource.CPU].Window {
		t.Fatal("it does not stand in")
	}
	var nothing forecast.History
	nothing[resource.CPU] = forecast.Series{Start: at, Step: grid, Values: []float64{1}}
	var changes []Change
	for end := at.Add(4 * day); at < end; at = at.Add(time.Hour) {
		Mature(&c, nothing, at)
		changes = append(changes, Judge(&c, at)...)
	}
	if len(changes) != 1 || changes[0].Window || changes[0].Resource != resource.CPU {
		t.Errorf("%+v", changes)
	}
}
