package ledger

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Shortages returns where a host has promised more than it may: of each resource the runs of steps that are short, with the amounts of
// the worst step of the run, in order of their starts. Short is the first step of the first of them.
func (l *Ledger) Shortages(host string) []proto.Shortfall {
	if l.Short(host) == nil {
		return nil
	}
	return shortages(host, l.Owed(host))
}

func shortages(host string, steps []Step) []proto.Shortfall {
	var out []proto.Shortfall
	for k := range resource.Kinds {
		var run *proto.Shortfall
		for _, s := range steps {
			missing := s.Needed[k] - s.Limit[k]
			if missing <= 0 || s.Limit[k] >= resource.Unlimited {
				run = nil
				continue
			}
			here := proto.Shortfall{
				Host: host, Span: s.Span, Resource: resource.Kind(k), Missing: missing, Needed: s.Needed[k], Limit: s.Limit[k],
			}
			if run == nil {
				out = append(out, here)
				run = &out[len(out)-1]
				continue
			}
			here.Span.Start = run.Span.Start
			if missing > run.Missing {
				*run = here
			}
			run.Span.End = here.Span.End
		}
	}
	slices.SortStableFunc(out, func(a, b proto.Shortfall) int {
		return cmp.Or(cmp.Compare(a.Span.Start, b.Span.Start), cmp.Compare(a.Resource, b.Resource))
	})
	return out
}
