package pool

import (
	"math"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

const (
	begin = timeline.Time(1_800_000_000_000)
	step  = 5 * time.Minute
)

// shaped is a forecast of CPU: a day with its height in the middle, at a level, and a band of a tenth of it.
func shaped(level float64, steps int) *forecast.Forecast {
	f := &forecast.Forecast{Start: begin, Step: step, Quantiles: []float64{.5, .95}}
	for k := range f.Values {
		f.Values[k] = [][]float64{make([]float64, steps), make([]float64, steps)}
	}
	for i := range steps {
		v := level * ofDay(i)
		f.Values[resource.CPU][0][i], f.Values[resource.CPU][1][i] = v, 1.1*v
	}
	return f
}

func ofDay(i int) float64 { return 1 + .5*math.Sin(2*math.Pi*float64(i)/288) }

func others(levels ...float64) Others {
	o := Others{Of: [resource.Kinds]bool{resource.CPU: true}}
	for _, l := range levels {
		o.Forecasts = append(o.Forecasts, shaped(l, 576))
	}
	return o
}

// took is so many hours before begin at a level of the same day.
func took(level float64, hours int) forecast.History {
	n := hours * 12
	s := forecast.Series{Start: begin.Add(-time.Duration(n) * step), Step: step, Values: make([]float64, n)}
	for i := range s.Values {
		s.Values[i] = level * ofDay(i-n+288)
	}
	return forecast.History{resource.CPU: s}
}

// blended returns the median and the 95th percentile of CPU after so many steps, of an instance whose own forecast says 1000.
func blended(o Others, own forecast.History, observed time.Duration, at int) (middle, high float64) {
	f := shaped(0, 600)
	f.Reasons[resource.CPU].Observed = observed
	for i := range 600 {
		f.Values[resource.CPU][0][i], f.Values[resource.CPU][1][i] = 1000, 1000
		f.Values[resource.Memory][0][i] = 7
	}
	o.Common().Blend(f, own, resource.Vector{})
	if f.Values[resource.Memory][0][at] != 7 {
		return math.NaN(), math.NaN()
	}
	return f.Values[resource.CPU][0][at], f.Values[resource.CPU][1][at]
}

func TestAnInstanceWithoutHistoryHasTheShapeAndTheLevelOfTheOthers(t *testing.T) {
	o := others(80, 100, 120) // whose geometric mean is 98.65
	for _, at := range []int{20, 72, 216, 500} {
		m, h := blended(o, forecast.History{}, 0, at)
		if want := 98.65 * ofDay(at); math.Abs(m-want) > 1 || h < 1.3*want || h > 2*want {
			t.Errorf("step %d: median %.0f, p95 %.0f, of %.0f", at, m, h, want)
		}
	}
	if m, _ := blended(o, forecast.History{}, 0, 590); math.Abs(m-98.65*ofDay(590)) > 1 {
		t.Errorf("beyond what is forecast of the others: %.0f", m)
	}
}

func TestItsOwnLevelCountsTheMoreTheMoreOfItIsKnown(t *testing.T) {
	o := others(80, 100, 120)
	last, narrow := 100*ofDay(72), math.Inf(1)
	for _, hours := range []int{1, 4, 12} {
		m, h := blended(o, took(300, hours), time.Duration(hours)*time.Hour, 72)
		if m <= last || m > 300*ofDay(72) {
			t.Errorf("after %d hours at three times the level: %.0f, before %.0f", hours, m, last)
		}
		if h/m >= narrow {
			t.Errorf("after %d hours the band is %.2f of the median, before %.2f", hours, h/m, narrow)
		}
		last, narrow = m, h/m
	}
	if last < .8*300*ofDay(72) {
		t.Errorf("after twelve hours: %.0f of %.0f", last, 300*ofDay(72))
	}
}

func TestTheOthersFade(t *testing.T) {
	o := others(80, 100, 120)
	if m, _ := blended(o, took(100, 24), 30*time.Hour, 72); math.Abs(m-(100*ofDay(72)+1000)/2) > 20 {
		t.Errorf("half way: %.0f", m)
	}
	if m, h := blended(o, took(100, 24), Until, 72); m != 1000 || h != 1000 {
		t.Errorf("at the end: %.0f and %.0f", m, h)
	}
}

func TestWhatTheOthersDoNotSpeakForStaysAndTheTypeBoundsTheRest(t *testing.T) {
	o := others(80, 100, 120)
	f := shaped(0, 100)
	o.Common().Blend(f, forecast.History{}, resource.Vector{resource.CPU: 130})
	for i := range 100 {
		if f.Values[resource.CPU][1][i] > 130 {
			t.Fatalf("step %d: %.0f are forecast of 130", i, f.Values[resource.CPU][1][i])
		}
	}
	o.Of[resource.CPU] = false
	f = shaped(0, 100)
	o.Common().Blend(f, forecast.History{}, resource.Vector{})
	if f.Values[resource.CPU][0][50] != 0 {
		t.Errorf("what nobody speaks for became %.0f", f.Values[resource.CPU][0][50])
	}
}

func TestOfWhatTheyTakeNothingOfTheySayNothing(t *testing.T) {
	o := others(80, 100, 120)
	o.Of[resource.Memory] = true
	if c := o.Common(); !c.Of(resource.CPU) || c.Of(resource.Memory) || c.Of(resource.NetTx) {
		t.Error("they speak for what they take nothing of, or that they were not to speak for, or not for the rest")
	}
}

func TestALevelThatHasJustShownItselfIsAFloorOfTheNextHour(t *testing.T) {
	o := others(80, 100, 120)
	own := took(100, 2)
	own[resource.CPU].Values[23] = 900
	if _, h := blended(o, own, 2*time.Hour, 3); h < 900 {
		t.Errorf("p95 of the next hour is %.0f", h)
	}
	if _, h := blended(o, own, 2*time.Hour, 30); h > 500 {
		t.Errorf("p95 hours later is %.0f", h)
	}
}

// Thousands of new instances are held at once, each with what twenty others have in common.
func TestTheOthersForecastsAreLetGoOf(t *testing.T) {
	o := others(80, 100, 120)
	first := weak.Make(o.Forecasts[0])
	c := o.Common()
	o.Forecasts = nil
	runtime.GC()
	if first.Value() != nil {
		t.Error("a forecast is held")
	}
	f := shaped(0, 600)
	c.Blend(f, forecast.History{}, resource.Vector{})
	if got := f.Values[resource.CPU][0][72]; math.Abs(got-98.65*ofDay(72)) > 1 {
		t.Errorf("%.0f", got)
	}
}
