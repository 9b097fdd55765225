package forecast

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/internal/timeline"
)

// LearnEvery is how often it is looked at anew how the members did, at multiples of it since 1970 and Options.LookAt: in between a model goes by the last time, so
// that a new hour costs little. Members themselves read all that is known. Series of less than a week, and coarse steps, are looked at each time.
const LearnEvery = 6 * time.Hour

// learnWhole is how much history there has to be for that.
const learnWhole = 7 * day

// learned is what the past says of the members: which are asked, how far off each was, and what each counts. It is all that a model hands on to the next one: some
// kilobytes for a resource or a signal, however long its history is.
type learned struct {
	pattern pattern.Pattern
	sure    float64 // confidence in it
	policy  policy
	cycle   float64 // in steps, see grid.cycle; 0 where there is none, or no member asked
	joined  []int   // signals that are followed, by their place among those of the past
	blends  [buckets]blend
	of      [sha256.Size]byte // the digest of the past
	anew    bool              // it was learned for this model, and not taken over
}

// past is all that what is learned depends on: learn sees nothing else, and all of it is in the digest. Options, events, time zone and the CPU that a history was
// translated to are in it as what they make of the series; what they make of the forecast beside that is worked out each time.
type past struct {
	grid      *grid   // as it was when it was last looked at, with the events taken out
	signals   []*grid // those that are known now, as they were then; nil for one that was not known then
	quantiles []float64
	only      []string // members that were asked for; none: all may be
	maximum   int64    // that the instance's type can grant of the resource; 0: not known
}

// lookedAt returns the last time, up to end, at which a history on that step that began at start is looked at.
func (o Options) lookedAt(start, end timeline.Time, step time.Duration) timeline.Time {
	last := end.Add(-o.LookAt).Floor(LearnEvery).Add(o.LookAt)
	if o.Once || time.Hour/step < coarse || last.Sub(start) < learnWhole {
		return end
	}
	return last
}

// learnedFrom returns how much of the end of a series is learned from: the window as it was when it was last looked at, so that what is learned of stays the same
// in between, and what has come since.
func (o Options) learnedFrom(s Series, step time.Duration) time.Duration {
	end := s.End()
	return max(o.Window, o.Window+end.Sub(o.lookedAt(end.Add(-o.Window), end, step))) // a sum beyond all times is negative
}

// past returns the grid as it was when it was last looked at, which may be now.
func (g *grid) past(opts Options) *grid {
	n := int(opts.lookedAt(g.start, g.timeOf(len(g.y)), g.step).Sub(g.start) / g.step)
	wall := g.wall
	if wall != nil {
		if wall = wall[:n:n]; !slices.ContainsFunc(wall, func(w int) bool { return w != wall[0] }) {
			wall = nil // clocks that change later are no part of it
		}
	}
	if n == len(g.y) && (wall == nil) == (g.wall == nil) {
		return g
	}
	out := &grid{start: g.start, step: g.step, day: g.day, hour: g.hour, wall: wall, y: g.y[:n:n], x: g.x[:n:n]}
	if g.means != nil {
		out.means = g.means.past(opts)
	}
	return out
}

// heard is a signal that is known now, on the steps of the demand.
type heard struct {
	name string
	grid *grid
}

// pastOf returns what is to be learned of, and the signals that are known now, in the same order.
func pastOf(g *grid, signals []Signal, events []Event, maximum int64, opts Options) (past, []heard) {
	p := past{grid: g.past(opts), quantiles: opts.Quantiles, only: opts.Members, maximum: maximum}
	var now []heard
	for _, s := range signals {
		s.Series.Fold = Mean
		s.Series = s.Series.Resample(g.step)
		known := g.beside(s.Series, events)
		if known == nil {
			continue
		}
		now = append(now, heard{s.Name, known})
		if p.grid != g {
			known = p.grid.beside(s.Series, events)
		}
		p.signals = append(p.signals, known)
	}
	return p, now
}

// learn looks at how the members did. It returns those that it asked, too, built on the past.
func (p past) learn() (learned, []chosen) {
	g, l := p.grid, learned{}
	l.pattern, l.sure = g.pattern(float64(p.maximum))
	if len(p.only) == 0 { // who asks for members gets what he asks for
		l.policy = policyOf(l.pattern, l.sure)
	}
	g.from = g.readFrom(g.origins())
	members := portfolio(g, p.quantiles, p.only, l.policy)
	for i, s := range p.signals {
		if f := newFollower(g.level(), s); f != nil && f.explained >= followShare {
			l.joined = append(l.joined, i)
			members = append(members, chosen{member: f})
		}
	}
	l.cycle = g.level().cycleLength
	ev := g.evaluate(members, len(p.quantiles))
	if len(p.only) > 0 { // a baseline is what it is: its errors are taken as they come
		for b := range ev {
			ev[b].days = longOrigins
		}
	}
	for b := range ev {
		l.blends[b] = blendOf(b, members, &ev, p.quantiles)
	}
	return l, members
}

