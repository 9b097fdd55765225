package forecast

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/internal/resource"
)

// nowAndThen returns days of demand that is nothing but in one step of ten, and then from 100 to 300.
func nowAndThen(days int) []float64 {
	out, size := noise(days*perDay, 3), noise(days*perDay, 4)
	for i, v := range out {
		out[i] = 0
		if v > 1.28 {
			out[i] = min(300, max(100, 200+50*size[i]))
		}
	}
	return out
}

func reasonOf(t *testing.T, values []float64, opts Options) Reason {
	t.Helper()
	return mustForecast(t, cpu(values), nil, opts, after(time.Duration(len(values))*step), 48*time.Hour).Reasons[resource.CPU]
}

func TestTheForecastSaysHowTheDemandRuns(t *testing.T) {
	rising := seasonalDays(14, 3)
	for i := range rising {
		rising[i] = 100 + float64(i)/4
	}
	quiet := noise(14*perDay, 1)
	for i := range quiet {
		quiet[i] = 5 + .2*quiet[i]
	}
	for name, c := range map[string]struct {
		values  []float64
		maximum int64
		want    pattern.Pattern
	}{
		"a day that repeats":             {seasonalDays(14, 1), 1000, pattern.Periodic},
		"a rise":                         {rising, 1000, pattern.Trending},
		"now and then":                   {nowAndThen(14), 1000, pattern.Intermittent},
		"little of what the type grants": {quiet, 1000, pattern.Idle},
		"much of what the type grants":   {quiet, 10, pattern.Steady},
		"nothing":                        {make([]float64, 14*perDay), 1000, pattern.Idle},
		"too little to tell":             {quiet[:10], 1000, ""},
	} {
		r := reasonOf(t, c.values, Options{Maximum: resource.Uniform(c.maximum)})
		if r.Pattern != c.want || (c.want != "" && r.Confidence < pattern.Sure) {
			t.Errorf("%s: %q with confidence %.2f, want %q", name, r.Pattern, r.Confidence, c.want)
		}
	}
}

func TestAPatternThatIsSurePicksTheMembersAndSaysSo(t *testing.T) {
	names := func(p pattern.Pattern, sure float64) []string {
		var out []string
		for _, c := range candidates() {
			if policyOf(p, sure).takes(c, 12) {
				out = append(out, c.name)
			}
		}
		return out
	}
	all := names("", 0)
	if len(all) != 14 || slices.Contains(all, sporadicName) {
		t.Errorf("where no pattern is known the members are %q", all)
	}
	if diff := cmp.Diff(all, names(pattern.Periodic, 1)); diff != "" {
		t.Errorf("a periodic series goes without: %s", diff)
	}
	if diff := cmp.Diff(all, names(pattern.Intermittent, pattern.Sure-.01)); diff != "" {
		t.Errorf("a pattern that is not sure decides: %s", diff)
	}
	few := names(pattern.Intermittent, pattern.Sure)
	if len(few) >= len(all) || !slices.Contains(few, sporadicName) || slices.Contains(few, "holt-winters") {
		t.Errorf("an intermittent series has %q", few)
	}
	if note := reasonOf(t, nowAndThen(14), one()).Note; !strings.Contains(note, "as it is intermittent, sporadic is one of them, without week-profile-level, holt-winters, the last hour") {
		t.Errorf("the note is %q", note)
	}
	if note := reasonOf(t, seasonalDays(14, 1), one()).Note; note != "14 members, weighted by their loss over the last week" {
		t.Errorf("of a periodic series the note is %q", note)
	}
}

func TestSporadicDemandThatHasJustBegunCounts(t *testing.T) {
	values := make([]float64, 3*perDay+60) // no multiple of six hours
	for i := len(values) - 60; i < len(values); i += 2 {
		values[i] = 300
	}
	g := &grid{step: step, day: perDay, hour: 12, x: values, y: values}
	path := make([]float64, 12)
	newSporadic(g, []float64{.9}).path(path, len(g.x), 0)
	if path[0] != 300 {
		t.Errorf("it is %v", path[0])
	}
}

