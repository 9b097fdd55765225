package proto

import (
	"math"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
)

// scored is a scorecard with an issue and a tally of CPU.
func scored() Scorecard {
	said := Said{}
	said.Amounts[resource.CPU] = [][]float32{{100}, {200, 300}}
	fared := Fared{Loss: []float32{1, 2}, Covered: []int{3, 4}}
	t := Tally{Start: 0, Lead: 3_600_000}
	t.Of[resource.CPU] = TallyOf{Steps: 5, Fared: []Fared{fared, fared, fared}}
	return Scorecard{
		Instance: "cache-1", Step: 300_000, Quantiles: []int{500, 950},
		Issued: []Issue{{Lead: 3_600_000, Start: 300_000, Steps: 2, Said: []Said{said, said, said}}}, Tallies: []Tally{t},
	}
}

func TestAScorecardThatIsNotWholeIsRefused(t *testing.T) {
	if err := scored().Valid(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Scorecard){
		"a name that leads elsewhere": func(c *Scorecard) { c.Instance = "../x" },
		"no quantiles":                func(c *Scorecard) { c.Quantiles = nil },
		"no step":                     func(c *Scorecard) { c.Step = 0 },
		"too many issues":             func(c *Scorecard) { c.Issued = make([]Issue, maxIssues+1) },
		"too many tallies":            func(c *Scorecard) { c.Tallies = make([]Tally, maxTallies+1) },
		"a forecaster is missing":     func(c *Scorecard) { c.Issued[0].Said = c.Issued[0].Said[:2] },
		"too many steps":              func(c *Scorecard) { c.Issued[0].Steps = maxIssueSteps + 1 },
		"no amounts":                  func(c *Scorecard) { c.Issued[0].Said[1].Amounts[resource.CPU][0] = nil },
		"more amounts than steps":     func(c *Scorecard) { c.Issued[0].Steps = 1 },
		"no number":                   func(c *Scorecard) { c.Issued[0].Said[0].Amounts[resource.CPU][0][0] = float32(math.NaN()) },
		"an endless loss":             func(c *Scorecard) { c.Tallies[0].Of[resource.CPU].Fared[0].Loss[0] = float32(math.Inf(1)) },
		"a quantile is missing":       func(c *Scorecard) { c.Tallies[0].Of[resource.CPU].Fared[2].Covered = nil },
		"a tally of nobody":           func(c *Scorecard) { c.Tallies[0].Of[resource.CPU].Fared = nil },
	} {
		c := scored()
		if change(&c); c.Valid() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
