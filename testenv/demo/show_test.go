//go:build linux

package demo

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/testenv/fleet"
)

func TestALimitThatRisesAfterTheLoadIsToldFromOneThatRisesBefore(t *testing.T) {
	came := time.Unix(1000, 0)
	const seconds = float64(time.Second)
	for name, c := range map[string]struct {
		limits map[int]float64 // cores, from so many seconds after the load came until the next
		held   float64
		rose   bool
		lead   float64 // seconds
	}{
		"before":                   {map[int]float64{-30: .2, -10: .9}, .9, true, 10},
		"before, and a step after": {map[int]float64{-30: .2, -10: .7, 2: 1}, .7, true, 10},
		"twice before":             {map[int]float64{-30: .2, -25: .4, -10: .9}, .9, true, 10},
		"after":                    {map[int]float64{-30: .2, 3: .9}, .2, true, -3},
		"twice after":              {map[int]float64{-30: .2, 3: .4, 5: .9}, .2, true, -3},
		"when all was over":        {map[int]float64{-30: .2, 25: .9}, .2, false, 0},
		"a little":                 {map[int]float64{-30: .2, -10: .25}, .25, false, 0},
		"never":                    {map[int]float64{-30: .2}, .2, false, 0},
		"never, and high":          {map[int]float64{-30: .9}, .9, false, 0},
		"after a fall":             {map[int]float64{-30: .9, -20: .3, 4: .9}, .3, true, -4},
	} {
		var samples []fleet.Sample
		limit := 0.
		for second := -30; second <= 30; second++ {
			if l, there := c.limits[second]; there {
				limit = l
			}
			samples = append(samples, fleet.Sample{At: came.Add(time.Duration(second) * time.Second), Present: true, Cores: limit})
		}
		held, r, rose := findRise(samples, came)
		if held != c.held || rose != c.rose || float64(r.lead) != c.lead*seconds {
			t.Errorf("%s: it was at %v, rose %v, %s before", name, held, rose, r.lead)
		}
	}
	if held, _, rose := findRise(nil, came); held != 0 || rose {
		t.Errorf("nobody looked, and it was at %v, rose %v", held, rose)
	}
}
