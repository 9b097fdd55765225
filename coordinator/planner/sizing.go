// Package planner answers how a migration would go: where to, when, how much capacity at each step, and why. It only computes.
package planner

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast/common"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Sizing is what bounds an instance's allocation, whatever its forecast.
type Sizing struct {
	Class    proto.Class
	Quantile int             // of the forecast that is allocated, in thousandths
	Type     resource.Vector // maximum of the instance type; Unlimited where there is none
	Floor    resource.Vector // the least it ever gets
	Common   Shares          // of the deviation, that instances on a host have in common
}

// Shares are parts of a deviation by resource, in hundredths.
type Shares [resource.Kinds]int

// AssumedShares are the parts that instances are assumed to have in common where nothing was measured.
func AssumedShares() Shares { return common.Nothing().Share }

// Floors below which no instance is squeezed, whatever its type: enough to answer a health check.
var leastFloor = resource.Vector{
	resource.CPU: 20, resource.Memory: 16 << 20, resource.ReadIOPS: 10, resource.WriteIOPS: 10,
	resource.ReadBytes: 1 << 20, resource.WriteBytes: 1 << 20, resource.NetTx: 1_000_000, resource.NetRx: 1_000_000,
}

// NewSizing returns the sizing of an instance of a type and class, of the application if that is known (else its zero value).
func NewSizing(class proto.Class, t proto.InstanceType, app proto.Application, p proto.Policy) Sizing {
	floor := leastFloor.Max(app.Floor)
	floor[resource.Memory] = max(floor[resource.Memory], app.MemoryFloor)
	return Sizing{Class: class, Quantile: p.Quantiles.Of(class), Type: t.Max, Floor: floor.Min(t.Max), Common: AssumedShares()}
}

// Margins over the forecast quantile: a share of it, and at least an absolute amount, for what a window's mean hides.
const marginNum, marginDen = 105, 100

var leastMargin = resource.Vector{
	resource.CPU: 10, resource.Memory: 8 << 20, resource.ReadIOPS: 5, resource.WriteIOPS: 5,
	resource.ReadBytes: 256 << 10, resource.WriteBytes: 256 << 10, resource.NetTx: 500_000, resource.NetRx: 500_000,
}

// Enough returns the least that may be held for an allocation: with less than half of the margin left over its forecast, or below the
// floor, it is too little.
func (s Sizing) Enough(allocation resource.Vector) resource.Vector {
	var out resource.Vector
	for k, n := range allocation {
		half := max(n/2/marginDen*(marginNum-marginDen), leastMargin[k]/2)
		out[k] = max(n-half, min(n, s.Floor[k]))
	}
	return out
}

// memoryAhead is for how long ahead memory is held at its highest: it can't be taken back quickly.
const memoryAhead = time.Hour

// Allocation returns what an instance is to be given over the forecast's span, and whether the type's maximum cut
// anything off. Each step gets the quantile of itself and of the step after it, so that limits rise before the demand does, and a
// margin, between floor and type maximum. Memory gets the most of the hour to come, and keeps it until its agent
// may have begun to take it back.
func (s Sizing) Allocation(f proto.ForecastReply) (p timeline.Profile, cut resource.Vector) {
	quantile := f.At(s.Quantile)
	span := quantile.Span()
	step := max(time.Duration(f.Step)*time.Millisecond, time.Second)
	for at := span.Start; at < span.End; {
		next := min(span.End, at.Add(step))
		most := quantile.MaxOver(timeline.Span{Start: at, End: next.Add(step)})
		most[resource.Memory] = quantile.MaxOver(timeline.Span{Start: at.Add(-proto.MemoryGiveBack), End: next.Add(memoryAhead)})[resource.Memory]
		want := most.Scale(marginNum, marginDen).Max(most.Add(leastMargin))
		got := want.Clamp(s.Floor, s.Type)
		p = append(p, timeline.Step{Span: timeline.Span{Start: at, End: next}, Amount: got})
		for k := range want {
			cut[k] = max(cut[k], want[k]-got[k])
		}
		at = next
	}
	return p.Join(), cut
}

// Safe returns what an instance keeps when its schedule has run out: the 95th percentile of the next 24 hours, at least
// the floor.
func (s Sizing) Safe(f proto.ForecastReply) resource.Vector {
	p := f.At(950)
	day := timeline.Span{Start: f.Start, End: f.Start.Add(24 * time.Hour)}
	return p.MaxOver(day).Clamp(s.Floor, s.Type)
}

// Cold returns the forecast that stands in while nothing is known: all that the type allows at every quantile. Where
// the type has no maximum it is the floor, and measuring will show.
func (s Sizing) Cold(span timeline.Span) proto.ForecastReply {
	v := s.Type
	for k := range v {
		if v[k] >= resource.Unlimited {
			v[k] = s.Floor[k]
		}
	}
	return proto.ForecastReply{
		Start: span.Start, Step: span.Length().Milliseconds(), Quantiles: []int{500, 990},
		Profiles: []timeline.Profile{timeline.Flat(span, v), timeline.Flat(span, v)}, Cold: true,
		Reasons: []string{"there is no history: the instance type's maximum stands in"},
	}
}

