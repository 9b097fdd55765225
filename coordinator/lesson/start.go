package lesson

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Start is what an application takes after a start, on top of what is forecast.
type Start struct {
	Extra resource.Vector // at first
	Decay time.Duration   // in which it falls to 1/e; more than 0
	Seen  int             // starts that it was learned from
	Said  bool            // an operator stated it, too, or alone
}

const (
	saidCounts = 4                // starts that what an operator stated counts as
	mostStarts = 32               // that are learned from, the newest
	highStart  = .8               // share of the starts that took no more than what is kept ready
	saidDecay  = 20 * time.Second // where it was stated what is taken, and not for how long: it is all but gone after a minute
	leastDecay = time.Second
)

// Start returns what an application takes after a start on a CPU: what an operator stated, drawn towards what its instances took when they were moved by the number
// of moves, else that alone. Without either it is nothing.
func (b Book) Start(app proto.Application, on proto.CPU) Start {
	out := Start{Extra: app.Startup, Decay: saidDecay, Said: !app.Startup.IsZero()}
	if app.Decay > 0 {
		out.Decay = time.Duration(app.Decay) * time.Second
	}
	var extra [resource.Kinds][]int64
	var decay []float64
	for _, e := range b {
		if e.Lesson.Start == nil || app.Name == "" || e.Application != app.Name || out.Seen == mostStarts {
			continue
		}
		out.Seen++
		by := b.Factor(e.To, on, app.Name, e.Class)
		for k, n := range e.Lesson.Start.Extra {
			if resource.Kind(k) == resource.CPU {
				n = by.Amount(n)
			}
			extra[k] = append(extra[k], n)
		}
		if e.Lesson.Start.Decay > 0 {
			decay = append(decay, float64(e.Lesson.Start.Decay))
		}
	}
	if out.Seen == 0 {
		return out
	}
	said := 0.0
	if out.Said {
		said = saidCounts
	}
	seen := float64(out.Seen)
	for k := range extra {
		slices.Sort(extra[k])
		high := extra[k][int(math.Ceil(highStart*seen))-1]
		out.Extra[k] = int64(math.Ceil((said*float64(out.Extra[k]) + seen*float64(high)) / (said + seen)))
	}
	if n := float64(len(decay)); n > 0 && (app.Decay == 0 || out.Said) {
		if app.Decay == 0 {
			said = 0
		}
		out.Decay = time.Duration((said*float64(out.Decay) + n*median(decay)*float64(time.Millisecond)) / (said + n))
	}
	out.Decay = max(out.Decay, leastDecay)
	return out
}

// Says explains what an application takes after a start; "" where that is nothing.
func (s Start) Says(application string) string {
	if s.Extra.IsZero() {
		return ""
	}
	from := ""
	switch {
	case s.Seen == 1:
		from = ", by one earlier start"
	case s.Seen > 1:
		from = fmt.Sprintf(", by %d earlier starts", s.Seen)
	}
	if s.Seen > 0 && s.Said {
		from += " and what was stated"
	}
	return fmt.Sprintf("application %s takes %s more after a start, fading within about %.0f s%s", application, s.Extra, 3*s.Decay.Seconds(), from)
}

// Scores returns what the CPU models of a fleet do: the median of the hosts that have one.
func Scores(v *state.View) map[string]int64 {
	all := map[string][]int64{}
	v.EachHost(func(h *proto.Host) bool {
		if s := h.Facts.CPUScore; s > 0 {
			all[h.Facts.CPUModel] = append(all[h.Facts.CPUModel], s)
		}
		return true
	})
	out := make(map[string]int64, len(all))
	for model, scores := range all {
		slices.Sort(scores)
		out[model] = scores[len(scores)/2]
	}
	return out
}