func TestSporadicDemandHasTheQuantilesOfItsSizesBeyondItsProbability(t *testing.T) {
	quantiles := []float64{.5, .85, .95, .99}
	g := newGrid(Series{Step: step, Values: nowAndThen(14)}, step, 28*day, time.UTC, 0)
	g.fill()
	m := newSporadic(g, quantiles)
	at := func(qi int) float64 {
		path := make([]float64, 48*12)
		m.path(path, len(g.x), qi)
		return path[len(path)-1]
	}
	// One in ten has demand, of 200 at the median.
	if at(0) != 0 || at(1) != 0 {
		t.Errorf("p50 and p85 are %v and %v, want 0", at(0), at(1))
	}
	if math.Abs(at(2)-200) > 25 {
		t.Errorf("p95 is %v, want the median of the sizes, about 200", at(2))
	}
	if at(3) < 240 || at(3) > 300 {
		t.Errorf("p99 is %v, want what nine in ten of the sizes don't pass", at(3))
	}
	// What has begun is likelier to go on for an hour.
	for i := len(g.x) - 12; i < len(g.x); i++ {
		g.x[i] = 200
	}
	path := make([]float64, 48*12)
	newSporadic(g, quantiles).path(path, len(g.x), 1)
	if path[0] < 100 || path[len(path)-1] != 0 {
		t.Errorf("after an hour with demand p85 is %v at first and %v in two days", path[0], path[len(path)-1])
	}
}

func TestHalfADayOfWhatBurstsSpeaksForItself(t *testing.T) {
	bursts, height := noise(18*12, 7), 0.0
	for i, v := range bursts {
		height *= .6
		if v > 1.7 {
			height = 50 + 40*v
		}
		bursts[i] = 50 + 3*v + height
	}
	highest := func(values []float64, opts Options) (float64, Reason) {
		f := mustForecast(t, cpu(values), nil, opts, after(time.Duration(len(values))*step), 24*time.Hour)
		return slices.Max(f.Values[resource.CPU][3]), f.Reasons[resource.CPU]
	}
	top := slices.Max(bursts)
	most, why := highest(bursts, one())
	if why.Pattern != pattern.Bursty || !why.Cold || math.Abs(most-2*top) > 1 || !strings.Contains(why.Note, "as it is bursty") {
		t.Errorf("18 hours of bursts up to %.0f: %.0f is held (%s): %s", top, most, why.Pattern, why.Note)
	}
	if most, why = highest(bursts[:9*12], one()); most < 1000 || !strings.Contains(why.Note, "the instance type's maximum") {
		t.Errorf("nine hours of bursts: %.0f is held: %s", most, why.Note)
	}
	given := one()
	given.Prior[resource.CPU] = 700
	if most, why = highest(bursts, given); most < 700 {
		t.Errorf("with a prior of 700: %.0f is held: %s", most, why.Note)
	}
}

func TestTheLastHourIsAFloorUnlessThePatternSaysThatItDoesNotStay(t *testing.T) {
	first := func(values []float64) (p90 float64, why Reason) {
		f := mustForecast(t, cpu(values), nil, one(), after(time.Duration(len(values))*step), time.Hour)
		return f.Values[resource.CPU][1][11], f.Reasons[resource.CPU]
	}
	// Ten minutes of the last hour, which is over, were as high as it gets.
	rare, day := nowAndThen(14), seasonalDays(14, 1)
	for i := 14*perDay - 6; i < 14*perDay-4; i++ {
		rare[i], day[i] = 300, 600
	}
	if p90, why := first(day); why.Pattern != pattern.Periodic || p90 < 600 {
		t.Errorf("%s demand of up to 600 in the last hour: p90 at the end of the next is %.0f", why.Pattern, p90)
	}
	if p90, why := first(rare); why.Pattern != pattern.Intermittent || p90 >= 300 || !strings.Contains(why.Note, "the last hour is no floor") {
		t.Errorf("%s demand of up to 300 in the last hour: p90 at the end of the next is %.0f; %s", why.Pattern, p90, why.Note)
	}
}
