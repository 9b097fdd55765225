package replan

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/planner/plannertest"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const grid = 5 * time.Minute

// drawn draws an instance's sizing, and what it should hold by a forecast from begin on.
func drawn(t *rapid.T, begin timeline.Time) Want {
	const most = 1 << 44 // far above a link's bits in a second
	class := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "class")
	kind := proto.InstanceType{Max: resource.Uniform(rapid.Int64Range(1, 1<<45).Draw(t, "max"))}
	w := Want{Sizing: planner.NewSizing(class, kind, proto.Application{}, proto.DefaultPolicy()), Forecast: plannertest.Forecast(t, begin, grid, most)}
	for k := range w.Sizing.Common {
		w.Sizing.Common[k] = rapid.IntRange(0, 100).Draw(t, "common")
	}
	w.Allocation, _ = w.Sizing.Allocation(w.Forecast)
	w.Envelope = w.Sizing.Envelope(w.Allocation, w.Forecast)
	return w
}

func TestAReservationThatHasJustBeenRevisedIsLeftAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const begin, most = timeline.Time(0), 1 << 44
		w := drawn(t, begin)
		if err := w.Envelope.Valid(w.Sizing.Class); err != nil {
			t.Fatal(err)
		}
		w.Reservation = proto.Reservation{Envelope: w.Envelope, ChangedAt: begin}
		if why := outgrown(&w, begin, grid); why != fine {
			t.Fatalf("it is revised again at once: %d", why)
		}
		for _, s := range planner.Promised(w.Envelope) {
			if !s.Amount.Fits(w.Sizing.Type) {
				t.Fatalf("%v is held of a type of at most %v", s.Amount, w.Sizing.Type)
			}
		}
		for n := range w.Allocation {
			w.Allocation[n].Amount = w.Allocation[n].Amount.Add(resource.Uniform(4 * most))
		}
		w.Sizing.Type = resource.Uniform(resource.Unlimited)
		w.Envelope = w.Sizing.Envelope(w.Allocation, w.Forecast)
		if outgrown(&w, begin, grid) != urgent {
			t.Fatal("a larger allocation is no reason to revise")
		}
	})
}

// dumb decides by every instant of the grid.
func dumb(w *Want, now timeline.Time) cause {
	held, best := planner.Promised(w.Reservation.Envelope), planner.Promised(w.Envelope)
	since := now.Sub(w.Reservation.ChangedAt)
	span := w.Allocation.Span()
	var leaves, soon bool
	var most, much resource.Vector
	for at := span.Start; at < span.End; at = at.Add(grid) {
		want, _ := w.Allocation.At(at)
		has, _ := held.At(at)
		could, _ := best.At(at)
		most, much = most.Max(has), much.Max(want)
		for k := range want {
			need := min(w.Sizing.Enough(want)[k], could[k])
			leaves = leaves || need > has[k]
			soon = soon || need > has[k] && at < now.Add(soonSteps*grid)
		}
	}
	switch {
	case soon:
		return urgent
	case leaves && since >= reviseRise*grid:
		return left
	case since < reviseEvery*grid:
		return fine
	}
	for k := range most {
		if most[k] > 0 && (most[k]-much[k])*100/most[k] >= reviseGap {
			return vain
		}
	}
	if since >= planner.GridSteps/2*grid {
		return old
	}
	return fine
}

// critical returns what a critical instance should hold that is allocated so much CPU time, in each span of so many steps.
func critical(begin timeline.Time, each int, amounts ...int64) Want {
	w := Want{Sizing: planner.NewSizing(proto.Critical, proto.InstanceType{Max: resource.Uniform(1 << 40)}, proto.Application{}, proto.DefaultPolicy())}
	for i, n := range amounts {
		start := begin.Add(time.Duration(i*each) * grid)
		amount := w.Sizing.Floor
		amount[resource.CPU] = n
		w.Allocation = append(w.Allocation, timeline.Step{Span: timeline.Span{Start: start, End: start.Add(time.Duration(each) * grid)}, Amount: amount})
	}
	w.Envelope = w.Sizing.Envelope(w.Allocation, proto.ForecastReply{})
	return w
}

func TestOutgrownIsAsEveryInstantHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := timeline.Time(0)
		amount := rapid.SampledFrom([]int64{100, 102, 103, 110, 200, 390, 400})
		before := critical(begin, 4, rapid.SliceOfN(amount, 6, 6).Draw(t, "before")...)
		w := critical(begin, 4, rapid.SliceOfN(amount, 6, 6).Draw(t, "now")...)
		changed := begin.Add(-grid * time.Duration(rapid.SampledFrom([]int{0, 1, 11, 12, 287, 288}).Draw(t, "steps ago")))
		w.Reservation = proto.Reservation{Envelope: before.Envelope, ChangedAt: changed}
		got, want := outgrown(&w, begin, grid), dumb(&w, begin)
		if got != want {
			t.Fatalf("cause %d, by every instant %d", got, want)
		}
	})
}

func TestWhyAReservationIsRevised(t *testing.T) {
	begin := timeline.Time(1e12).Floor(grid)
	for name, c := range map[string]struct {
		before, now []int64
		steps       int // since it was revised
		want        cause
	}{
		"as forecast":                      {[]int64{200, 200}, []int64{200, 200}, 287, fine},
		"too much by less than a fifth":    {[]int64{200, 200}, []int64{161, 161}, 12, fine},
		"too much, just revised":           {[]int64{200, 200}, []int64{160, 160}, 11, fine},
		"too much":                         {[]int64{200, 200}, []int64{160, 160}, 12, vain},
		"much later, though":               {[]int64{200, 200}, []int64{20, 200}, 12, fine},
		"half of the margin":               {[]int64{200, 200}, []int64{200, 205}, 12, fine},
		"more later":                       {[]int64{200, 200}, []int64{200, 206}, 1, left},
		"more later, just revised":         {[]int64{200, 200}, []int64{200, 206}, 0, fine},
		"more now, just revised":           {[]int64{200, 200}, []int64{206, 200}, 0, urgent},
		"the fine part of it has run out":  {[]int64{200, 200}, []int64{200, 200}, 288, old},
		"more now, and too much in others": {[]int64{200, 400}, []int64{300, 200}, 288, urgent},
	} {
		before, w := critical(begin, 4, c.before...), critical(begin, 4, c.now...)
		w.Reservation = proto.Reservation{Envelope: before.Envelope, ChangedAt: begin.Add(-time.Duration(c.steps) * grid)}
		if got := outgrown(&w, begin, grid); got != c.want {
			t.Errorf("%s: cause %d, want %d", name, got, c.want)
		}
	}
}

func TestWhatIsLeftAloneStillHoldsTheForecast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := planner.NewSizing(proto.Critical, proto.InstanceType{Max: resource.Uniform(1 << 40)}, proto.Application{}, proto.DefaultPolicy())
		start, v := timeline.Time(0), resource.Uniform(rapid.Int64Range(0, 1<<38).Draw(t, "forecast"))
		f := proto.ForecastReply{Start: start, Step: grid.Milliseconds(), Quantiles: []int{990}, Profiles: []timeline.Profile{timeline.Flat(planner.Grid(start, grid), v)}}
		allocation, _ := s.Allocation(f)
		if enough := s.Enough(allocation[0].Amount); !v.Fits(enough) || !enough.Fits(allocation[0].Amount) || !s.Floor.Fits(enough) {
			t.Fatalf("%v is forecast, %v is enough of %v", v, enough, allocation[0].Amount)
		}
	})
}

func TestTurnsComeOneAfterTheOtherAndNotAllAtOnce(t *testing.T) {
	const whole = turnSteps * grid
	begun := map[timeline.Time]int{}
	for n := range 1000 {
		host := string(rune('a'+n%26)) + time.Duration(n).String()
		now := timeline.Time(1e12)
		began := Turn(host, now, grid)
		if began > now || now.Sub(began) >= whole || Turn(host, began, grid) != began || Turn(host, began.Add(whole), grid) != began.Add(whole) || Turn(host, began.Add(whole-1), grid) != began {
			t.Fatalf("the turn of %s began at %s", host, began)
		}
		begun[began.Floor(whole/10)]++
	}
	for at, n := range begun {
		if n > 200 {
			t.Errorf("%d of 1000 turns begin in the tenth of a turn from %s on", n, at)
		}
	}
}
