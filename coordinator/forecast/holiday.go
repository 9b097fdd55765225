package forecast

import (
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Holiday is the kind of events on whose days demand is expected to run as on a Sunday, until enough of them have been seen to say what they do.
const Holiday = "holiday"

// holidayWords are further names of that kind, as calendars have them.
var holidayWords = []string{Holiday, "holidays", "public-holiday", "public-holidays", "bank-holiday", "bank-holidays"}

// IsHoliday reports whether a kind of event is that of holidays.
func IsHoliday(kind string) bool { return slices.Contains(holidayWords, kind) }

// Days that are alike: working days, Saturdays, Sundays.
const (
	workday = iota
	saturday
	sunday
	dayClasses
)

// hours is the mean of each hour of the day.
type hours [24]float64

// sundays is how much more a Sunday has than a day of another class at each hour of the day, in the history's time zone.
type sundays struct {
	loc  *time.Location
	more [dayClasses]hours
}

const (
	leastDay     = 12 * time.Hour // of a day that has to be known for it to count
	holidayDoubt = .5             // deviation of what a holiday does from what a Sunday does, in shares of that, before one has been seen
)

func classOf(d time.Weekday) int {
	switch d {
	case time.Saturday:
		return saturday
	case time.Sunday:
		return sunday
	}
	return workday
}

// learnSundays compares the history's days. Where a Sunday differs by no more than chance it is as any other: the differences of all hours together are drawn towards
// 0 by how much of them the noise of such means explains (James and Stein). nil: there is no Sunday, or nothing to compare it with.
func (g *grid) learnSundays(loc *time.Location) *sundays {
	var sum, square, n [dayClasses]hours
	add := func(class int, values hours, known [24]int) {
		for h, v := range values {
			if known[h] > 0 {
				v /= float64(known[h])
				sum[class][h] += v
				square[class][h] += v * v
				n[class][h]++
			}
		}
	}
	var values hours
	var known [24]int
	steps, last, class := 0, -1, 0
	end := func() {
		if time.Duration(steps)*g.step >= leastDay {
			add(class, values, known)
		}
		values, known, steps = hours{}, [24]int{}, 0
	}
	for i, v := range g.y {
		local := g.timeOf(i).Std().In(loc)
		if d := local.YearDay(); d != last {
			end()
			last, class = d, classOf(local.Weekday())
		}
		if !math.IsNaN(v) {
			for h := range max(1, int(g.step/time.Hour)) { // a long step tells of each of its hours
				values[(local.Hour()+h)%24] += v
				known[(local.Hour()+h)%24]++
			}
			steps++
		}
	}
	end()
	out := &sundays{loc: loc}
	found := false
	for class := range sunday {
		var more hours
		signal, noise := 0.0, 0.0
		for h := range more {
			a, b := n[sunday][h], n[class][h]
			if a < 1 || b < 1 || a+b < 3 {
				continue
			}
			ma, mb := sum[sunday][h]/a, sum[class][h]/b
			more[h] = ma - mb
			// Deviations within a class, of both together: there are few Sundays.
			within := max(0, square[sunday][h]-a*ma*ma+square[class][h]-b*mb*mb) / (a + b - 2)
			signal += more[h] * more[h]
			noise += within * (1/a + 1/b)
		}
		if signal <= noise || signal == 0 {
			continue
		}
		found = true
		for h := range more {
			out.more[class][h] = more[h] * (1 - noise/signal)
		}
	}
	if !found {
		return nil
	}
	return out
}

// at returns how much more a Sunday has than the day at t; 0 where that is not known. From one hour to the next it goes straight.
func (s *sundays) at(t timeline.Time) float64 {
	if s == nil {
		return 0
	}
	local := t.Std().In(s.loc)
	hour := float64(local.Hour()) + float64(local.Minute())/60 - .5
	at := int(math.Floor(hour))
	part := hour - float64(at)
	more := s.more[classOf(local.Weekday())]
	return (1-part)*more[(at+24)%24] + part*more[(at+1)%24]
}

// drawn returns what a holiday does at t, expectation and deviation, of what its kind was seen to do and of what a Sunday does, which counts as one more occurrence.
func (s *sundays) drawn(k *kindEffect, t timeline.Time, mean, spread float64) (float64, float64) {
	prior, n := s.at(t), float64(k.occurrences)
	return (prior + n*mean) / (1 + n), max(spread, holidayDoubt*math.Abs(prior)/math.Sqrt(1+n))
}
