package planner

import (
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// The terms of a host's score. Those of how the instance would lie there add up to a thousand at most; the others are taken off.
const (
	termRoom     = "room"     // what is free where least is, or where the policy has hosts filled one after another, what is not
	termPeaks    = "peaks"    // what the instance adds to the squared use over time: peaks that don't coincide go together
	termMix      = "mix"      // what it adds to the differences between resources: what one has left is worth little where another is used up
	termTransfer = "transfer" // how much longer the move takes than at full speed
	termGaveUp   = "gave up"  // a move there was given up lately
)

// Their weights, in thousandths of a score. Room counts as much as the other two together: it is what keeps instances from each other when
// forecasts are wrong, or leaves whole hosts empty. Peaks and mix count what the instance changes, not what is there: then the fleet as a whole gets more even. What the move
// itself costs is paid once, so it decides only between hosts that are about alike.
const (
	roomWeight     = 500
	peaksWeight    = 300
	mixWeight      = 200
	transferWeight = 100
	gaveUpWeight   = 100
)

// What an instance adds to the mean of the squares, and to the variance between resources, at which half of the points are gone; millionths.
const (
	halfPeaks = 50_000
	halfMix   = 20_000
)

// lie is how the instance would lie on a host, by what the ledger weighed.
type lie struct {
	room       int64         // thousandths of the limit of kind that stay free in span
	free, of   int64         // the same in amounts
	kind       resource.Kind // the scarcest
	span       timeline.Span // its fullest time; empty where the host has no limits
	use, added int64         // mean of the squared use, with the instance, and what that adds to it; millionths
	mix, mixed int64         // mean variance between the resources, with the instance, and what that adds to it, or takes away; millionths
	fill       proto.Fill    // by which it is judged
}

func lieOf(f ledger.Fit, fill proto.Fill) lie {
	return lie{room: int64(f.Tightest), free: f.Free, of: f.Limit, kind: f.Kind, span: f.Span, use: f.MeanSquare, added: f.Rise, mix: f.Skew, mixed: f.SkewRise, fill: fill}
}

// points returns what the host's room, peaks and mix are worth.
func (l lie) points() [3]int64 {
	room := l.room
	if l.fill == proto.FillPack {
		room = 1000 - room
	}
	return [3]int64{
		roomWeight * room / 1000,
		peaksWeight * halfPeaks / (halfPeaks + max(0, l.added)),
		mixWeight/2 - mixWeight/2*l.mixed/(halfMix+max(l.mixed, -l.mixed)),
	}
}

const million = 1_000_000

// score returns their sum, at least 1.
func (l lie) score() int64 {
	p := l.points()
	return max(1, p[0]+p[1]+p[2])
}

// Score returns what a host is worth to an instance that would lie there as it was weighed, apart from what a move there costs: the more the better.
func Score(f ledger.Fit, fill proto.Fill) int64 { return lieOf(f, fill).score() }

// lieOf returns how the instance would lie on a host, judged by the policy: a move for the balance's sake always by what keeps hosts even.
func (p *planning) lieOf(f ledger.Fit) lie { return lieOf(f, p.fill) }

// staying returns how the instance lies where it is: what it adds there is what would be gone without it. It is counted over the steps of the grid, each for
// as long as it lasts, the tail for two hours, which is what the ledger counts in blocks.
func (p *planning) staying() lie {
	host := p.instance.Owner
	fit, _ := p.View.Ledger().WeighOn(host, nil)
	out := p.lieOf(fit)
	held, _ := p.View.Reservation(p.instance.Reservation)
	mine := held.Envelope.Expected()
	var with, without, all float64
	var mixed, unmixed float64
	for _, s := range p.View.Ledger().Steps(host) {
		length := min(s.Length(), tailLength).Seconds()
		own := mine.MaxOver(s.Span)
		var a, b moments
		for k, limit := range s.Limit {
			if limit > 0 && limit < resource.Unlimited {
				a.add(float64(s.Needed[k]) / float64(limit))
				b.add(float64(max(0, s.Needed[k]-own[k])) / float64(limit))
			}
		}
		if a.n > 0 {
			with, without, all = with+length*a.meanSquare(), without+length*b.meanSquare(), all+length
			mixed, unmixed = mixed+length*a.variance(), unmixed+length*b.variance()
		}
	}
	if all > 0 {
		out.added, out.mixed = int64(million*(with-without)/all), int64(million*(mixed-unmixed)/all)
	}
	return out
}

const tailLength = 2 * time.Hour

// moments sums shares and their squares.
type moments struct{ n, sum, squares float64 }

func (m *moments) add(x float64) { m.n, m.sum, m.squares = m.n+1, m.sum+x, m.squares+x*x }

func (m moments) meanSquare() float64 { return m.squares / m.n }

func (m moments) variance() float64 { return m.squares/m.n - m.sum*m.sum/(m.n*m.n) }

// slower returns the points that a transfer of this length costs, beside one at full speed.
func slower(took, best int64) int64 {
	if took <= best {
		return 0
	}
	return -(transferWeight - transferWeight*best/took)
}

// scoreOf returns the sum of the terms: at least 1, as 0 says that a host was ruled out.
func scoreOf(terms []proto.Term) int64 {
	var sum int64
	for _, t := range terms {
		sum += t.Points
	}
	return max(sum, 1)
}
