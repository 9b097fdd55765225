package forecast

import (
	"math"
	"time"
)

// Rolling evaluation: every member forecasts from past origins what is known by now. Long origins lie whole days before
// the end, at the time of day that is forecast from; short ones lie closer together and tell of the first hours.
const (
	longOrigins   = 14 // days back; twice as many on coarse steps, which are few
	coarse        = 6  // steps per hour, fewer than which are called so
	shortDays     = 7
	shortPerDay   = 8
	shortHorizon  = 6 * time.Hour
	longHorizon   = 48 * time.Hour
	minOriginPast = time.Hour // history that an origin must have before it
)

// bucketEnds are the ends of the horizon buckets; the last bucket reaches on.
func bucketEnds() [buckets]time.Duration {
	return [buckets]time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, longHorizon}
}

const buckets = 4

// bucketOf returns the bucket of the model step h steps after the origin.
func bucketOf(h int, step time.Duration) int {
	for b, end := range bucketEnds() {
		if time.Duration(h)*step < end {
			return b
		}
	}
	return buckets - 1
}

// evidence is what the members said about one bucket, point by point, and what was.
type evidence struct {
	y       []float64     // what was observed
	fresh   []float64     // what the point counts in a member's loss of an outer quantile, by its age
	lasting []float64     // the same of a middle quantile
	counts  []float64     // what it counts in the errors of an outer quantile: on coarse steps, which are few, all alike
	fine    bool          // steps are not coarse
	days    float64       // of history that there were origins in, and points of
	mute    []bool        // [member]: it has nothing to say, and was not asked
	said    [][][]float64 // [member][quantile, or 0 for all][point]

	errs  []counted // to work on: of one member and path
	plain []float64
}

// origin is a place to forecast from, and the horizons to look at.
type origin struct {
	at       int
	horizons []int
}

// origins returns the rolling origins of the grid.
func (g *grid) origins() []origin {
	if g.rolling == nil {
		g.rolling = g.findOrigins()
	}
	return g.rolling
}

func (g *grid) findOrigins() []origin {
	n := len(g.x)
	first := max(1, min(g.day, n/2), int(minOriginPast/g.step))
	long, short := int(longHorizon/g.step), max(1, int(shortHorizon/g.step))
	days := longOrigins
	if g.hour < coarse {
		days *= 2
	}
	var out []origin
	for k := days; k >= 1; k-- {
		if o := n - k*g.day; o >= first {
			out = append(out, origin{o, g.horizons(short, min(long, n-o), k)})
		}
	}
	every := max(1, min(g.day/shortPerDay, n/(2*shortPerDay)))
	for k := shortDays * shortPerDay; k >= 1; k-- {
		if o := n - k*every; o >= first {
			out = append(out, origin{o, g.horizons(0, min(short, n-o), k)})
		}
	}
	return out
}

// readFrom returns the first step that a path from one of the origins, or from the end, reads of what is kept by the time of day: with changes of daylight
// saving time, less than two days before the first.
func (g *grid) readFrom(origins []origin) int {
	first := len(g.x)
	for _, o := range origins {
		first = min(first, o.at)
	}
	return max(0, first-2*g.day)
}

// horizons returns which of the steps from lo to hi after an origin are looked at: all of the first hour, then every
// fifth and beyond a day every sixth, beginning elsewhere for each origin.
func (g *grid) horizons(lo, hi, turn int) []int {
	var out []int
	for h := lo; h < hi; h++ {
		stride := [buckets]int{1, 5, 5, 6}[bucketOf(h, g.step)]
		if g.hour < coarse {
			stride = 1
		}
		if (h+turn)%stride == 0 {
			out = append(out, h)
		}
	}
	return out
}

// evaluate lets the members forecast from every origin.
func (g *grid) evaluate(members []chosen, quantiles int) [buckets]evidence {
	origins := g.origins()
	var points [buckets]int
	for _, o := range origins {
		for _, h := range o.horizons {
			points[bucketOf(h, g.step)]++
		}
	}
	muted := mute(members)
	var ev [buckets]evidence
	for b := range ev {
		ev[b].fine, ev[b].mute = g.hour >= coarse, muted
		ev[b].y = make([]float64, 0, points[b])
		ev[b].fresh, ev[b].lasting = make([]float64, 0, points[b]), make([]float64, 0, points[b])
		ev[b].counts = make([]float64, 0, points[b])
		ev[b].said = make([][][]float64, len(members))
		for i, m := range members {
			if muted[i] {
				continue
			}
			ev[b].said[i] = make([][]float64, m.paths(quantiles))
			for p := range ev[b].said[i] {
				ev[b].said[i][p] = make([]float64, 0, points[b])
			}
		}
	}
	var with [buckets][]bool // days before the end that there are points of
	for b := range with {
		with[b] = make([]bool, len(g.x)/g.day+1)
	}
	type place struct{ h, bucket int }
	var seen []place
	path := make([]float64, int(longHorizon/g.step)+1)
	for _, o := range origins {
		seen = seen[:0]
		for _, h := range o.horizons {
			if y := g.y[o.at+h]; !math.IsNaN(y) {
				b := bucketOf(h, g.step)
				ev[b].y = append(ev[b].y, y)
				with[b][(len(g.x)-1-o.at-h)/g.day] = true
				age := float64(len(g.y)-o.at-h) / float64(g.day)
				fresh := math.Exp2(-age / preferenceFor(1, ev[b].fine).halfLife)
				ev[b].fresh = append(ev[b].fresh, fresh)
				if !ev[b].fine {
					fresh = 1
				}
				ev[b].counts = append(ev[b].counts, fresh)
				ev[b].lasting = append(ev[b].lasting, math.Exp2(-age/preferenceFor(.5, ev[b].fine).halfLife))
				seen = append(seen, place{h, b})
			}
		}
		if len(seen) == 0 {
			continue
		}
		reach := seen[len(seen)-1].h + 1
		for i, m := range members {
			if muted[i] {
				continue
			}
			for qi := range m.paths(quantiles) {
				m.path(path[:reach], o.at, qi)
				for from := 0; from < len(seen); {
					b := seen[from].bucket
					said := ev[b].said[i][qi]
					for ; from < len(seen) && seen[from].bucket == b; from++ {
						said = append(said, path[seen[from].h])
					}
					ev[b].said[i][qi] = said
				}
			}
		}
	}
	for b := range ev {
		if len(origins) > 0 { // the last bucket has no point of the last day but one
			seen := 1.0
			for _, points := range with[b] {
				if points {
					seen++
				}
			}
			ev[b].days = min(float64(len(g.x)-origins[0].at)/float64(g.day), seen)
		}
	}
	return ev
}

// paths returns how many different paths the member has for n quantiles.
func (c candidate) paths(n int) int {
	if c.byQuantile {
		return n
	}
	return 1
}

// pathOf returns which of them quantile qi is.
func (c candidate) pathOf(qi int) int {
	if c.byQuantile {
		return qi
	}
	return 0
}
