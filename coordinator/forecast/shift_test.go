package forecast

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// course is a kind of demand that shifts and incidents are put into.
type course struct {
	name  string
	noise float64 // share of the level
	swing float64
}

func courses() []course {
	return []course{{"steady", .05, 0}, {"noisy", .1, 0}, {"daily", .05, .5}}
}

// truth is the expectation at step i, and values are it with noise.
func (c course) truth(i int) float64 {
	return 300 * (1 + c.swing*math.Sin(2*math.Pi*float64(i)/perDay))
}

func (c course) values(steps int, seed uint64) []float64 {
	out := noise(steps, seed)
	for i := range out {
		out[i] = max(0, c.truth(i)+300*c.noise*out[i])
	}
	return out
}

// forecastAt forecasts a series of CPU from its end.
func forecastAt(t *testing.T, values []float64, horizon time.Duration) [][]float64 {
	t.Helper()
	m, err := Train(cpu(values), nil, one())
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Forecast(after(time.Duration(len(values))*step), horizon)
	if err != nil {
		t.Fatal(err)
	}
	return f.Values[resource.CPU]
}

func TestALevelShiftIsFollowedWithinMinutesAndWithinADay(t *testing.T) {
	for _, c := range courses() {
		for _, by := range []float64{180, -180} {
			for _, hour := range []int{3, 15} {
				begin := 14*perDay + hour*12
				for _, old := range []struct {
					after, horizon time.Duration
				}{{15 * time.Minute, time.Hour}, {time.Hour, time.Hour}, {day, 48 * time.Hour}, {2 * day, 48 * time.Hour}, {3 * day, 48 * time.Hour}, {5 * day, 48 * time.Hour}, {8 * day, 48 * time.Hour}} {
					t.Run(fmt.Sprintf("%s by %g at %d h after %s", c.name, by, hour, old.after), func(t *testing.T) {
						now, off := begin+int(old.after/step), 0.0
						seeds := 1
						if old.after < day { // what few steps show depends on their noise
							seeds = 4
						}
						for seed := range seeds {
							values := c.values(now, uint64(5+seed*1_000_003))
							for i := begin; i < now; i++ {
								values[i] = max(0, values[i]+by)
							}
							f := forecastAt(t, values, old.horizon)
							for h := range f[0] {
								off += (f[0][h] - max(0, c.truth(now+h)+by)) / float64(len(f[0])*seeds)
							}
						}
						t.Logf("the median is off by %.2f of the shift", off/by)
						if math.Abs(off/by) > .2 {
							t.Errorf("over the next %s the median is off by %.2f of the shift", old.horizon, off/by)
						}
					})
				}
			}
		}
	}
}

func TestADipOfMinutesTakesNothingFromTheUpperQuantiles(t *testing.T) {
	for _, c := range courses() {
		now := 15*perDay + 15*12
		values := c.values(now, 5)
		before := forecastAt(t, values[:now-4], time.Hour)
		for i := now - 4; i < now; i++ {
			values[i] *= .02
		}
		after := forecastAt(t, values, time.Hour)
		for qi, q := range DefaultQuantiles() {
			if q <= .5 {
				continue
			}
			for h := range after[qi] {
				if after[qi][h] < .85*before[qi][h] {
					t.Fatalf("%s: p%g of step %d falls from %.0f to %.0f", c.name, 100*q, h, before[qi][h], after[qi][h])
				}
			}
		}
	}
}

func TestAllOfAnIncidentIsTakenOutOfLongSteps(t *testing.T) {
	const days = 21
	values := make([]float64, days*24)
	for i := range values {
		values[i] = 100 + 10*math.Sin(float64(i))
		if at := i - (days-1)*24; at >= 10 && at < 14 {
			values[i] = 900
		}
	}
	g := &grid{step: time.Hour, day: 24, hour: 1, x: values, y: values}
	u, ok := g.usual()
	marked, some := g.incidents(u)
	if !ok || !some {
		t.Fatalf("usual %v, some %v", ok, some)
	}
	for i, m := range marked {
		if at := i - (days-1)*24; m != (at >= 10 && at < 14) {
			t.Errorf("hour %d of the last day is taken out: %v", at, m)
		}
	}
}

func TestAnIncidentDoesNotComeBackTomorrow(t *testing.T) {
	for _, c := range courses() {
		for _, length := range []int{1, 6, 24, 48} {
			for _, days := range []int{1, 7} {
				t.Run(fmt.Sprintf("%s for %d steps %d days ago", c.name, length, days), func(t *testing.T) {
					now := 21 * perDay
					values := c.values(now, 6)
					usual := forecastAt(t, values, 24*time.Hour)
					const height = 1200
					from := now - days*perDay + 10*12
					for i := from; i < from+length; i++ {
						values[i] += height
					}
					f := forecastAt(t, values, 24*time.Hour)
					for qi, q := range DefaultQuantiles() {
						wider, bump, n := 0.0, 0.0, 0.0
						for h := range f[qi] {
							d := f[qi][h] - usual[qi][h]
							if h >= 10*12 && h < 10*12+length {
								bump = max(bump, d)
							} else if h > 7*12 && h < 9*12 {
								wider += d
								n++
							}
						}
						t.Logf("p%g is %.3f of the incident higher at its time, %.3f otherwise", 100*q, bump/height, wider/n/height)
						if over := (bump - wider/n) / height; over > .1 {
							t.Errorf("p%g is %.2f of the incident higher at its time tomorrow", 100*q, over)
						}
					}
				})
			}
		}
	}
}

func TestWhatIsPutStraightIsSaid(t *testing.T) {
	c := courses()[0]
	values := c.values(16*perDay, 5)
	for i := 15 * perDay; i < len(values); i++ {
		values[i] += 180
	}
	for i := 14*perDay + 120; i < 14*perDay+144; i++ {
		values[i] += 1200
	}
	note := reasonOf(t, values, one()).Note
	if !strings.Contains(note, "its level shifted 24h") && !strings.Contains(note, "its level shifted 23h5") || !strings.Contains(note, "what happened once is not expected again") {
		t.Errorf("a shift a day ago and an incident before it: %q", note)
	}
	if note := reasonOf(t, c.values(16*perDay, 5), one()).Note; strings.Contains(note, "shifted") || strings.Contains(note, "once") {
		t.Errorf("of an even series: %q", note)
	}
}

func TestAnIncidentThatIsNotOverIsNotBelievedForTomorrow(t *testing.T) {
	for _, c := range courses() {
		const height = 1200
		values := c.values(15*perDay, 8)
		for i := len(values) - 12; i < len(values); i++ {
			values[i] += height
		}
		f := forecastAt(t, values, 24*time.Hour)
		if v := f[0][0] - c.truth(0); v < height/2 {
			t.Errorf("%s: an hour into it the median adds %.0f of %d for the next step", c.name, v, height)
		}
		for h := 8 * 12; h < perDay; h++ {
			if v := f[0][h] - c.truth(h); v > height/5 {
				t.Fatalf("%s: an hour into it the median adds %.0f of %d %s ahead", c.name, v, height, time.Duration(h)*step)
			}
		}
	}
}

func TestABaselineIsNotPutStraight(t *testing.T) {
	values := courses()[0].values(15*perDay, 5)
	for i := len(values) - 12; i < len(values); i++ {
		values[i] += 900
	}
	opts := one()
	opts.Members = BaselineMembers()
	if note := reasonOf(t, values, opts).Note; strings.Contains(note, "shifted") {
		t.Errorf("the baseline's note is %q", note)
	}
}
