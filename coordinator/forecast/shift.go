package forecast

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// What happened once, and a level that was left for good, say nothing of what comes, but members that read the past repeat
// it: for a day, a week, or until it has faded. So members are asked a second time, on a past that is put straight: incidents
// are taken out, and what lies before a shift of the level is moved to the new level. Their errors and weights stay those of the
// past as it was, with all its shifts and incidents: the band keeps its width.
//
// A shift is told by what had no precedent: the last steps are all beyond what one in a hundred was before. Whether it is one,
// or an incident that is not over, nobody knows then. It is believed for twice as long as it has lasted, and for the next hour in any case.

// shift is a change of the level.
type shift struct {
	at         int     // first step at the new level
	add, times float64 // the past at the new level: what it was, times the one, plus the other
}

const (
	shiftLeast     = 3             // steps that a shift is told from
	shiftReach     = 3             // days back that one is looked for: by then members have followed
	shiftHistory   = 2             // days before that
	shiftPrecedent = .01           // share of earlier steps that may have been half as far off
	shiftKeeps     = .9            // share of the steps since that have to be
	shiftEdge      = 3 * time.Hour // before it the level was the old one
	shiftWhole     = 12 * time.Hour
	shiftSoon      = time.Hour
	shiftTimes     = 4.0 // the most that the past is taken for in proportion

	incidentMost  = 12 * time.Hour
	incidentTimes = 2.0 // what three in a hundred pass, that an incident passes at least
	incidentTail  = .97
	incidentReach = 8  // days back that members repeat one from
	mostIncidents = 40 // with more of them they are the rule

	nextToNothing = .03
)

// usual is what a step at each time of day was before the last days, and what x leaves over it.
type usual struct {
	day  []float64
	over []float64
	from int // steps before it are what is usual
}

// usual returns false where the history is too short to tell what is.
func (g *grid) usual() (usual, bool) {
	n := len(g.x)
	u := usual{from: n - min(shiftReach*g.day, n/3)}
	if u.from < shiftHistory*g.day {
		return u, false
	}
	const days = 7
	slots, room := make([][]float64, g.day), make([]float64, (days+1)*g.day) // with a change of the clock there may be one more
	for s := range slots {
		slots[s] = room[(days+1)*s:][: 0 : days+1]
	}
	g.slots(max(0, u.from-days*g.day), u.from, g.day, func(i, slot int) { slots[slot] = append(slots[slot], g.x[i]) })
	u.day = make([]float64, g.day)
	for s, v := range slots {
		if len(v) > 0 {
			u.day[s] = selectKth(v, len(v)/2)
		}
	}
	u.day = aroundClock(u.day, g.hour/2)
	u.over = make([]float64, n)
	g.slots(0, n, g.day, func(i, slot int) { u.over[i] = g.x[i] - u.day[slot] })
	level := middleOf(u.over[max(0, u.from-7*g.day):u.from])
	for i := range u.over {
		u.over[i] -= level
	}
	for s := range u.day {
		u.day[s] += level
	}
	return u, true
}

// slot returns the time of day of step i, in steps.
func (g *grid) slot(i int) int { return g.slotIn(i, g.day) }

// slotIn returns how far into a period, a day or an hour, step i is by the wall clock, in steps.
func (g *grid) slotIn(i, period int) int {
	if g.wall != nil {
		i += g.wallAt(i)
	}
	return (i%period + period) % period
}

// slots calls f with each step of [from, to) and what slotIn returns for it. It walks instead of dividing.
func (g *grid) slots(from, to, period int, f func(i, slot int)) {
	slot := g.slotIn(from, period)
	for i := from; i < to; i++ {
		if g.wall != nil {
			slot = g.slotIn(i, period)
		}
		f(i, slot)
		if slot++; slot == period {
			slot = 0
		}
	}
}

// aroundClock smooths a day over half a width to each side.
func aroundClock(v []float64, half int) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		for w := -half; w <= half; w++ {
			out[i] += v[((i+w)%len(v)+len(v))%len(v)] / float64(2*half+1)
		}
	}
	return out
}

func middleOf(v []float64) float64 {
	v = slices.Clone(v)
	return selectKth(v, len(v)/2)
}

