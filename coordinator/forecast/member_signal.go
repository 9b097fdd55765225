package forecast

import (
	"math"
	"slices"
)

// follower is a regression of demand on a signal: of what demand has over its mean day on what the signal has over its own, now and up to an
// hour before. What the signal is to have is known as far as demand lags behind it, and fades from there on, as far as it was seen to; what demand has that
// the signal does not explain fades, too. It is fitted by ridge regression, anew for each day of the history from what lies before it.
// Mean days are taken out first because nearly everything has one: what two series have in common by the time of day alone tells nothing of the next hour.
type follower struct {
	g      *grid
	day    seasonal  // mean day of demand
	over   []float64 // what demand has over it
	signal []float64 // what the signal has over its mean day
	level  []float64 // the same over the last minutes
	lags   []int
	fits   []followerFit
	decay  float64 // of what the signal does not explain, per step
	low    float64 // bounds of what is believed
	high   float64

	explained float64 // share of the demand's deviations from its mean day, at the end; 0 where too little is known
}

// followerFit is what was known after so many steps.
type followerFit struct {
	steps int
	beta  []float64 // per lag; nil: too little is known
	stays float64   // what is left of the signal's level after a step
}

const (
	followDays  = 2   // with both demand and signal that a fit needs
	followShare = .1  // of what demand has over its mean day that a signal has to explain
	followFresh = .25 // of an hour: the signal's level is that of so long
)

// follow is a member that follows a signal.
type follow struct {
	signal string
	member int // among the members
	each   float64
}

// each returns what one more of the signal goes with, now and in the hour after it together.
func (f *follower) each() float64 {
	sum := 0.0
	for _, b := range f.fits[len(f.fits)-1].beta {
		sum += b
	}
	return sum
}

// beside returns a signal that is on model steps already on those of g, with the events taken out; nil where it is not known of the last hour.
func (g *grid) beside(s Series, events []Event) *grid {
	out := &grid{start: g.start, step: g.step, day: g.day, hour: g.hour, wall: g.wall, y: make([]float64, len(g.x))}
	last := -1
	for i := range out.y {
		out.y[i] = math.NaN()
		if at := g.timeOf(i); at >= s.Start && at < s.End() {
			out.y[i] = s.Values[int(at.Sub(s.Start)/g.step)]
		}
		switch {
		case !math.IsNaN(out.y[i]):
			last = i
		case last >= 0 && i-last <= g.hour: // a scrape that failed is no news
			out.y[i] = out.y[last]
		}
	}
	if last < 0 || last < len(g.x)-g.hour {
		return nil
	}
	if masked, _ := out.outside(events); out.enough(masked) {
		out.y = masked
	}
	out.fill()
	return out
}

// newFollower returns nil where nothing is known of the signal.
func newFollower(g, signal *grid) *follower {
	if signal == nil {
		return nil
	}
	f := &follower{g: g, day: newDayProfile(g, nil).(seasonal), decay: halfLife(float64(g.day) / 2)}
	f.over = f.day.over()
	f.signal = newDayProfile(signal, nil).(seasonal).over()
	f.level = ewma(f.signal, followFresh*float64(g.hour))
	for _, share := range []float64{0, 1. / 12, 1. / 6, .25, 1. / 3, .5, .75, 1} {
		if lag := int(share * float64(g.hour)); !slices.Contains(f.lags, lag) {
			f.lags = append(f.lags, lag)
		}
	}
	f.explained = f.fit(signal)
	f.low, f.high = math.Inf(1), math.Inf(-1)
	for _, v := range g.x {
		f.low, f.high = min(f.low, v), max(f.high, v)
	}
	f.low, f.high = max(0, f.low-(f.high-f.low)/2), f.high+(f.high-f.low)/2
	return f
}

// fit solves for the coefficients at the end and at each whole day before it, and returns what share of the demand's deviations
// the last ones explain; 0 where too little is known. As of ridge, the normal equations grow step by step.
func (f *follower) fit(signal *grid) (explained float64) {
	n, p, first := len(f.over), len(f.lags), f.g.day+f.lags[len(f.lags)-1]
	gram, right, row := make([]float64, p*p), make([]float64, p), make([]float64, p)
	square, stays, stay := 0.0, 0.0, 0.0 // of deviations; of the level with what came an hour later, and by itself
	fade, weight := halfLife(ridgeMemory*float64(f.g.day)), 1.0
	rows, next := 0, n%f.g.day
	for i := 0; i <= n; i++ {
		if i == next {
			next += f.g.day
			fit := followerFit{steps: i}
			if rows >= followDays*f.g.day {
				fit.beta = solveRidge(gram, right)
			}
			if stay > 0 {
				fit.stays = math.Pow(min(max(stays/stay, 0), 1), 1/float64(f.g.hour))
			}
			f.fits = append(f.fits, fit)
		}
		if i == n {
			break
		}
		if i >= first && !math.IsNaN(f.g.y[i]) && !math.IsNaN(signal.y[i]) {
			rows++
			for k, lag := range f.lags {
				row[k] = f.signal[i-lag]
			}
			y := weight * f.over[i]
			square += y * f.over[i]
			for a, r := range row {
				right[a] += y * r
				r *= weight
				to := gram[a*p : a*p+a+1]
				for b := range to {
					to[b] += r * row[b]
				}
			}
			before := f.level[i-f.g.hour]
			stays += weight * before * f.signal[i]
			stay += weight * before * before
		}
		weight /= fade
	}
	beta := f.fits[len(f.fits)-1].beta
	if beta == nil || !(square > 0) {
		return 0
	}
	for a, x := range beta {
		explained += 2 * x * right[a] / square
		for b, y := range beta {
			explained -= x * y * gram[max(a, b)*p+min(a, b)] / square
		}
	}
	return explained
}

// at returns the newest fit that was known after so many steps.
func (f *follower) at(steps int) followerFit {
	for i := len(f.fits) - 1; i >= 0; i-- {
		if f.fits[i].steps <= steps {
			return f.fits[i]
		}
	}
	return followerFit{}
}

func (f *follower) path(dst []float64, o, _ int) {
	fit := f.at(o)
	ahead, level := make([]float64, len(dst)), f.level[o-1] // what the signal is to have over its mean day
	for h := range ahead {
		level *= fit.stays
		ahead[h] = level
	}
	explained := func(i int) float64 { // of step i, as far as it is known at o
		sum := 0.0
		for k, b := range fit.beta {
			if j := i - f.lags[k]; j >= o {
				sum += b * ahead[j-o]
			} else if j >= 0 {
				sum += b * f.signal[j]
			}
		}
		return sum
	}
	left := 0.0 // of the last hour, that the signal does not explain
	from := max(0, o-f.g.hour)
	for i := from; i < o; i++ {
		left += (f.over[i] - explained(i)) / float64(o-from)
	}
	f.g.sames(len(dst), o, f.g.day, f.day.margin, func(h, j int) {
		if j < 0 { // less than a day of history: nothing is over anything yet
			dst[h] = f.g.x[o-1]
			return
		}
		left *= f.decay
		dst[h] = min(max(f.day.at[j]+left+explained(o+h), f.low), f.high)
	})
}

// following tells what the signals say of the demand.
func (m *kindModel) following(quantiles []float64) []Following {
	middle := 0
	for qi, q := range quantiles {
		if math.Abs(q-.5) < math.Abs(quantiles[middle]-.5) {
			middle = qi
		}
	}
	var out []Following
	for _, f := range m.follows {
		out = append(out, Following{f.signal, f.each, m.blends[0].weight[middle][f.member], m.blends[1].weight[middle][f.member]})
	}
	return out
}
