package planner

import (
	"fmt"
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
				sum, steps = sum+float64(max(0, m.Amount[k]-tail.Firm[k])), steps+1
			}
			if room := allocation.MaxOver(lastDay(allocation))[k] - tail.Firm[k]; float64(n) < min(sum/steps, float64(room))-1-sum/steps*1e-9 || float64(n) > sum/steps+2+sum/steps*1e-9 {
				t.Fatalf("%d is the mean, expected is %v", n, sum/steps)
			}
		}
	})
}
