package forecast

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
)

// policy is what a pattern decides, once it is sure. Members that earn nothing for it are left out: that is quicker, and one
// member less may be lucky for a while.
type policy struct {
	without []string // members that are left out
	with    []string // members that are there for it alone
	// ownAfter is how much history speaks for itself: from then on twice the highest value seen stands in, where that is less than the
	// type's maximum. 0 means a day.
	ownAfter time.Duration
	// noFloor lets the first hour's upper quantiles fall below the last hour: what bursts does not stay.
	noFloor bool
}

// policies are what was better on traces of virtual machines, or no worse and quicker. Patterns that are not here leave all as it is.
// In the day after ownAfter less than one step in a hundred passed twice the highest value.
func policies() map[pattern.Pattern]policy {
	const half, most = 12 * time.Hour, 18 * time.Hour
	trend := []string{"holt-winters", "theta"}
	week := []string{"same-time-last-week", "week-profile-level"}
	return map[pattern.Pattern]policy{
		pattern.Idle:         {with: []string{sporadicName}, without: trend, ownAfter: most, noFloor: true},
		pattern.Steady:       {ownAfter: most, noFloor: true},
		pattern.Periodic:     {ownAfter: half},
		pattern.Bursty:       {with: []string{sporadicName}, without: slices.Concat(trend, week), ownAfter: half, noFloor: true},
		pattern.Intermittent: {with: []string{sporadicName}, without: slices.Concat(trend, week), ownAfter: most, noFloor: true},
		pattern.Batch:        {without: trend, ownAfter: half},
	}
}

// idleShare is the share of what the type grants that a steady demand has to stay below to be called idle.
const idleShare = .02

// pattern tells how the demand on the grid runs: of steady demand the instance type's maximum, where one is known, says whether that is idle.
func (g *grid) pattern(maximum float64) (pattern.Pattern, float64) {
	p, sure := pattern.Of(g.y, g.day)
	if p != pattern.Steady || maximum < 2 { // a thousandth, or a byte, is no type's
		return p, sure
	}
	for _, v := range g.y {
		if v > idleShare*maximum {
			return p, sure
		}
	}
	return pattern.Idle, sure
}

// policyOf returns that of a pattern of which so much is certain.
func policyOf(p pattern.Pattern, confidence float64) policy {
	if confidence >= pattern.Sure {
		return policies()[p]
	}
	return policy{}
}

// takes reports whether a candidate is in the portfolio of a grid with so many steps an hour, if all may be that suit them.
func (p policy) takes(c candidate, hour int) bool {
	if c.name == sporadicName {
		return slices.Contains(p.with, c.name)
	}
	return c.on.has(hour) && !slices.Contains(p.without, c.name)
}

// note says what the policy of a pattern changes on a grid with so many steps an hour; "" where it changes nothing.
func (p policy) note(of pattern.Pattern, hour int) string {
	var parts, without []string
	for _, c := range candidates() {
		if c.on.has(hour) && slices.Contains(p.without, c.name) {
			without = append(without, c.name)
		}
	}
	if len(p.with) > 0 {
		parts = append(parts, strings.Join(p.with, ", ")+" is one of them")
	}
	if len(without) > 0 {
		parts = append(parts, "without "+strings.Join(without, ", "))
	}
	if p.noFloor {
		parts = append(parts, "the last hour is no floor")
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("; as it is %s, %s", of, strings.Join(parts, ", "))
}
