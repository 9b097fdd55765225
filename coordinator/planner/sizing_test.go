package planner

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/planner/plannertest"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// busyFrom returns the forecast of an instance that uses 1000 of CPU in ten hours of each day, from an hour on, and 100 in the others.
func busyFrom(hour int) proto.ForecastReply {
	f := proto.ForecastReply{Start: begin, Step: grid.Milliseconds(), Quantiles: []int{500, 950}, Profiles: make([]timeline.Profile, 2)}
	for i := range GridSteps {
		span := timeline.Span{Start: begin.Add(time.Duration(i) * grid), End: begin.Add(time.Duration(i+1) * grid)}
		v := resource.Vector{resource.CPU: 100}
		if (i*int(grid/time.Minute)/60+24-hour)%24 < 10 {
			v[resource.CPU] = 1000
		}
		for q := range f.Profiles {
			f.Profiles[q] = append(f.Profiles[q], timeline.Step{Span: span, Amount: v})
		}
	}
	return f
}

func TestOpenReservationsWhosePeaksDoNotCoincideShareAHost(t *testing.T) {
	s := NewSizing(proto.Standard, proto.InstanceType{Max: resource.Uniform(4000)}, proto.Application{}, proto.DefaultPolicy())
	s.Floor = resource.Vector{}
	held := func(apart int) int {
		l, err := ledger.New(ledger.Grid{Step: grid}, proto.DefaultPolicy().Z, begin)
		if err != nil {
			t.Fatal(err)
		}
		room := resource.Uniform(resource.Unlimited)
		room[resource.CPU] = 7000
		if err := l.SetHost(ledger.Capacity{Host: "a", Allocatable: room, Ratio: resource.Uniform(1000)}); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			f := busyFrom(9 + i%2*apart)
			allocation, _ := s.Allocation(f)
			id := fmt.Sprintf("r%02d", i)
			if l.Hold(proto.Reservation{ID: id, Host: "a", Instance: id, Class: proto.Standard, Purpose: proto.PurposeInstance, Envelope: s.Envelope(allocation, f)}) != nil {
				return i
			}
		}
		return 20
	}
	// Six or seven peaks fit, one of every second instance more at a time where they are half a day apart.
	if alike, opposite := held(0), held(12); alike < 6 || alike > 7 || opposite < 10 {
		t.Errorf("%d that are busy at the same time fit on a host, %d whose peaks are half a day apart", alike, opposite)
	}
}

func TestBeyondTheForecastNoMoreIsHeldThanInItsLastDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "class")
		s := NewSizing(class, proto.InstanceType{Max: resource.Uniform(rapid.Int64Range(1, 1<<45).Draw(t, "max"))}, proto.Application{}, proto.DefaultPolicy())
		step := rapid.SampledFrom([]time.Duration{grid, time.Hour}).Draw(t, "step") // an hour each: more than a day
		f := plannertest.Forecast(t, begin, step, 1<<44)
		allocation, _ := s.Allocation(f)
		e := s.Envelope(allocation, f)
		last, tail := Promised(e[:len(e)-1]).MaxOver(lastDay(allocation)), e[len(e)-1]
		if held := Promised(e[len(e)-1:])[0].Amount; !held.Fits(last) {
			t.Fatalf("%v is held of at most %v in the last day", held, last)
		}
		firm := allocation.MaxOver(lastDay(allocation))
		if class == proto.Critical && tail.Firm != firm || tail.Firm[resource.Memory] != firm[resource.Memory] {
			t.Fatalf("%v is firm of %v", tail.Firm, firm)
		}
		if class == proto.Critical {
			return
		}
		// The mean of all that is expected above the firm part in that day is no less than what is held of it on the average.
		for k, n := range tail.Mean {
			if !resource.Kind(k).Poolable() {
				continue
			}
			sum, steps := 0.0, 0.0
			for _, m := range f.At(500).Clip(lastDay(f.At(500))) {
				sum, steps = sum+max(0, bandOf(f).over(m.Span).mean[k]-float64(tail.Firm[k])), steps+1
			}
			if room := min(allocation.MaxOver(lastDay(allocation))[k], last[k]) - tail.Firm[k]; float64(n) < min(sum/steps, float64(room))-1-sum/steps*1e-9 || float64(n) > sum/steps+2+sum/steps*1e-9 {
				t.Fatalf("%d is the mean, expected is %v", n, sum/steps)
			}
		}
	})
}

// spreadTwin is a dumb twin of a band: it returns the mean and the deviation of one resource's demand at so many evenly spread shares of the time.
func spreadTwin(levels []int, values []float64, n int) (mean, sigma float64) {
	at := func(u float64) float64 {
		for i := len(levels) - 1; i >= 0; i-- {
			from := float64(levels[i]) / 1000
			if u < from {
				continue
			}
			if i == len(levels)-1 {
				return values[i]
			}
			return values[i] + (values[i+1]-values[i])*(u-from)/(float64(levels[i+1])/1000-from)
		}
		return values[0]
	}
	var sum, squares float64
	for i := range n {
		high := at(.5 + (float64(i)+.5)/float64(2*n))
		for _, x := range []float64{high, max(0, 2*values[0]-high)} {
			sum, squares = sum+x/float64(2*n), squares+x*x/float64(2*n)
		}
	}
	return sum, math.Sqrt(max(0, squares-sum*sum))
}

func TestWhatIsExpectedIsTheMeanOfAllThatMayCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := timeline.Span{Start: begin, End: begin.Add(grid)}
		f := proto.ForecastReply{Start: begin, Step: grid.Milliseconds()}
		last, values := int64(0), []float64(nil)
		for _, level := range rapid.SampledFrom([][]int{{500}, {500, 950}, {500, 900, 950, 990}}).Draw(t, "levels") {
			last += rapid.Int64Range(0, 1000).Draw(t, "more")
			f.Quantiles, values = append(f.Quantiles, level), append(values, float64(last))
			f.Profiles = append(f.Profiles, timeline.Flat(span, resource.Uniform(last)))
		}
		mean, sigma := spreadTwin(f.Quantiles, values, 20_000)
		for _, got := range []spread{bandOf(f).over(span), bandOf(f).within(span, grid, resource.Vector{})} {
			if off := 1e-3 * (1 + float64(last)); math.Abs(got.mean[0]-mean) > off || math.Abs(got.sigma[0]-sigma) > 3*off {
				t.Fatalf("%v of %v: mean %v, deviation %v; want %v and %v", f.Quantiles, values, got.mean[0], got.sigma[0], mean, sigma)
			}
		}
	})
}

func TestWhatIsMostlyLittleIsExpectedToBeMoreThanItsMedian(t *testing.T) {
	span := timeline.Span{Start: begin, End: begin.Add(grid)}
	f := proto.ForecastReply{Start: begin, Step: grid.Milliseconds(), Quantiles: []int{500, 900, 950, 990}}
	for _, v := range []int64{10, 100, 1000, 2000} {
		f.Profiles = append(f.Profiles, timeline.Flat(span, resource.Uniform(v)))
	}
	if got := bandOf(f).over(span).mean[resource.CPU]; got < 100 || got > 150 {
		t.Errorf("%v", got)
	}
	for i, v := range []int64{1000, 1100, 1150, 1200} { // as far below as above
		f.Profiles[i] = timeline.Flat(span, resource.Uniform(v))
	}
	if got := bandOf(f).over(span).mean[resource.CPU]; math.Abs(got-1000) > 1e-6 {
		t.Errorf("%v", got)
	}
}
