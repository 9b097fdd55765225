package packing

import (
	"context"
	"fmt"
	"math"
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

// over returns the share of the steps of all hosts in which more is used than a host has.
func (t *trial) over(on []int, hosts, steps int) float64 {
	over := 0
	sums := make([]resource.Vector, hosts)
	for n := range steps {
		clear(sums)
		for i, h := range on {
			sums[h] = sums[h].Add(t.instances[i].used[n])
		}
		for _, sum := range sums {
			for _, k := range kinds() {
				if sum[k] > t.host[k] {
					over++
					break
				}
			}
		}
	}
	return float64(over) / float64(max(1, hosts*steps))
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

// mean returns what a policy comes to, in the mean of all trials, that uses a part of each host.
func mean(all []placed, p policy, percent int64) Outcome {
	out := Outcome{Margin: 100 / float64(percent)}
	n := float64(len(all))
	for _, t := range all {
		on, hosts := p(t.trial)(t.order, percent)
		out.Hosts += float64(hosts) / n
		out.Over += t.over(on, hosts, t.length) / n
		out.Stayed += t.over(on, hosts, len(t.instances[0].used)) / n
	}
	out.AtRisk = out.Hosts
	return out
}

// outcome adds how many hosts it takes when no more steps are overloaded than may be: less and less of each host is used, in all trials alike, until that is so.
func outcome(all []placed, p policy) Outcome {
	out := mean(all, p, 100)
	for percent, over := int64(98), out.Over; over > Risk && percent >= 20; percent -= 2 {
		less := mean(all, p, percent)
		over = less.Over
		out.AtRisk, out.Margin = less.Hosts, less.Margin
	}
	return out
}
