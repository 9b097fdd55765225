package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// candidates returns the hosts to weigh: the one that was named, or all but the source.
func (p *planning) candidates() ([]proto.Host, error) {
	if name := p.Request.Target; name != "" {
		if name == p.instance.Owner {
			return nil, refusal("instance %s is on %s already: name another target", p.instance.Name(), name)
		}
		host, ok := p.View.Host(name)
		if !ok {
			return nil, refusal("there is no host %s: see them with glidepath host list", name)
		}
		return []proto.Host{host}, nil
	}
	var out []proto.Host
	for host := range p.View.Hosts() {
		if host.Facts.Name != p.instance.Owner {
			out = append(out, host)
		}
	}
	if len(out) == 0 {
		return nil, refusal("there is no host but %s: another one has to join first", p.instance.Owner)
	}
	return out, nil
}

// excluded returns why a host can't take the instance whatever its capacity, "" if it can.
func (p *planning) excluded(host proto.Host) string {
	f := host.Facts
	switch {
	case host.Cordoned && !p.back(): // what comes back is not new
		return "it is cordoned: nothing new is placed there"
	case host.Incarnation != p.View.Fleet().Incarnation:
		return "its agent has not reported what it runs yet"
	case clockOf(host) != "":
		return clockOf(host)
	case len(p.instance.Spec.FloatingAddresses()) > 0 && f.Segment != p.source.Facts.Segment:
		return fmt.Sprintf("the address %s belongs to segment %s, the host is on %s", p.instance.Spec.FloatingAddresses()[0], p.source.Facts.Segment, f.Segment)
	case f.SyncAddr == "":
		return "its agent takes no bulk data"
	}
	if p.instance.Spec.Mode == proto.Enforce {
		for _, needed := range []string{"cpu", "memory"} {
			if !slices.Contains(f.Controllers, needed) {
				return fmt.Sprintf("its kernel offers no %s controller: limits can't be enforced there", needed)
			}
		}
	}
	return ""
}

// clockOf says what is wrong with a host's clock, "" if nothing is.
func clockOf(host proto.Host) string {
	m, lacks := host.Facts.Lacks(proto.LacksClock)
	if !lacks {
		return ""
	}
	return "its clock does not agree with the coordinators': " + m.Remedy
}

// judge tries a plan's reservations against what is promised now, and scores how well the host suits: the share that
// its scarcest resource keeps free at its fullest step, in thousandths.
func (p *planning) judge(host proto.Host, r Result) (score int64, no error) {
	l := p.View.Ledger()
	if err := l.Fits(p.change(r)); err != nil {
		return 0, err
	}
	need := r.Reservation.Envelope.Expected()
	score = 1000
	for _, s := range l.Steps(host.Facts.Name) {
		want := need.MaxOver(s.Span)
		left := s.Headroom().Sub(want)
		for k := range left {
			if limit := s.Limit[k]; limit > 0 && limit < resource.Unlimited {
				score = min(score, left[k]*1000/limit)
			}
		}
	}
	return max(score, 1), nil
}

// sortConsidered puts the best first; those that were ruled out come last, by name.
func sortConsidered(c []proto.Considered) {
	slices.SortStableFunc(c, func(a, b proto.Considered) int {
		if a.Score != b.Score {
			if a.Score > b.Score {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Host, b.Host)
	})
}

// nowhere says why no host was found.
func (p *planning) nowhere(considered []proto.Considered) string {
	if len(considered) == 1 {
		c := considered[0]
		if c.Shortfall != nil {
			return fmt.Sprintf("instance %s does not fit on %s: %s", p.instance.Name(), c.Host, c.Reason)
		}
		return fmt.Sprintf("instance %s can't move to %s: %s", p.instance.Name(), c.Host, c.Reason)
	}
	lines := make([]string, len(considered))
	for i, c := range considered {
		lines[i] = c.Host + ": " + c.Reason
	}
	return fmt.Sprintf("no host can take instance %s: %s", p.instance.Name(), strings.Join(lines, "; "))
}

// Grid returns the span that forecasts for plans have to cover: that of the ledger's grid at its base step, from the step
// at now on.
func Grid(now timeline.Time, step time.Duration) timeline.Span {
	start := now.Floor(step)
	return timeline.Span{Start: start, End: start.Add(GridSteps * step)}
}

// GridSteps is how many base steps the ledger's grid spans before its tail: 48 hours at 5 minutes.
const GridSteps = 576