// mostOf returns the most that member i counts anywhere.
func (l *learned) mostOf(i int) float64 {
	most := 0.0
	for b := range l.blends {
		for _, w := range l.blends[b].weight {
			most = max(most, w[i])
		}
	}
	return most
}

// blendOf fits bucket b. A bucket that has too little evidence takes that of the nearest shorter one, a third wider for
// each step between them; with none at all, the members count alike and their errors are unknown.
func blendOf(b int, members []chosen, ev *[buckets]evidence, quantiles []float64) blend {
	for from := b; from >= 0; from-- {
		if len(ev[from].y) < minEvidence {
			continue
		}
		bl := ev[from].fit(members, quantiles)
		bl.widen(math.Pow(4.0/3, float64(b-from))*ev[from].caution(), quantiles)
		return bl
	}
	return evenBlend(members, len(quantiles))
}

// learn takes what was learned before, if that was of the same past, or learns it, and builds the members on all that is known now.
func (m *kindModel) learn(p past, now []heard, before *learned) {
	g := m.grid
	of := p.digest()
	var members []chosen
	if before != nil && before.of == of {
		m.learned = *before
		m.anew = false
	} else {
		m.learned, members = p.learn()
		m.of, m.anew = of, true
	}
	if members == nil || p.grid != g {
		g.from = g.readFrom(nil)
		l := g.level()
		l.cycleLength, l.cycleKnown = m.cycle, true                                                          // that which the weights are of; it takes time to find
		members = portfolioOf(g, p.quantiles, p.only, m.policy, func(i int) bool { return m.mostOf(i) > 0 }) // nobody asks the others
		for _, i := range m.joined {
			members = append(members, chosen{member: newFollower(g.level(), now[i].grid)})
		}
	}
	m.members = members
	for n, i := range m.joined { // they are the last members
		at := len(members) - len(m.joined) + n
		members[at].name = "signal " + now[i].name
		m.follows = append(m.follows, follow{now[i].name, at, members[at].member.(*follower).each()})
	}
}

// TakenOver returns of how many resources and signals m took over what another model had learned of their past, and of how many there is one.
func (m *Model) TakenOver() (taken, all int) {
	for k := range m.kinds {
		if l := &m.kinds[k]; l.grid != nil {
			if all++; !l.anew {
				taken++
			}
		}
	}
	for _, f := range m.figures {
		t, a := f.model.TakenOver()
		taken, all = taken+t, all+a
	}
	return taken, all
}

// digest is one of the past.
func (p past) digest() [sha256.Size]byte {
	d := digester{Hash: sha256.New()}
	d.add(uint64(p.maximum), uint64(len(p.quantiles)), uint64(len(p.only)), uint64(len(p.signals)))
	for _, q := range p.quantiles {
		d.add(math.Float64bits(q))
	}
	for _, name := range p.only {
		d.add(uint64(len(name)))
		d.buf = append(d.buf, name...)
	}
	d.grid(p.grid)
	for _, s := range p.signals {
		if s == nil {
			d.add(0)
			continue
		}
		d.add(1)
		d.grid(s)
	}
	return d.sum()
}

// digester adds numbers to a hash, many at a time.
type digester struct {
	hash.Hash
	buf []byte
}

// grid adds what a grid was made of; the rest follows from it.
func (d *digester) grid(g *grid) {
	d.add(uint64(g.start), uint64(g.step), uint64(len(g.y)))
	d.add(math.Float64bits(g.x[0])) // what fills a gap at the beginning; other gaps are filled from y
	for _, v := range g.y {
		d.add(math.Float64bits(v))
	}
	wall := g.wall[:min(len(g.wall), len(g.y))] // what lies beyond it is not read of a past
	d.add(uint64(len(wall)))
	for _, w := range wall {
		d.add(uint64(w))
	}
	if g.means != nil {
		d.grid(g.means)
	}
}

func (d *digester) add(all ...uint64) {
	for _, v := range all {
		d.buf = binary.LittleEndian.AppendUint64(d.buf, v)
	}
	if len(d.buf) > 4096 {
		d.Write(d.buf)
		d.buf = d.buf[:0]
	}
}

func (d *digester) sum() (out [sha256.Size]byte) {
	d.Write(d.buf)
	d.Hash.Sum(out[:0])
	return out
}
