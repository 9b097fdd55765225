package forecast

// member is one forecasting method of the portfolio, fitted to one grid. It does not change once built, so that one model
// may be asked from several goroutines.
type member interface {
	// path fills dst with the expectation for steps o, o+1, …, read from the grid's steps before o only; o is at least 1.
	// qi is the index of the quantile that is meant; only members with byQuantile look at it.
	path(dst []float64, o, qi int)
}

// candidate is a member with what the portfolio has to know about it.
type candidate struct {
	name       string
	byQuantile bool // path differs by quantile
	on         steps
	build      func(g *grid, quantiles []float64) member
}

// steps are those that a member is for, unless it is asked for by its name: on others it costs more than it earns, or is lucky for a while
// and takes from what is better.
type steps uint8

const (
	anySteps steps = iota
	fineSteps
	coarseSteps
)

// has reports whether a grid with so many steps an hour has such steps.
func (s steps) has(hour int) bool {
	return s == anySteps || (s == coarseSteps) == (hour < coarse)
}

// candidates returns all members. To add one: a file with its type, a line here.
func candidates() []candidate {
	return []candidate{
		{"last-hour", false, anySteps, newLastHour},
		{"last-hour-peak", false, anySteps, newLastHourPeak},
		{"smoothing-6h", false, coarseSteps, newSmoothing6h},
		{"smoothing-2d", false, coarseSteps, newSmoothing2d},
		{"same-time-yesterday", false, anySteps, newYesterday},
		{"same-time-last-week", false, coarseSteps, newLastWeek},
		{"day-profile", false, coarseSteps, newDayProfile},
		{"day-median", false, coarseSteps, newDayMedian},
		{"day-profile-level", false, anySteps, newProfileLevel},
		{"week-profile-level", false, anySteps, newWeekLevel},
		{"cycle-median", false, fineSteps, newCycleMedian},
		{"holt-winters", false, anySteps, newHoltWinters},
		{"theta", false, coarseSteps, newTheta},
		{"ridge", false, coarseSteps, newRidge},
		{"ridge-root", false, coarseSteps, newRidgeRoot},
		{"ridge-day", false, coarseSteps, newRidgeDay},
		{"ridge-day-root", false, coarseSteps, newRidgeDayRoot},
		{"hour-quantile", true, anySteps, newHourQuantile},
		{"week-hour-quantile", true, fineSteps, newWeekHourQuantile},
		{"time-quantile", true, fineSteps, newTimeQuantile},
		{"minute-quantile", true, fineSteps, newMinuteQuantile},
		{"cycle-quantile", true, fineSteps, newCycleQuantile},
		{"like-now", true, fineSteps, newLikeNow},
		{"quantile-1d", true, anySteps, newQuantile1d},
		{"quantile-7d", true, coarseSteps, newQuantile7d},
		{sporadicName, true, anySteps, newSporadic},
	}
}

// MemberNames returns the names that Options.Members may hold.
func MemberNames() []string {
	var names []string
	for _, c := range candidates() {
		names = append(names, c.name)
	}
	return names
}

func isMember(name string) bool {
	for _, c := range candidates() {
		if c.name == name {
			return true
		}
	}
	return false
}

// chosen is a candidate that was built.
type chosen struct {
	candidate
	member
}

// grid returns what the candidate is built on: quantiles on what single steps of the forecast show, others on what they take on average.
func (c candidate) grid(g *grid) *grid {
	if c.byQuantile {
		return g
	}
	return g.level()
}

// silent reports whether the member has nothing of its own to say of this series.
func (c chosen) silent() bool {
	m, may := c.member.(interface{ silent() bool })
	return may && m.silent()
}

// mute returns which members are silent; none where all are: then what stands in for them is all there is.
func mute(members []chosen) []bool {
	out, all := make([]bool, len(members)), true
	for i, m := range members {
		out[i] = m.silent()
		all = all && out[i]
	}
	if all {
		clear(out)
	}
	return out
}

// portfolio builds the candidates that only names, or all that suit the grid's step and the policy.
func portfolio(g *grid, quantiles []float64, only []string, p policy) []chosen {
	return portfolioOf(g, quantiles, only, p, func(int) bool { return true })
}

// portfolioOf builds those of them that count alone, by their place; the others are there without a member.
func portfolioOf(g *grid, quantiles []float64, only []string, p policy, counts func(i int) bool) []chosen {
	var out []chosen
	level := g.level()
	level.from = g.from
	for _, c := range candidates() {
		wanted := len(only) == 0 && p.takes(c, g.hour)
		for _, name := range only {
			wanted = wanted || name == c.name
		}
		if !wanted {
			continue
		}
		built := chosen{candidate: c}
		if counts(len(out)) {
			built.member = c.build(c.grid(g), quantiles)
		}
		out = append(out, built)
	}
	return out
}