// shift returns the latest change of the level that has lasted until now. A small one among much noise takes longer to tell.
func (g *grid) shift(u usual) (shift, bool) {
	for _, width := range []int{shiftLeast, g.hour, g.day / 4, g.day} {
		if s, ok := g.shiftOver(u, max(width, shiftLeast)); ok {
			return s, true
		}
	}
	return shift{}, false
}

// shiftOver looks for a shift by means over a width.
func (g *grid) shiftOver(u usual, width int) (shift, bool) {
	n := len(g.x)
	over := means(u.over, width)
	height := over[n-1]
	at := n
	for range 2 {
		if height == 0 {
			return shift{}, false
		}
		before := 0
		for _, v := range over[:u.from] {
			if v/height >= .5 {
				before++
			}
		}
		if float64(before) > shiftPrecedent*float64(u.from) || over[n-1]/height < .5 {
			return shift{}, false
		}
		at = n
		for i, kept := n-1, 0.0; i >= u.from; i-- {
			if over[i]/height >= .5 {
				kept++
				if kept >= shiftKeeps*float64(n-i) {
					at = i
				}
			}
		}
		at = max(u.from, min(at-width/2, n-shiftLeast)) // half of the width lies before it
		height = middleOf(u.over[at:])
	}
	edge := max(shiftLeast, int(shiftEdge/g.step))
	if at <= u.from+edge || math.Abs(middleOf(u.over[at-edge:at])) > math.Abs(height)/3 {
		return shift{}, false
	}
	out := shift{at: at, times: 1, add: height}
	if time.Duration(n-at)*g.step >= shiftWhole {
		out.orTimes(g, u)
	}
	return out, true
}

// means returns at each step the mean of the last n up to and including it.
func means(v []float64, n int) []float64 {
	out, sum := make([]float64, len(v)), 0.0
	for i, x := range v {
		sum += x
		if i >= n {
			sum -= v[i-n]
		}
		out[i] = sum / float64(min(i+1, n))
	}
	return out
}

// orTimes makes the shift one in proportion, where that is closer to what came after it.
func (s *shift) orTimes(g *grid, u usual) {
	var was, is, added, times float64
	for i := s.at; i < len(g.x); i++ {
		was, is = was+u.day[g.slot(i)], is+g.x[i]
	}
	if was <= 0 {
		return
	}
	for i := s.at; i < len(g.x); i++ {
		d := u.day[g.slot(i)]
		added += math.Abs(g.x[i] - d - s.add)
		times += math.Abs(g.x[i] - d*is/was)
	}
	if times < added && is/was <= shiftTimes { // rare peaks, of which nothing is usual, would be taken as many times, too
		s.times, s.add = is/was, 0
	}
}

// incidents marks steps that were far beyond what is usual, for hours at most, and at no other day's like time.
func (g *grid) incidents(u usual) (marked []bool, some bool) {
	n := len(g.x)
	far := make([]float64, n)
	for i, v := range u.over {
		far[i] = math.Abs(v)
	}
	bar := incidentTimes * selectKth(far, int(incidentTail*float64(n-1)))
	if bar == 0 {
		return nil, false
	}
	marked = make([]bool, n)
	found := 0
	for i := 0; i < n; i++ {
		if math.Abs(u.over[i]) <= bar || math.IsNaN(g.y[i]) { // what fills a gap is of another day
			continue
		}
		end, most := i, 0.0
		for j := i; j < n && j <= end+max(1, g.hour/2); j++ { // what is less than half an hour apart is one
			if math.Abs(u.over[j]) > bar {
				end = j
				if math.Abs(u.over[j]) > math.Abs(most) {
					most = u.over[j]
				}
			}
		}
		end++
		if found++; found > mostIncidents {
			return nil, false
		}
		if end < n && end > n-incidentReach*g.day && time.Duration(end-i)*g.step <= incidentMost && !g.habit(u, i, end, most) {
			for j := i; j < end; j++ {
				marked[j] = true
			}
			some = true
		}
		i = end - 1
	}
	return marked, some
}

// habit reports whether another day has half as much within an hour of the same time.
func (g *grid) habit(u usual, from, to int, most float64) bool {
	for base := from % g.day; base-g.hour < len(g.x); base += g.day {
		if base == from {
			continue
		}
		for i := max(0, base-g.hour); i < min(len(g.x), base+to-from+g.hour); i++ {
			if (i < from || i >= to) && u.over[i]/most >= .5 && !math.IsNaN(g.y[i]) {
				return true
			}
		}
	}
	return false
}

