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
	coarse     bool // for coarse steps only, unless it is asked for: on fine ones it costs more than it earns
	build      func(g *grid, quantiles []float64) member
}

// candidates returns all members. To add one: a file with its type, a line here.
func candidates() []candidate {
	return []candidate{
		{"last-hour", false, false, newLastHour},
		{"last-hour-peak", false, false, newLastHourPeak},
		{"smoothing-6h", false, false, newSmoothing6h},
		{"smoothing-2d", false, false, newSmoothing2d},
		{"same-time-yesterday", false, false, newYesterday},
		{"same-time-last-week", false, false, newLastWeek},
		{"day-profile", false, false, newDayProfile},
		{"day-median", false, false, newDayMedian},
		{"day-profile-level", false, false, newProfileLevel},
		{"week-profile-level", false, false, newWeekLevel},
		{"holt-winters", false, false, newHoltWinters},
		{"theta", false, false, newTheta},
		{"ridge", false, true, newRidge},
		{"ridge-root", false, true, newRidgeRoot},
		{"ridge-day", false, true, newRidgeDay},
		{"ridge-day-root", false, true, newRidgeDayRoot},
		{"hour-quantile", true, false, newHourQuantile},
		{"quantile-1d", true, false, newQuantile1d},
		{"quantile-7d", true, false, newQuantile7d},
		{sporadicName, true, false, newSporadic},
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

// portfolio builds the candidates that only names, or all that suit the grid's step and the policy.
func portfolio(g *grid, quantiles []float64, only []string, p policy) []chosen {
	return portfolioOf(g, quantiles, only, p, func(int) bool { return true })
}

// portfolioOf builds those of them that count alone, by their place; the others are there without a member.
func portfolioOf(g *grid, quantiles []float64, only []string, p policy, counts func(i int) bool) []chosen {
	var out []chosen
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
			built.member = c.build(g, quantiles)
		}
		out = append(out, built)
	}
	return out
}
