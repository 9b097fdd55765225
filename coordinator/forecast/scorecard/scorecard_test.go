package scorecard

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	monday timeline.Time = 1_767_571_200_000 // 2026-01-05T00:00:00Z
	grid                 = 5 * time.Minute
)

func levels() []int { return []int{500, 900} }

// flat is a forecast of CPU from at on that says the same for all steps; the other resources have no history.
func flat(at timeline.Time, step time.Duration, p50, p90 float64) *forecast.Forecast {
	n := int(Horizon(step) / step)
	f := &forecast.Forecast{Start: at.Floor(step), Step: step, Quantiles: []float64{.5, .9}}
	for k := range f.Values {
		f.Values[k] = [][]float64{make([]float64, n), make([]float64, n)}
		f.Reasons[k].Cold = resource.Kind(k) != resource.CPU
	}
	for i := range n {
		f.Values[resource.CPU][0][i], f.Values[resource.CPU][1][i] = p50, p90
	}
	return f
}

// said are a model, a naive forecast and a window with those medians, whose p90 are twice that.
func said(at timeline.Time, model, naive, window float64) [proto.Forecasters]*forecast.Forecast {
	return [proto.Forecasters]*forecast.Forecast{flat(at, grid, model, 2*model), flat(at, grid, naive, 2*naive), flat(at, grid, window, 2*window)}
}

// came is a history of CPU from a time on.
func came(start timeline.Time, values ...float64) forecast.History {
	var h forecast.History
	h[resource.CPU] = forecast.Series{Start: start, Step: grid, Values: values}
	return h
}

func repeat(v float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func begin() proto.Scorecard { return Begin(proto.Scorecard{}, "cache-1", grid, levels()) }

func TestForecastsAreScoredAgainstWhatCameAsTheyWereIssued(t *testing.T) {
	c := begin()
	Issue(&c, monday, said(monday, 100, 80, 300))
	// A later forecast of the same steps knows better. It is too late.
	Issue(&c, monday.Add(5*time.Minute), said(monday, 160, 160, 160))
	first := monday.Add(time.Hour)
	// 18 steps were issued an hour ahead: 10 with 160, 2 of which nothing is known, 6 with 90; something later is known.
	values := append(append(repeat(160, 10), math.NaN(), math.NaN()), 90, 90, 90, 90, 90, 90, 1)
	Mature(&c, came(first, values...), first.Add(2*time.Hour))
	got := Scores(&c, first.Add(2*time.Hour))
	want := []proto.Score{{
		Resource: resource.CPU, Lead: time.Hour.Milliseconds(), Steps: 16,
		// At 160: .5 × 60 and .1 × 40; at 90: .5 × 10 and .1 × 110.
		Model: proto.Fit{Loss: []float64{(10*30 + 6*5) / 16.0, (10*4 + 6*11) / 16.0}, Coverage: []float64{6 / 16.0, 1}},
		// At 160: .5 × 80 and .9 × 0; at 90: .5 × 10 and .1 × 70.
		Naive: proto.Fit{Loss: []float64{(10*40 + 6*5) / 16.0, 6 * 7 / 16.0}, Coverage: []float64{0, 1}},
		// At 160: .5 × 140 and .1 × 440; at 90: .5 × 210 and .1 × 510.
		Window: proto.Fit{Loss: []float64{(10*70 + 6*105) / 16.0, (10*44 + 6*51) / 16.0}, Coverage: []float64{1, 1}},
	}}
	for _, p := range got.Periods {
		if diff := cmp.Diff(want, p.Of, cmpopts.EquateApprox(0, 1e-4)); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
	}
	if len(c.Issued) != 1 {
		t.Errorf("%d issues wait, only that of tomorrow should", len(c.Issued))
	}
	s := Summary(&c, first.Add(2*time.Hour))
	if len(s.Of) != 1 || math.Abs(*s.Of[0].Naive-(330+106)/(430.0+42)) > 1e-4 || math.Abs(*s.Of[0].Window-(330+106)/(1330.0+746)) > 1e-4 {
		t.Errorf("%+v", s.Of)
	}
}

func TestAStepIsScoredOnceSomethingLaterIsKnown(t *testing.T) {
	c := begin()
	Issue(&c, monday, said(monday, 100, 100, 100))
	first := monday.Add(time.Hour)
	late := first.Add(20 * time.Hour) // nothing was heard for long
	Mature(&c, came(first, repeat(90, 18)...), late)
	if len(c.Issued) != 2 || len(c.Tallies) != 0 {
		t.Fatalf("%d issues wait and %d tallies are there: a window of the last step may be missing", len(c.Issued), len(c.Tallies))
	}
	Mature(&c, came(first, repeat(90, 19)...), late)
	if len(c.Issued) != 1 || len(c.Tallies) != 1 || c.Tallies[0].Of[resource.CPU].Steps != 18 {
		t.Fatalf("%d issues wait; %+v", len(c.Issued), c.Tallies)
	}
	// Tomorrow's steps never come: they are given up in the end.
	Mature(&c, came(first, repeat(90, 19)...), monday.Add(24*time.Hour+issueAhead+25*time.Hour))
	if len(c.Issued) != 1 {
		t.Fatal("given up while its demand may still come")
	}
	Mature(&c, came(first, repeat(90, 19)...), monday.Add(24*time.Hour+issueAhead+25*time.Hour+time.Millisecond))
	if len(c.Issued) != 0 {
		t.Fatal("kept for ever")
	}
}

func TestEveryStepHasOneForecastOfEachLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, at := begin(), monday.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "begin"))*time.Second)
		ends := map[int64]timeline.Time{}
		for range 40 {
			n := len(c.Issued)
			if Due(&c, at) != issues(&c, at) {
				t.Fatal("what is due is not what is issued")
			}
			for _, is := range c.Issued[n:] {
				if ahead := is.Start.Sub(at).Milliseconds(); ahead < is.Lead || ahead > is.Lead+(issueAhead-issueLeast+grid).Milliseconds() {
					t.Fatalf("the first step begins %d ms ahead, with a lead of %d", ahead, is.Lead)
				}
				if before, known := ends[is.Lead]; known && before != is.Start {
					t.Fatalf("steps from %s on follow %s", is.Start, before)
				}
				ends[is.Lead] = end(&c, is)
			}
			// Trained anew each hour or earlier, and at most ten minutes late.
			at = at.Add(time.Duration(rapid.IntRange(1, 70*60).Draw(t, "pause")) * time.Second)
		}
		if len(ends) != len(Leads()) {
			t.Fatal("not every lead was issued")
		}
	})
}