// straight is the members on the past that is put straight.
type straight struct {
	clean   []chosen // without incidents; nil when there are none
	once    bool     // there are some that are over
	moved   []chosen // at the new level, too; nil when there is no shift
	lasted  int      // steps since the shift
	holdFor int      // steps ahead for which it is believed
}

// note says what was put straight; "" when nothing was.
func (s *straight) note(step time.Duration) string {
	out := ""
	if s.moved != nil {
		out += fmt.Sprintf("; its level shifted %s before", time.Duration(s.lasted)*step)
	}
	if s.once {
		out += "; what happened once is not expected again"
	}
	return out
}

// straighten builds the members that count on what is left of the past.
func (m *kindModel) straighten(quantiles []float64) (s straight) {
	g, level := m.grid, m.grid.level()
	u, ok := level.usual()
	if !ok {
		return s
	}
	past := g
	marked, some := level.incidents(u)
	if some {
		past = g.without(marked)
	}
	clean := past
	if sh, ok := level.shift(u); ok {
		s.moved = m.rebuilt(past.movedTo(sh), quantiles)
		s.lasted = len(g.x) - sh.at
		s.holdFor = max(int(shiftSoon/g.step), 2*s.lasted)
		if s.careful(g.step) { // further on it is thought of as one that is over
			if !some {
				marked = make([]bool, len(g.x))
			}
			for i := sh.at; i < len(g.x); i++ {
				marked[i] = true
			}
			clean = g.without(marked)
		}
	}
	if clean != g {
		s.clean = m.rebuilt(clean, quantiles)
	}
	s.once = some
	return s
}

// rebuilt builds the members on another past. Those that count next to nothing stay as they are, for the time that it takes.
func (m *kindModel) rebuilt(g *grid, quantiles []float64) []chosen {
	g.from = g.readFrom(nil)
	g.level().from = g.from
	out := slices.Clone(m.members)
	for i, c := range out {
		if c.build != nil && m.mostOf(i) >= nextToNothing { // what a signal explains is neither incident nor shift
			out[i].member = c.build(c.grid(g), quantiles)
		}
	}
	return out
}

// without returns the grid as if the marked steps had not been seen.
func (g *grid) without(marked []bool) *grid {
	out := g.copyOf()
	for i, m := range marked {
		if m {
			out.y[i] = math.NaN()
		}
	}
	out.fill()
	if g.means != nil {
		out.means = g.means.without(marked)
	}
	return out
}

// movedTo returns the grid with what lies before the shift at the new level.
func (g *grid) movedTo(s shift) *grid {
	out := g.copyOf()
	for i := range out.x[:s.at] {
		out.x[i] = max(0, out.x[i]*s.times+s.add)
	}
	if g.means != nil {
		out.means = g.means.movedTo(s)
	}
	return out
}

func (g *grid) copyOf() *grid {
	return &grid{start: g.start, step: g.step, day: g.day, hour: g.hour, wall: g.wall, y: slices.Clone(g.y), x: slices.Clone(g.x),
		cycleLength: g.cycleLength, cycleKnown: g.cycleKnown, means: g.means} // what repeats itself still does
}

// careful reports whether quantiles above the median have paths of their own: what has fallen for hours may be an incident that is not over, and nobody
// is to be short when the load returns.
func (s *straight) careful(step time.Duration) bool {
	return s.moved != nil && time.Duration(s.lasted)*step <= incidentMost
}

// path is what member i says on the past put straight, o being the end of it. With upward a shift can only raise it.
func (s *straight) path(dst []float64, members []chosen, i, o, qi int, upward bool) {
	if s.clean != nil {
		members = s.clean
	}
	members[i].path(dst, o, qi)
	if s.moved == nil {
		return
	}
	reach := min(len(dst), 2*s.holdFor)
	moved := make([]float64, reach)
	s.moved[i].path(moved, o, qi)
	for h, v := range moved {
		believed := min(1, 2-float64(h)/float64(s.holdFor))
		if upward {
			v = max(v, dst[h])
		}
		dst[h] += believed * (v - dst[h])
	}
}
