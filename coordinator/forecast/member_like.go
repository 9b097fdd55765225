package forecast

import "math"

// likeNow is, per quantile, what followed the times that were most like the one that is forecast from: by the mean of the last hour, that of
// the last day, and the time of day. (Analogues: Lorenz, Atmospheric predictability as revealed by naturally occurring analogues, Journal of
// the Atmospheric Sciences 1969; nearest neighbours: Yakowitz, Nearest-neighbour methods for time series analysis, 1987.)
type likeNow struct {
	g         *grid
	quantiles []float64
	hour, day []float64           // means of the last hour and day at each step
	followed  map[int][][]float64 // by the origin, for those that will be asked for: what followed, in one go for all quantiles
}

const (
	likeSamples = 3  // of steps that are taken together
	likeShare   = 24 // one in so many hours is like it
	likeSome    = 5  // one in so many says how far off hours are
	likeLeast   = 8
	likeDays    = 28
	likeSame    = 1e-9 // of the means, less than which is how they are rounded
	likeTime    = 2.   // what a day's distance in the time of day counts, relative to that of the means, which is from 0 to 1
)

func newLikeNow(g *grid, quantiles []float64) member {
	m := &likeNow{g: g, quantiles: quantiles, hour: trailing(g.level().x, g.hour), day: trailing(g.level().x, g.day), followed: map[int][][]float64{}}
	var origins []origin
	if g.from == 0 || g.from+2*g.day < len(g.x) { // else the end is all that is asked from
		origins = g.origins()
	}
	var s search
	for _, o := range origins {
		asked := g.from == 0 || o.at-2*g.day >= g.from
		if n := len(o.horizons); asked && n > 0 && m.followed[o.at] == nil { // of two that begin at a time the first is the longer
			m.followed[o.at] = m.after(o.at, o.horizons[n-1]+1, &s)
		}
	}
	m.followed[len(g.x)] = m.after(len(g.x), int(longHorizon/g.step), &s)
	return m
}

func (m *likeNow) path(dst []float64, o, qi int) {
	followed := m.followed[o]
	for b, from := 0, 0; from < len(dst); b++ {
		if b == len(followed) {
			if followed = m.after(o, len(dst), &search{}); followed == nil {
				break
			}
		}
		to := min(from+m.together(from), len(dst))
		fill(dst[from:to], followed[b][qi])
		from = to
	}
	if followed == nil {
		for h := range dst {
			dst[h] = m.g.naive(o+h, o)
		}
	}
}

// together returns how many steps are taken together from step h after the origin on: a quarter of an hour, after the first hour one,
// after six two.
func (m *likeNow) together(h int) int {
	switch hour := m.g.hour; {
	case h < hour:
		return max(1, hour/4)
	case h < 6*hour:
		return hour
	default:
		return 2 * hour
	}
}

// after returns, for steps that are taken together, the quantiles of what followed times like the origin; nil where there is none.
func (m *likeNow) after(o, steps int, s *search) (out [][]float64) {
	times := m.like(o, s)
	if len(times) == 0 {
		return nil
	}
	at := make([]float64, len(m.quantiles))
	for qi := range at {
		at[qi] = m.g.x[o-1]
	}
	seen, room := s.seen, []float64(nil)
	for from := 0; from < steps; from += m.together(from) {
		width := m.together(from)
		every := max(1, width/likeSamples)
		seen = seen[:0]
		for _, j := range times {
			if m.g.wall != nil {
				j += m.g.wallAt(o+from) - m.g.wallAt(o) - m.g.wallAt(j+from) + m.g.wallAt(j) // at the same time of day
			}
			if j+from+width <= o && j+from >= 0 {
				for h := from; h < from+width; h += every {
					seen = append(seen, m.g.x[j+h])
				}
			}
		}
		if len(seen) > 0 { // else so far on nothing is known
			if len(room) < len(at) {
				room = make([]float64, 32*len(at))
			}
			at, room = room[:len(at):len(at)], room[len(at):]
			upperQuantiles(seen, m.quantiles, at)
		}
		out = append(out, at)
	}
	s.seen = seen
	return out
}

// search is the room that one takes, for the next one.
type search struct {
	off, some, far, seen []float64
	times                []int
}

// like returns the steps, whole hours before the origin, that are most like it.
func (m *likeNow) like(o int, s *search) []int {
	g := m.g
	off := s.off[:0]
	for j := o - g.hour; j > 6*g.hour && j > o-likeDays*g.day; j -= g.hour {
		d := math.Abs(m.hour[o-1]-m.hour[j-1]) + math.Abs(m.day[o-1]-m.day[j-1])
		if d < likeSame*(m.hour[o-1]+m.day[o-1]) {
			d = 0
		}
		off = append(off, d)
	}
	if len(off) == 0 {
		return nil
	}
	some := s.some[:0]
	for i := 0; i < len(off); i += likeSome {
		some = append(some, off[i])
	}
	usual, now := selectKth(some, len(some)/2), g.slot(o)
	slot := now // of the time looked at
	count := min(len(off), max(likeLeast, len(off)/likeShare))
	times, far := s.times[:0], s.far[:0] // the closest so far, in order
	for i, d := range off {
		if d > 0 {
			d /= d + usual // half of them are less than a half: nearly its rank among them
		}
		j := o - (i+1)*g.hour
		if slot -= g.hour; g.wall != nil {
			slot = g.slot(j)
		} else if slot < 0 {
			slot += g.day
		}
		away := max(slot-now, now-slot)
		d += likeTime * float64(min(away, g.day-away)) / float64(g.day)
		if len(far) == count && d >= far[count-1] {
			continue
		}
		times, far = append(times, j), append(far, d)
		for k := len(far) - 1; k > 0 && far[k-1] > d; k-- {
			times[k], times[k-1] = times[k-1], j
			far[k], far[k-1] = far[k-1], d
		}
		times, far = times[:min(len(times), count)], far[:min(len(far), count)]
	}
	s.off, s.some, s.times, s.far = off, some, times, far
	return times
}
