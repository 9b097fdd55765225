package traces

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// moment is the pattern at one step: 0 swing and level 1 is the base.
type moment struct {
	swing float64 // in swings
	level float64 // factor
}

// load returns the pattern at each of n steps.
func (s Spec) load(n int, r *rand.Rand) []moment {
	out := make([]moment, n)
	burst := 0.0
	fade := math.Exp2(-float64(s.Step) / float64(20*time.Minute))
	for i := range out {
		local := s.time(i).Std().In(s.Location)
		hour := float64(local.Hour()) + float64(local.Minute())/60 + float64(local.Second())/3600
		progress := float64(i) / float64(n)
		m := moment{season(hour, local.Weekday()), 1}
		switch s.Pattern {
		case Daily:
		case Bursty:
			burst *= fade
			if r.Float64() < float64(s.Step)/float64(4*time.Hour) { // one in four hours
				burst += r.ExpFloat64() * 3
			}
			m.swing = burst
		case Shift:
			if progress >= s.ShiftAt {
				m.level = s.ShiftBy
			}
		case Batch:
			m.swing = 0
			if hour >= batchHour && hour < batchHour+1.5 {
				m.swing = 8
			}
		case Idle:
			m = moment{0, .1}
		case Trend:
			m.level = 1 + progress
		}
		out[i] = m
	}
	return out
}

// season is a day with its height in the early afternoon, two thirds as strong at weekends; its mean is about 0.
func season(hour float64, weekday time.Weekday) float64 {
	v := math.Cos(2 * math.Pi * (hour - busiestHour) / 24)
	v += .25 * math.Cos(4*math.Pi*(hour-busiestHour)/24)
	if weekday == time.Saturday || weekday == time.Sunday {
		return v*2/3 - .2
	}
	return v
}

// campaign returns the height of all campaigns at t together: each rises within its first tenth and falls in its last.
func (s Spec) campaign(t timeline.Time) float64 {
	sum := 0.0
	for _, c := range s.Campaigns {
		at := float64(t.Sub(c.Start)) / float64(c.Length)
		if at < 0 || at >= 1 {
			continue
		}
		sum += c.Size * min(1, .5+5*at, .5+5*(1-at))
	}
	return sum
}

// gaps returns which steps are missing.
func (s Spec) gaps(n int, r *rand.Rand) []bool {
	out := make([]bool, n)
	if s.Missing == 0 {
		return out
	}
	hour := max(1, int(time.Hour/s.Step))
	for i := 0; i < n; i += hour {
		if r.Float64() >= s.Missing {
			continue
		}
		for j := i; j < min(n, i+hour); j++ {
			out[j] = true
		}
	}
	return out
}