// issues issues, and reports whether anything was.
func issues(c *proto.Scorecard, at timeline.Time) bool {
	n := len(c.Issued)
	Issue(c, at, said(at, 100, 100, 100))
	return len(c.Issued) > n
}

func TestWhatHoldsALargeConstantDemandStillHoldsItWhenItIsKept(t *testing.T) {
	const memory = 12_345_678_901 // more digits than are kept
	c := begin()
	f := said(monday, 0, 0, 0)
	for _, one := range f {
		one.Reasons[resource.Memory].Cold = false
		for qi := range one.Values[resource.Memory] {
			one.Values[resource.Memory][qi] = repeat(memory, len(one.Values[resource.Memory][qi]))
		}
	}
	Issue(&c, monday, f)
	var h forecast.History
	h[resource.Memory] = forecast.Series{Start: monday, Step: grid, Values: repeat(memory, 12*3)}
	Mature(&c, h, monday.Add(3*time.Hour))
	for _, s := range Scores(&c, monday.Add(3*time.Hour)).Periods[0].Of {
		if s.Resource == resource.Memory && (s.Model.Coverage[0] != 1 || s.Model.TotalLoss() > 1000) {
			t.Errorf("%+v", s)
		}
	}
}

func TestAForecastOnShortStepsIsScoredOnThoseOfTheHistory(t *testing.T) {
	const short = 10 * time.Second
	c := Begin(proto.Scorecard{}, "cache-1", short, levels())
	var all [proto.Forecasters]*forecast.Forecast
	for by := range all {
		all[by] = flat(monday, short, 10, 20)
		all[by].Values[resource.CPU][0][360+7] = 15 // somewhere in the first block that is an hour ahead
	}
	Issue(&c, monday, all)
	is := c.Issued[0]
	if diff := cmp.Diff([]float32{15, 10}, is.Said[proto.ByModel].Amounts[resource.CPU][0]); diff != "" || is.Steps != 18 || is.Start != monday.Add(time.Hour) {
		t.Errorf("%d steps from %s on: %s", is.Steps, is.Start, diff)
	}
}

func TestAScorecardStaysSmallAndValidAndOldTalliesCountByTheDay(t *testing.T) {
	c := begin()
	at := monday
	for ; at < monday.Add(50*day); at = at.Add(time.Hour) {
		from := at.Add(-3 * time.Hour)
		Mature(&c, came(from, repeat(150, 36)...), at)
		Issue(&c, at, said(at, 100, 80, 300))
	}
	if err := c.Valid(); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(c)
	if err != nil || len(b) > 200_000 || len(c.Tallies) > 130 {
		t.Errorf("%d bytes, %d tallies, %v", len(b), len(c.Tallies), err)
	}
	for _, p := range Scores(&c, at).Periods {
		for _, s := range p.Of {
			days := map[string]int{"day": 1, "week": 7, "month": 30}[p.Name]
			if s.Steps < (days*24-3)*12 || s.Steps > (days+1)*24*12 {
				t.Errorf("%s, %d ms ahead: %d steps", p.Name, s.Lead, s.Steps)
			}
			if diff := cmp.Diff([]float64{25, 5}, s.Model.Loss, cmpopts.EquateApprox(1e-4, 0)); diff != "" {
				t.Errorf("%s: %s", p.Name, diff)
			}
		}
	}
	var again proto.Scorecard
	if err := proto.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what is kept is not what was: %s", diff)
	}
}

func TestAScorecardOfOtherStepsOrQuantilesBeginsAnew(t *testing.T) {
	c := begin()
	Issue(&c, monday, said(monday, 1, 1, 1))
	if got := Begin(c, "cache-1", grid, levels()); len(got.Issued) != 2 {
		t.Error("the same one does not go on")
	}
	for name, got := range map[string]proto.Scorecard{
		"instance": Begin(c, "cache-2", grid, levels()), "steps": Begin(c, "cache-1", time.Hour, levels()), "quantiles": Begin(c, "cache-1", grid, []int{500}),
	} {
		if len(got.Issued) != 0 || got.Valid() != nil {
			t.Errorf("of another %s: %d issues, %v", name, len(got.Issued), got.Valid())
		}
	}
}
