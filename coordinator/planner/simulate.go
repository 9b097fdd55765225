package planner

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// line is an amount per second over time: pieces that begin where the one before ends. The first holds before its start, too, and the last has no end.
type line struct {
	starts []timeline.Time
	rates  []int64   // per second, of each piece
	sums   []float64 // amount × seconds from the first start to each piece's
}

// flat returns the line that is the same at all times.
func flat(rate int64) line {
	return line{starts: []timeline.Time{0}, rates: []int64{rate}, sums: []float64{0}}
}

// add puts a piece behind the others. One that is as the one before only makes that longer.
func (l *line) add(start timeline.Time, rate int64) {
	n := len(l.starts)
	if n > 0 && l.rates[n-1] == rate {
		return
	}
	sum := 0.0
	if n > 0 {
		sum = l.sums[n-1] + float64(l.rates[n-1])*start.Sub(l.starts[n-1]).Seconds()
	}
	l.starts, l.rates, l.sums = append(l.starts, start), append(l.rates, rate), append(l.sums, sum)
}

// piece returns which piece holds at t.
func (l line) piece(t timeline.Time) int {
	return max(0, sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > t })-1)
}

// sum returns amount × seconds over the span.
func (l line) sum(s timeline.Span) float64 {
	i, j := l.piece(s.Start), l.piece(s.End)
	if i == j {
		return float64(l.rates[i]) * s.Length().Seconds()
	}
	return float64(l.rates[i])*l.starts[i+1].Sub(s.Start).Seconds() + l.sums[j] - l.sums[i+1] + float64(l.rates[j])*s.End.Sub(l.starts[j]).Seconds()
}

// until returns when amount has come together since from, rounded up to the millisecond, at most farAhead later.
func (l line) until(from timeline.Time, amount float64) timeline.Time {
	i := l.piece(from)
	if i+1 < len(l.starts) {
		first := float64(l.rates[i]) * l.starts[i+1].Sub(from).Seconds()
		if amount > first {
			// The last piece that begins with less than the amount is the one in which it is reached.
			rest := amount - first
			i += sort.Search(len(l.sums)-i-1, func(n int) bool { return l.sums[i+1+n]-l.sums[i+1] >= rest })
			amount, from = amount-(l.sum(timeline.Span{Start: from, End: l.starts[i]})), max(from, l.starts[i])
		}
	}
	if amount <= 0 {
		return from
	}
	took := farAhead.Seconds()
	if l.rates[i] > 0 {
		took = min(took, amount/float64(l.rates[i]))
	}
	return from + timeline.Time(math.Ceil(took*1000-1e-6))
}

// farAhead is longer than everything that is planned.
const farAhead = 5 * 365 * 24 * time.Hour

// over calls f with the amount of each piece that the span touches.
func (l line) over(s timeline.Span, f func(rate int64)) {
	for i := l.piece(s.Start); i < len(l.starts) && (l.starts[i] < s.End || i == 0); i++ {
		f(l.rates[i])
	}
}

// least returns the smallest amount in the span.
func (l line) least(s timeline.Span) int64 {
	out := int64(math.MaxInt64)
	l.over(s, func(rate int64) { out = min(out, rate) })
	return out
}

// most returns the largest amount in the span.
func (l line) most(s timeline.Span) int64 {
	var out int64
	l.over(s, func(rate int64) { out = max(out, rate) })
	return out
}

// Transfer is how moving the data is expected to go.
type Transfer struct {
	Rounds   int           // early ones
	Bytes    int64         // over all rounds
	Copy     time.Duration // all early rounds
	Rest     int64         // bytes that the last round sends
	Downtime time.Duration // clients' silence: stop, last round, start and switching over
	Settled  bool          // the rounds got smaller; otherwise the instance writes faster than its data move
}

// transfer predicts the rounds of moving data bytes from start on, over a link that takes rate bytes per second, while dirty bytes per second are
// written. What moves of the fleet's own have shown is counted in.
func (c Costs) transfer(data int64, start timeline.Time, dirty, rate line) Transfer {
	t := Transfer{Settled: true}
	at, rest := start, data
	for t.Rounds < maxRounds {
		end := rate.until(at, float64(rest)).Add(c.Round)
		t.Rounds++
		t.Bytes += rest
		next := min(data, rounded(dirty.sum(timeline.Span{Start: at, End: end})))
		at = end
		if next <= smallRest {
			rest = next
			break
		}
		if next >= rest {
			rest, t.Settled = next, false
			break
		}
		rest = next
	}
	t.Rest = rest
	t.Bytes += rest
	last := rate.until(at, float64(rest)).Sub(at)
	t.Copy = at.Sub(start)
	t.Downtime = c.Stop + c.Start + c.Switch + seconds(data, c.Reread) + last
	return corrected(t, c.Bias)
}

// rounded returns a prediction as a whole number that can be added up.
func rounded(amount float64) int64 { return int64(math.Round(min(max(0, amount), 1<<60))) }

// end returns when a transfer that starts at start is over, with the switch that follows it.
func (t Transfer) end(start timeline.Time) timeline.Time { return start.Add(t.Copy + t.Downtime) }

// worse returns the worse of two predictions in each figure.
func worse(a, b Transfer) Transfer {
	return Transfer{
		Rounds: max(a.Rounds, b.Rounds), Bytes: max(a.Bytes, b.Bytes), Copy: max(a.Copy, b.Copy), Rest: max(a.Rest, b.Rest),
		Downtime: max(a.Downtime, b.Downtime), Settled: a.Settled && b.Settled,
	}
}

// lineOf returns what f says of each step of a profile, and tail after it.
func lineOf(p timeline.Profile, f func(timeline.Step) int64, tail int64) line {
	var out line
	var at timeline.Time
	for i, s := range p {
		if i > 0 && s.Start > at { // a gap
			out.add(at, 0)
		}
		out.add(s.Start, f(s))
		at = s.End
	}
	if len(p) == 0 {
		return flat(tail)
	}
	if at < timeline.Forever {
		out.add(at, tail)
	}
	return out
}

// merged returns the line of f over two lines at every instant.
func merged(a, b line, f func(x, y int64) int64) line {
	cuts := slices.Concat(a.starts, b.starts)
	slices.Sort(cuts)
	var out line
	for _, at := range slices.Compact(cuts) {
		out.add(at, f(a.rates[a.piece(at)], b.rates[b.piece(at)]))
	}
	return out
}