// Deviations is how many of them above the mean an instance alone is held with, in hundredths: one step in a hundred needs more.
const Deviations = 233

// Promised returns the most that a reservation's holder may use at each time: firm, mean, and the pool's deviation.
func Promised(e proto.Envelope) timeline.Profile {
	out := make(timeline.Profile, len(e))
	for i, s := range e {
		amount := s.Firm.Add(s.Mean)
		for k := range amount {
			amount[k] += (s.Own[k] + s.Common[k]) * Deviations / 100
		}
		out[i] = timeline.Step{Span: s.Span, Amount: amount}
	}
	return out
}

// Envelope returns the coarse reservation for an allocation: at most proto.MaxSegments segments, the last one open, those before it nowhere below
// the allocation. Critical instances hold all of it firm. Others hold the floor firm (memory all of it), and the rest as expected demand with its
// deviation, read off the forecast as spread says; what lies past its end as through its last day.
func (s Sizing) Envelope(allocation timeline.Profile, f proto.ForecastReply) proto.Envelope {
	coarse := allocation.Cover(proto.MaxSegments - 1)
	out := make(proto.Envelope, 0, proto.MaxSegments)
	known := f.At(500).Span().End
	for _, step := range coarse {
		step.Amount = finite(step.Amount)
		if step.Start >= known { // of a move that begins late
			out = append(out, s.after(step, f, step.Amount))
			continue
		}
		out = append(out, s.segment(step, f))
	}
	tail := timeline.Step{Span: timeline.Span{Start: coarse.Span().End, End: timeline.Forever}, Amount: finite(s.tail(allocation))}
	return append(out, s.after(tail, f, Promised(out).MaxOver(lastDay(allocation))))
}

// tail returns what holds beyond the forecast: the most of the last day that it covers.
func (s Sizing) tail(allocation timeline.Profile) resource.Vector {
	end := allocation.Span().End
	return allocation.MaxOver(timeline.Span{Start: end.Add(-24 * time.Hour), End: end}).Max(s.Floor)
}

// finite returns v with nothing unlimited, which can't be promised.
func finite(v resource.Vector) resource.Vector {
	for k := range v {
		if v[k] >= resource.Unlimited {
			v[k] = 0
		}
	}
	return v
}

func (s Sizing) segment(step timeline.Step, f proto.ForecastReply) proto.Segment {
	seg := s.firm(step)
	if s.Class == proto.Critical {
		return seg
	}
	ahead := step.Span
	ahead.End = ahead.End.Add(time.Duration(f.Step) * time.Millisecond) // as the allocation is
	expected := bandOf(f).over(ahead).above(seg.Firm)
	for k := range step.Amount {
		// Nobody uses more than the type allows, however wide the band is.
		s.pool(&seg, k, step.Amount[k], s.Type[k], expected)
	}
	return seg
}

// firm returns the segment of a step with its firm part alone.
func (s Sizing) firm(step timeline.Step) proto.Segment {
	if s.Class == proto.Critical {
		return proto.Segment{Span: step.Span, Firm: step.Amount}
	}
	seg := proto.Segment{Span: step.Span, Firm: s.Floor.Min(step.Amount)}
	seg.Firm[resource.Memory] = step.Amount[resource.Memory]
	return seg
}

// pool has a segment hold an amount of a resource, of which what is expected above the firm part is given. Alone it is promised at most so much.
func (s Sizing) pool(seg *proto.Segment, k int, amount, most int64, expected spread) {
	if !resource.Kind(k).Poolable() {
		return
	}
	room := max(0, min(amount, most)-seg.Firm[k])
	seg.Mean[k] = min(int64(math.Ceil(expected.mean[k])), room)
	sigma := min(expected.sigma[k], float64(room-seg.Mean[k]))
	shared := float64(s.Common[k])
	seg.Common[k] = int64(math.Ceil(sigma * shared / 100))
	seg.Own[k] = int64(math.Ceil(sigma * math.Sqrt(100*100-shared*shared) / 100))
	left, sum := max(0, most-seg.Firm[k]-seg.Mean[k])*100/Deviations, seg.Own[k]+seg.Common[k]
	if most < resource.Unlimited && sum > left {
		share := float64(left) / float64(sum) // a product of two amounts may not fit an int64
		seg.Own[k], seg.Common[k] = int64(float64(seg.Own[k])*share), int64(float64(seg.Common[k])*share)
	}
}

// after returns the segment beyond the forecast. One time of a later day is not told from another there: what is pooled is as at any time of the last day
// that the forecast covers, with the mean of that day and how far demand is from it, in the course of the day and by chance. Peaks that don't coincide then
// need no room for all of them at once. Those that do coincide are held at their times in the last day itself, so they find no room together; only what
// begins later still is not held against them before they are forecast. Alone it is promised no more than in that day.
func (s Sizing) after(tail timeline.Step, f proto.ForecastReply, most resource.Vector) proto.Segment {
	seg := s.firm(tail)
	if s.Class == proto.Critical {
		return seg
	}
	expected := bandOf(f).within(lastDay(f.At(500)), max(time.Duration(f.Step)*time.Millisecond, time.Second), seg.Firm)
	for k := range seg.Firm {
		s.pool(&seg, k, tail.Amount[k], most[k], expected)
	}
	return seg
}
