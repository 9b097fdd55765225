package forecast

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// LearnEvery is how often it is looked at anew how the members did, at multiples of it since 1970: in between a model goes by the last time, so that a new hour
// costs little. Members themselves read all that is known. Series of less than a week, and coarse steps, are looked at each time.
const LearnEvery = 6 * time.Hour

// learnWhole is how much history there has to be for that.
const learnWhole = 7 * day

// learned is what the past says of the members: which are asked, how far off each was, and what each counts.
type learned struct {
	pattern pattern.Pattern
	sure    float64 // confidence in it
	policy  policy
	blends  [buckets]blend
	of      [sha256.Size]byte // a digest of all that it depends on
}

// lookedAt returns the last time, up to end, at which a history on that step that began at start is looked at.
func lookedAt(start, end timeline.Time, step time.Duration) timeline.Time {
	last := end.Floor(LearnEvery)
	if time.Hour/step < coarse || last.Sub(start) < learnWhole {
		return end
	}
	return last
}

// past returns the grid as it was when it was last looked at.
func (g *grid) past() *grid {
	end := g.timeOf(len(g.y))
	last := lookedAt(g.start, end, g.step)
	if last == end {
		return g
	}
	n := int(last.Sub(g.start) / g.step)
	return &grid{start: g.start, step: g.step, day: g.day, hour: g.hour, wall: g.wall, y: g.y[:n], x: g.x[:n]}
}

// learn looks at how the members did, or takes what was learned before if that was of the same. It returns the members, built on all of g, too.
func (g *grid) learn(opts Options, kind resource.Kind, before *learned) (learned, []chosen) {
	past := g.past()
	l, members := learned{of: past.digest(opts, kind)}, []chosen(nil)
	if before != nil && before.of == l.of {
		l = *before
	} else {
		l.pattern, l.sure = past.pattern(float64(opts.Maximum[kind]))
		if len(opts.Members) == 0 { // who asks for members gets what he asks for
			l.policy = policyOf(l.pattern, l.sure)
		}
		past.from = past.readFrom(past.origins())
		members = portfolio(past, opts.Quantiles, opts.Members, l.policy)
		ev := past.evaluate(members, len(opts.Quantiles))
		for b := range ev {
			l.blends[b] = blendOf(b, members, &ev, opts.Quantiles)
		}
	}
	if members == nil || past != g {
		g.from = g.readFrom(nil)
		members = portfolio(g, opts.Quantiles, opts.Members, l.policy)
	}
	return l, members
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
	return evenBlend(len(members), len(quantiles))
}

// digest is one of all that what is learned of g depends on.
func (g *grid) digest(opts Options, kind resource.Kind) [sha256.Size]byte {
	d := digester{Hash: sha256.New()}
	d.add(uint64(g.start), uint64(g.step), uint64(opts.Maximum[kind]), uint64(len(opts.Quantiles)), uint64(len(opts.Members)), uint64(len(g.y)), uint64(len(g.wall)))
	for _, name := range opts.Members {
		d.add(uint64(len(name)))
		d.buf = append(d.buf, name...)
	}
	for _, q := range opts.Quantiles {
		d.add(math.Float64bits(q))
	}
	d.add(math.Float64bits(g.x[0])) // what fills a gap at the beginning; other gaps are filled from y
	for _, v := range g.y {
		d.add(math.Float64bits(v))
	}
	for _, w := range g.wall[:min(len(g.wall), len(g.y))] {
		d.add(uint64(w))
	}
	return d.sum()
}

// digester adds numbers to a hash, many at a time.
type digester struct {
	hash.Hash
	buf []byte
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
