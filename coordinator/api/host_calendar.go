package api

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// mostHolders is how many are named who hold what is tightest.
const mostHolders = 8

// getHostCalendar returns how full a host is promised over the grid, with the tightest step of each resource and of all.
func getHostCalendar(c *call) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	name := h.Facts.Name
	steps := c.view.Ledger().Steps(name)
	out := v1.HostCalendar{
		Host: name, Now: c.now, Resources: []v1.ResourceCalendar{}, Holders: []v1.Holder{}, Steps: joinedSteps(steps),
		Short: items(c.view.Ledger().Shortages(name)).Items, Windows: items(slices.Clone(h.Windows)).Items,
	}
	least := 0.0
	for _, k := range resource.All() {
		t, left, ok := tightest(steps, k)
		if !ok {
			continue
		}
		out.Resources = append(out.Resources, v1.ResourceCalendar{Resource: k, Tightest: t})
		if out.Tightest == nil || left < least {
			least = left
			out.Tightest = &t
		}
	}
	if out.Tightest != nil {
		out.Holders = holders(c.view.ReservationsOn(name), *out.Tightest)
	}
	return out, nil
}

// tightest returns the first step in which the least share of a resource is left, and that share. Where nothing of it is there and nothing is
// needed, there is nothing to be tight.
func tightest(steps []ledger.Step, k resource.Kind) (t v1.Tightest, least float64, ok bool) {
	for _, s := range steps {
		limit, free := s.Limit[k], s.Limit[k]-s.Needed[k]
		if limit >= resource.Unlimited || limit <= 0 && free >= 0 {
			continue
		}
		left := float64(free) / float64(max(1, limit))
		if !ok || left < least {
			t, least, ok = v1.Tightest{Resource: k, Span: s.Span, Free: free, Limit: limit}, left, true
		}
	}
	return t, least, ok
}

// holders returns who holds most of what is tightest.
func holders(list []proto.Reservation, t v1.Tightest) []v1.Holder {
	out := []v1.Holder{}
	for _, r := range list {
		if n := r.Envelope.Expected().MaxOver(t.Span)[t.Resource]; n > 0 && (r.Until == 0 || r.Until > t.Span.Start) {
			out = append(out, v1.Holder{Reservation: r.ID, Instance: r.Instance, Class: r.Class, Amount: n})
		}
	}
	slices.SortStableFunc(out, func(a, b v1.Holder) int { return cmp.Compare(b.Amount, a.Amount) })
	return out[:min(len(out), mostHolders)]
}

// joinedSteps returns the steps of a host, equal neighbours as one, but for the last one, which has no end: how far the grid goes is to be seen.
func joinedSteps(steps []ledger.Step) []v1.HostStep {
	out := []v1.HostStep{}
	for _, s := range steps {
		if n := len(out); n > 0 && out[n-1].Needed == s.Needed && out[n-1].Limit == s.Limit && out[n-1].End == s.Start && s.End < timeline.Forever {
			out[n-1].End = s.End
			continue
		}
		out = append(out, v1.HostStep{Span: s.Span, Needed: s.Needed, Limit: s.Limit})
	}
	return out
}
