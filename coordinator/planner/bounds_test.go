package planner

import (
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// stepped returns a forecast in steps of a length, of which amounts says what each quantile is.
func stepped(step time.Duration, n int, quantiles []int, amount func(step, quantile int) resource.Vector) proto.ForecastReply {
	f := proto.ForecastReply{Start: begin, Step: step.Milliseconds(), Quantiles: quantiles, Profiles: make([]timeline.Profile, len(quantiles))}
	for i := range n {
		span := timeline.Span{Start: begin.Add(time.Duration(i) * step), End: begin.Add(time.Duration(i+1) * step)}
		for qi, q := range quantiles {
			f.Profiles[qi] = append(f.Profiles[qi], timeline.Step{Span: span, Amount: amount(i, q)})
		}
	}
	return f
}

// plain is the sizing of an instance of the class standard whose type limits CPU alone.
func plain(cpu int64) Sizing {
	most := resource.Uniform(resource.Unlimited)
	most[resource.CPU] = cpu
	return NewSizing(proto.Standard, proto.InstanceType{Max: most}, proto.Application{}, proto.DefaultPolicy())
}

func TestAnAllocationRisesAStepEarlyMemoryAnHourAndItStaysAWhile(t *testing.T) {
	f := stepped(grid, 40, []int{500, 950}, func(i, _ int) resource.Vector {
		if i == 20 {
			return resource.Vector{resource.CPU: 2000, resource.Memory: 300 << 20, resource.ReadIOPS: 10}
		}
		return resource.Vector{resource.CPU: 1000, resource.Memory: 100 << 20, resource.ReadIOPS: 10}
	})
	a, cut := plain(resource.Unlimited).Allocation(f)
	if !cut.IsZero() {
		t.Errorf("cut off are %s", cut)
	}
	// A twentieth more, and where that is little an amount: 10 operations, 8 MiB.
	for i, want := range map[int][2]int64{7: {1050, 108}, 8: {1050, 315}, 18: {1050, 315}, 19: {2100, 315}, 20: {2100, 315}, 21: {1050, 315}, 22: {1050, 108}} {
		got, _ := a.At(begin.Add(time.Duration(i) * grid))
		if got[resource.CPU] != want[0] || got[resource.Memory] != want[1]<<20 || got[resource.ReadIOPS] != 15 {
			t.Errorf("step %d: %s, want %d of CPU and %d MiB", i, got, want[0], want[1])
		}
	}
}

func TestWhatIsKeptWithoutAScheduleIsTheHighOfADay(t *testing.T) {
	f := stepped(time.Hour, 48, []int{500, 950, 990}, func(i, q int) resource.Vector {
		cpu := map[int]int64{500: 100, 950: 200, 990: 5000}[q]
		if q == 950 && i == 20 {
			cpu = 700
		}
		if q == 950 && i == 30 { // tomorrow
			cpu = 900
		}
		return resource.Vector{resource.CPU: cpu}
	})
	s := plain(resource.Unlimited)
	if got := s.Safe(f); got[resource.CPU] != 700 || got[resource.Memory] != s.Floor[resource.Memory] {
		t.Errorf("%s", got)
	}
}

func TestAFloorIsTheMostOfWhatIsStatedWithinTheType(t *testing.T) {
	most := resource.Uniform(resource.Unlimited)
	most[resource.ReadIOPS] = 4
	floor := func(app proto.Application) resource.Vector {
		return NewSizing(proto.Standard, proto.InstanceType{Max: most}, app, proto.DefaultPolicy()).Floor
	}
	least := leastFloor
	least[resource.ReadIOPS] = 4
	if got := floor(proto.Application{}); got != least {
		t.Errorf("nothing is stated: %s", got)
	}
	stated := least
	stated[resource.CPU], stated[resource.Memory] = 300, 128<<20
	if got := floor(proto.Application{Floor: resource.Vector{resource.CPU: 300, resource.WriteIOPS: 1}, MemoryFloor: 128 << 20}); got != stated {
		t.Errorf("%s, want %s", got, stated)
	}
	if got := floor(proto.Application{Floor: resource.Vector{resource.Memory: 256 << 20}, MemoryFloor: 128 << 20}); got[resource.Memory] != 256<<20 {
		t.Errorf("%s", got)
	}
}

func TestWhereNothingIsKnownTheTypesMaximumStandsInAndElseTheFloor(t *testing.T) {
	s := plain(1000)
	f := s.Cold(timeline.Span{Start: begin, End: begin.Add(48 * time.Hour)})
	want := s.Floor
	want[resource.CPU] = 1000
	for _, q := range []int{500, 990} {
		if got, _ := f.At(q).At(begin.Add(47 * time.Hour)); got != want || !f.Cold {
			t.Errorf("at %d: %s, want %s", q, got, want)
		}
	}
}

// tailed is a forecast of two days in which the quantiles of CPU are always those.
func tailed(p50, p90, p95, p99 int64) proto.ForecastReply {
	return stepped(grid, GridSteps, []int{500, 900, 950, 990}, func(_, q int) resource.Vector {
		return resource.Vector{resource.CPU: map[int]int64{500: p50, 900: p90, 950: p95, 990: p99}[q]}
	})
}

// pooled returns the first segment of what is held for a forecast, and the whole.
func pooled(s Sizing, f proto.ForecastReply) (proto.Segment, proto.Envelope) {
	allocation, _ := s.Allocation(f)
	e := s.Envelope(allocation, f)
	return e[0], e
}

func TestADeviationIsHeldInTwoPartsOfIndependentCauses(t *testing.T) {
	s, f := plain(resource.Unlimited), tailed(1000, 1300, 1400, 1600)
	s.Common[resource.CPU] = 60
	seg, _ := pooled(s, f)
	want := bandOf(f).over(timeline.Span{Start: begin, End: begin.Add(grid)})
	own, common := float64(seg.Own[resource.CPU]), float64(seg.Common[resource.CPU])
	if sigma := want.sigma[resource.CPU]; math.Abs(math.Hypot(own, common)-sigma) > .01*sigma || math.Abs(common-.6*sigma) > 1.5 {
		t.Errorf("own %.0f and common %.0f of %.0f", own, common, sigma)
	}
	if got := float64(seg.Firm[resource.CPU] + seg.Mean[resource.CPU]); seg.Firm[resource.CPU] != s.Floor[resource.CPU] || math.Abs(got-want.mean[resource.CPU]) > 2 {
		t.Errorf("%.0f is expected of %.0f", got, want.mean[resource.CPU])
	}
}

func TestNoMoreIsHeldThanIsAllocatedAndNobodyIsPromisedMoreThanTheType(t *testing.T) {
	// Once in a hundred steps it takes a hundred cores: what is expected is more than the quantile that is allocated.
	if seg, _ := pooled(plain(resource.Unlimited), tailed(100, 200, 300, 100_000)); seg.Firm[resource.CPU]+seg.Mean[resource.CPU] != 315 || seg.Own[resource.CPU] != 0 || seg.Common[resource.CPU] != 0 {
		t.Errorf("%+v", seg)
	}
	_, e := pooled(plain(1200), tailed(1000, 1100, 3000, 5000))
	if got := Promised(e).MaxOver(timeline.Span{Start: begin, End: timeline.Forever})[resource.CPU]; got > 1200 || got < 1150 {
		t.Errorf("%d are promised of 1200", got)
	}
}

func TestASegmentExpectsWhatTheNextStepBringsAsItsAllocationDoes(t *testing.T) {
	f := stepped(time.Hour, 48, []int{500, 950}, func(i, _ int) resource.Vector {
		return resource.Vector{resource.CPU: int64(100 + 200*min(i, 4))}
	})
	seg, _ := pooled(plain(resource.Unlimited), f)
	if got := seg.Firm[resource.CPU] + seg.Mean[resource.CPU]; seg.End != begin.Add(time.Hour) || got != 300 {
		t.Errorf("until %s %d are expected", seg.End, got)
	}
}

func TestADayThatIsNoWholeNumberOfStepsCountsByTime(t *testing.T) {
	const step = 50 * time.Minute
	f := stepped(step, 40, []int{500}, func(i, _ int) resource.Vector {
		if i == 39 {
			return resource.Vector{resource.CPU: 10_000}
		}
		return resource.Vector{resource.CPU: 100}
	})
	// The last is in a step of the day and in the forty minutes that are left.
	got := bandOf(f).within(lastDay(f.At(500)), step, resource.Vector{}).mean[resource.CPU]
	if want := (1350*100 + 90*10_000) / 1440.; math.Abs(got-want) > .01 {
		t.Errorf("the mean of the day is %.2f, want %.2f", got, want)
	}
}

func TestWhatIsExpectedBeyondTheForecastIsNoMoreThanIsPromisedInItsLastDay(t *testing.T) {
	s := NewSizing(proto.BestEffort, proto.InstanceType{Max: resource.Uniform(11)}, proto.Application{}, proto.DefaultPolicy())
	// One step has an allocation that is hardly expected to be used, another is expected to be over its own.
	f := stepped(grid, 37, []int{500, 950}, func(i, q int) resource.Vector {
		switch {
		case i == 34:
			return resource.Uniform(6)
		case i == 36 && q == 950:
			return resource.Uniform(37)
		}
		return resource.Vector{}
	})
	_, e := pooled(s, f)
	last := Promised(e[:len(e)-1]).MaxOver(lastDay(f.At(500)))
	if got := Promised(e[len(e)-1:])[0].Amount; !got.Fits(last) {
		t.Errorf("%s of at most %s", got, last)
	}
}

func TestWhatBeginsWhereTheForecastEndsIsHeldAsThroughItsLastDay(t *testing.T) {
	s := plain(1000)
	f := stepped(time.Hour, 30, []int{500, 950}, func(_, q int) resource.Vector { return resource.Vector{resource.CPU: 300 + int64(q-500)/5} })
	end := f.At(500).Span().End
	// A move at the last start that there is: little while its data are copied, then all.
	allocation := timeline.Profile{
		{Span: timeline.Span{Start: end, End: end.Add(grid)}, Amount: s.Floor},
		{Span: timeline.Span{Start: end.Add(grid), End: end.Add(4 * grid)}, Amount: resource.Vector{resource.CPU: 400}.Max(s.Floor)},
	}
	e := s.Envelope(allocation, f)
	for i, at := range []timeline.Time{end.Add(2 * grid), end.Add(24 * time.Hour)} {
		if v, ok := e.Expected().At(at); !ok || v[resource.CPU] < 300 || v[resource.CPU] > 400 {
			t.Errorf("%d: %d of CPU are expected, of 300 that always were: %+v", i, v[resource.CPU], e)
		}
	}
	if v, _ := e.Expected().At(end); v[resource.CPU] != s.Floor[resource.CPU] {
		t.Errorf("%d of CPU are expected while data are copied", v[resource.CPU])
	}
}
