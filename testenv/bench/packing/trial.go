package packing

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// instance is a machine as it is known at an origin, and what it used from then on.
type instance struct {
	name      string
	peak, p95 resource.Vector // of what was known
	envelope  proto.Envelope  // what Glidepath would reserve for it
	floor     resource.Vector
	used      []resource.Vector // from the origin on, step by step
}

// trial is one origin: instances that are placed on empty hosts.
type trial struct {
	at        timeline.Time
	host      resource.Vector
	instances []instance
	length    int // steps by which policies are judged
}

func newTrial(ctx context.Context, machines []Machine, host resource.Vector, at timeline.Time, replay time.Duration, p proto.Policy) (*trial, error) {
	t := &trial{at: at, host: host, length: int(replay / grid)}
	for _, m := range machines {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		h := replayed(m.History)
		i := instance{name: m.Name, used: usedIn(h, at, int(replay/grid))}
		for _, k := range kinds() {
			known := h[k].Before(at).Values
			i.peak[k] = min(host[k], int64(math.Ceil(quantile(known, 1))))
			i.p95[k] = min(host[k], int64(math.Ceil(quantile(known, .95))))
		}
		model, err := train(h, at, host)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		f, err := replyOf(model, at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		s := sizingOf(host, p)
		allocation, _ := s.Allocation(f)
		i.envelope, i.floor = s.Envelope(allocation, f), s.Floor
		t.instances = append(t.instances, i)
	}
	return t, nil
}

// sizingOf returns the sizing of an instance of class standard whose type allows all that a host has.
func sizingOf(host resource.Vector, p proto.Policy) planner.Sizing {
	return planner.NewSizing(proto.Standard, proto.InstanceType{Max: host}, proto.Application{}, p)
}

// train learns what is known of a machine at a time, with all members of the forecast.
func train(h forecast.History, at timeline.Time, host resource.Vector) (*forecast.Model, error) {
	most := resource.Uniform(1) // what is not replayed is not used
	for _, k := range kinds() {
		most[k] = host[k]
	}
	return forecast.Train(h.Before(at), nil, forecast.Options{Step: grid, Maximum: most})
}

// replyOf returns the forecast of the grid from a time on, as homes answer it.
func replyOf(m *forecast.Model, at timeline.Time) (proto.ForecastReply, error) {
	f, err := m.Forecast(at, planner.GridSteps*grid)
	if err != nil {
		return proto.ForecastReply{}, err
	}
	reply := proto.ForecastReply{Start: f.Start, Step: f.Step.Milliseconds(), Observed: 1}
	for _, q := range f.Quantiles {
		reply.Quantiles = append(reply.Quantiles, int(math.Round(q*1000)))
		reply.Profiles = append(reply.Profiles, f.Profile(q))
	}
	return reply, nil
}

// bound returns how many hosts the highest sum of what was used in the first steps takes.
func (t *trial) bound(steps int) float64 {
	most := 0.0
	for n := range steps {
		var sum resource.Vector
		for i := range t.instances {
			sum = sum.Add(t.instances[i].used[n])
		}
		for _, k := range kinds() {
			most = max(most, float64(sum[k])/float64(t.host[k]))
		}
	}
	return most
}

// over returns the share of the steps of all hosts in which more is used than a host has, and of those in which that is memory.
func (t *trial) over(on []int, hosts, steps int) (either, memory float64) {
	sums := make([]resource.Vector, hosts)
	for n := range steps {
		clear(sums)
		for i, h := range on {
			sums[h] = sums[h].Add(t.instances[i].used[n])
		}
		for _, sum := range sums {
			if sum[resource.Memory] > t.host[resource.Memory] {
				either, memory = either+1, memory+1
			} else if sum[resource.CPU] > t.host[resource.CPU] {
				either++
			}
		}
	}
	of := float64(max(1, hosts*steps))
	return either / of, memory / of
}

// placing puts instances, in an order, on the fewest hosts that a policy is content with, of which it uses the part that is given in percent. It returns on
// which host each is, and how many there are.
type placing func(order []int, percent int64) (on []int, hosts int)

// policy is a placing of any trial.
type policy func(*trial) placing

// placed is a trial in which instances come in an order.
type placed struct {
	*trial
	order []int
}

// outcomes returns what a policy comes to in each trial, that uses a part of each host.
func outcomes(all []placed, p policy, percent int64) []Outcome {
	var out []Outcome
	for _, t := range all {
		on, hosts := p(t.trial)(t.order, percent)
		o := Outcome{Hosts: float64(hosts), AtRisk: float64(hosts), Margin: 100 / float64(percent)}
		o.Over, o.Memory = t.over(on, hosts, t.length)
		o.Stayed, _ = t.over(on, hosts, len(t.instances[0].used))
		out = append(out, o)
	}
	return out
}

// mean returns the mean of what came of trials of a policy, all with the same margin.
func mean(all []Outcome) Outcome {
	var out Outcome
	n := float64(len(all))
	for _, o := range all {
		out.Hosts, out.AtRisk, out.Margin = out.Hosts+o.Hosts/n, out.AtRisk+o.AtRisk/n, o.Margin
		out.Over, out.Memory, out.Stayed = out.Over+o.Over/n, out.Memory+o.Memory/n, out.Stayed+o.Stayed/n
	}
	return out
}

// outcome adds how many hosts it takes when no more steps are overloaded than may be: less and less of each host is used, in all trials alike, until that is so.
func outcome(all []placed, p policy) Outcome {
	out := mean(outcomes(all, p, 100))
	for percent, over := int64(98), out.Over; over > Risk && percent >= 20; percent -= 2 {
		less := mean(outcomes(all, p, percent))
		over = less.Over
		out.AtRisk, out.Margin = less.Hosts, less.Margin
	}
	return out
}

// learned returns what it comes to if at each origin as many deviations are held as would have been enough at those before it, which are over by then: the fewest
// with which no more of their steps were overloaded than may be, or the most. At the first one they are those of the policy. Trials are given for each of Zs, those
// of an origin together.
func learned(byZ [][]Outcome, orders int, first int64) Outcome {
	var out []Outcome
	for n := 0; n < len(byZ[0]); n += orders {
		z := slices.Index(Zs(), first)
		if n > 0 {
			z = slices.IndexFunc(byZ, func(of []Outcome) bool { return mean(of[:n]).Over <= Risk })
		}
		if z < 0 {
			z = len(byZ) - 1
		}
		out = append(out, byZ[z][n:n+orders]...)
	}
	return mean(out)
}
