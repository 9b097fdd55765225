package scorecard

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// When the window stands in for a model, and for how long. Between losing and winning there is a band in which nothing changes.
const (
	evidence = 6 * day // of steps that have come, for each lead on average: what comes once a week must be among them
	recent   = 2 * day
	loses    = 1.05 // times the window's loss, over the week and over the last two days
	wins     = .95  // times the window's loss, over the last two days; or no more than it, over the week
	dwell    = day  // at least, between two changes
	little   = 1.0  // unit of the resource: a smaller difference per step is none, because amounts are whole
	week     = 7 * day
)

// Change is that a resource is forecast by the window from now on, or by its model again.
type Change struct {
	Resource resource.Kind
	Window   bool
	Ratio    float64 // the model's loss over the window's in the last week; 0 where that is not known
}

// Judge decides who forecasts each resource, the instance's model or the window in its place, and returns what changed. A window that stands in leaves
// where there is no evidence any more: it was of a demand that has ended.
func Judge(c *proto.Scorecard, now timeline.Time) []Change {
	var changes []Change
	for k := range c.Standing {
		s := &c.Standing[k]
		if s.Since != 0 && now.Sub(s.Since) < dwell {
			continue
		}
		long, short := since(c, resource.Kind(k), now.Add(-week)), since(c, resource.Kind(k), now.Add(-recent))
		known := time.Duration(long.steps)*stepOf(c) >= evidence*time.Duration(len(Leads()))
		if known && short.steps == 0 || !known && !s.Window {
			continue
		}
		if turn := !known || s.Window && (short.wins(wins) || long.wins(1)) || !s.Window && short.loses() && long.loses(); !turn {
			continue
		}
		*s = proto.Standing{Window: !s.Window, Since: now}
		change := Change{resource.Kind(k), s.Window, Ratio(c, resource.Kind(k), now)}
		if math.IsNaN(change.Ratio) || math.IsInf(change.Ratio, 0) {
			change.Ratio = 0
		}
		changes = append(changes, change)
	}
	return changes
}

// Ratio returns the model's pinball loss of a resource over the window's in the last week, over all quantiles and leads; NaN where neither has any.
func Ratio(c *proto.Scorecard, kind resource.Kind, now timeline.Time) float64 {
	w := since(c, kind, now.Add(-week))
	return w.loss[proto.ByModel] / w.loss[proto.ByWindow]
}

// pooled are losses over quantiles and leads.
type pooled struct {
	steps int
	loss  [proto.Forecasters]float64
}

// since pools the tallies of a resource from the piece on that holds a time.
func since(c *proto.Scorecard, kind resource.Kind, from timeline.Time) pooled {
	var out pooled
	for _, t := range c.Tallies {
		if t.Start < from.Floor(piece) {
			continue
		}
		of := t.Of[kind]
		out.steps += of.Steps
		for by, f := range of.Fared {
			for _, l := range f.Loss {
				out.loss[by] += float64(l)
			}
		}
	}
	return out
}

func (p pooled) loses() bool {
	return p.loss[proto.ByModel] > loses*p.loss[proto.ByWindow] && p.loss[proto.ByModel]-p.loss[proto.ByWindow] >= little*float64(p.steps)
}

// wins reports whether the model lost no more than a share of what the window did.
func (p pooled) wins(share float64) bool {
	return p.loss[proto.ByModel] <= share*p.loss[proto.ByWindow]
}
