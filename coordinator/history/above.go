package history

import (
	"context"
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Above compares an instance's mean demand in each window with what its schedule said at the window's end, whether it was limited or
// not: how often it was above is how often it was, or would have been, held back, or lent headroom. Resources without a schedule are left out.
func (s *Store) Above(ctx context.Context, instance string, span timeline.Span) (proto.Above, error) {
	out := proto.Above{Span: timeline.Span{Start: span.End, End: span.End}}
	asked, err := s.Raw(ctx, instance, DemandMean, span)
	if err != nil {
		return out, err
	}
	said, err := s.Raw(ctx, instance, Scheduled, span)
	if err != nil {
		return out, err
	}
	for _, k := range resource.All() {
		of := proto.AboveOf{Resource: k}
		d, g := asked[k], said[k]
		for i, amount := range g.Values {
			at := g.Start.Add(time.Duration(i) * RawStep)
			n := int(at.Sub(d.Start) / RawStep)
			if at < d.Start || n >= len(d.Values) || math.IsNaN(amount) || math.IsNaN(d.Values[n]) {
				continue
			}
			out.Span.Start = min(out.Span.Start, at)
			of.Windows++
			if over := d.Values[n] - amount; over > 0 {
				of.Above++
				of.Most = max(of.Most, int64(math.Round(over)))
			}
		}
		if of.Windows > 0 {
			out.Of = append(out.Of, of)
		}
	}
	return out, nil
}
