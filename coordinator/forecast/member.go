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
	build      func(g *grid, quantiles []float64) member
}

// candidates returns all members. To add one: a file with its type, a line here.
func candidates() []candidate {
	return []candidate{
		{"last-hour", false, newLastHour},
		{"last-hour-peak", false, newLastHourPeak},
		{"smoothing-6h", false, newSmoothing6h},
		{"smoothing-2d", false, newSmoothing2d},
		{"same-time-yesterday", false, newYesterday},
		{"same-time-last-week", false, newLastWeek},
		{"day-profile", false, newDayProfile},
		{"day-median", false, newDayMedian},
		{"day-profile-level", false, newProfileLevel},
		{"week-profile-level", false, newWeekLevel},
		{"holt-winters", false, newHoltWinters},
		{"theta", false, newTheta},
		{"hour-quantile", true, newHourQuantile},
		{"quantile-1d", true, newQuantile1d},
		{"quantile-7d", true, newQuantile7d},
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

// portfolio builds the candidates that only names, or all.
func portfolio(g *grid, quantiles []float64, only []string) []chosen {
	var out []chosen
	for _, c := range candidates() {
		wanted := len(only) == 0
		for _, name := range only {
			wanted = wanted || name == c.name
		}
		if wanted {
			out = append(out, chosen{c, c.build(g, quantiles)})
		}
	}
	return out
}
