// Package packing replays demand and measures how many hosts a fleet needs: by the promises of Glidepath's ledger, beside hosts that are filled by fixed
// amounts, and beside what nobody can know. The forecasts, reservations, admission and scores are the product's own.
package packing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	grid = 5 * time.Minute
	day  = 24 * time.Hour
	// warm is how much history lies before the first origin.
	warm = 14 * day
	// Risk is the share of steps in which a host may be overloaded.
	Risk = .01
)

// kinds are the resources that are replayed: those of which traces have amounts that hosts run out of.
func kinds() []resource.Kind { return []resource.Kind{resource.CPU, resource.Memory} }

// Machine is a demand history of CPU and memory.
type Machine struct {
	Name    string
	History forecast.History
}

// Options say what is replayed.
type Options struct {
	Seed    uint64 // of the orders in which instances come
	Orders  int    // that are drawn for each origin
	Origins int    // at which instances are placed, on empty hosts each time
	Apart   time.Duration
	// Length is how long after an origin demand is replayed; Stay is how long if nobody moves anything for longer.
	Length, Stay time.Duration
	Each         int           // static peaks of the mean size at the first origin that fill a host
	Revised      time.Duration // for how long reservations are revised each hour, from the first origin on; 0: not at all
	Policy       proto.Policy
	Progress     func(string)
}

// DefaultOptions are what `make bench` replays.
func DefaultOptions() Options {
	return Options{
		Seed: 1, Orders: 3, Origins: 6, Apart: 2 * day, Length: 2 * day, Stay: 4 * day, Each: 20, Revised: day, Policy: proto.DefaultPolicy(),
		Progress: func(string) {},
	}
}

// Outcome is what a policy came to, mean of all origins and orders.
type Outcome struct {
	Hosts  float64
	Over   float64 // share of the steps of hosts in which more was used than the host has
	Memory float64 // share of those in which it was more memory, whether or not it was more CPU, too
	Stayed float64 // the same if all stay where they are for longer
	// AtRisk is how many hosts it takes for at most Risk of the steps of all trials: with Margin times what the policy asks for, in each of them.
	AtRisk, Margin float64
}

// Policy is a way to place instances.
type Policy int

// The policies. Those of fixed amounts fill a host after the other.
const (
	FirstPeak Policy = iota // first fit, of the highest use so far
	BestPeak                // best fit, of the same
	BestP95                 // best fit, of what 19 of 20 steps so far did not pass
	Open                    // what Glidepath reserves for instances, until further notice, with hosts filled one after another
	Ahead                   // the same, held only for as long as there is a forecast
	Spread                  // the same as Open, with instances spread over the hosts that there are
	policies
)

// Result is what was measured of a set.
type Result struct {
	Machines int
	Trials   int // origins times orders
	Host     resource.Vector
	By       [policies]Outcome
	Bound    float64 // hosts that the highest sum of all demand needs, if it could be spread evenly
	ByZ      []ByZ   // other numbers of deviations
	Learned  Outcome // with the deviations that history would have had it choose
	Pools    Pools   // how often the instances of a host used more than was held for them
}

// ByZ is what pooled demand comes to that is held with some number of deviations.
type ByZ struct {
	Z           int64 // thousandths
	Open, Ahead Outcome
}

// Zs are the deviations that are replayed, in thousandths, in order.
func Zs() []int64 { return []int64{0, 1000, 1280, 1640, 2330, 3000, 4000} }

// NoDataError says that a set can't be replayed.
type NoDataError struct{ Reason string }

func (e *NoDataError) Error() string { return e.Reason }

// Run replays a set of machines.
func Run(ctx context.Context, machines []Machine, o Options) (Result, error) {
	if len(machines) == 0 {
		return Result{}, errors.New("there are no machines to place")
	}
	first := machines[0].History[resource.CPU].Start.Add(warm).Ceil(time.Hour)
	out := Result{Machines: len(machines), Host: hostOf(machines, first, o.Each), Trials: o.Origins * o.Orders}
	var all []placed
	for n := range o.Origins {
		at := first.Add(time.Duration(n) * o.Apart)
		o.Progress(fmt.Sprintf("placed at %s", at))
		t, err := newTrial(ctx, machines, out.Host, at, max(o.Length, o.Stay), o.Policy)
		if err != nil {
			return out, err
		}
		t.length = int(o.Length / grid)
		out.Bound += math.Ceil(t.bound(t.length)-1e-9) / float64(o.Origins)
		for k := range o.Orders {
			all = append(all, placed{t, rand.New(rand.NewPCG(o.Seed, uint64(n*o.Orders+k))).Perm(len(machines))})
		}
	}
	ours := func(z int64, long reach, fill proto.Fill) policy {
		return func(t *trial) placing { return t.ledger(z, long, fill) }
	}
	for i, p := range [policies]policy{
		FirstPeak: func(t *trial) placing { return t.firstFit }, BestPeak: func(t *trial) placing { return t.bestFit },
		BestP95: func(t *trial) placing { return t.bestFit95 }, Open: ours(o.Policy.Z, open, proto.FillPack), Ahead: ours(o.Policy.Z, whileForecast, proto.FillPack),
		Spread: ours(o.Policy.Z, open, proto.FillSpread),
	} {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		out.By[i] = outcome(all, p)
	}
	var byZ [][]Outcome
	for _, z := range Zs() {
		each := outcomes(all, ours(z, open, proto.FillPack), 100)
		byZ = append(byZ, each)
		out.ByZ = append(out.ByZ, ByZ{z, mean(each), mean(outcomes(all, ours(z, whileForecast, proto.FillPack), 100))})
	}
	out.Learned = learned(byZ, o.Orders, o.Policy.Z)
	if o.Revised == 0 {
		return out, nil
	}
	o.Progress("reservations are revised each hour")
	var err error
	out.Pools, err = all[0].pools(ctx, machines, o)
	return out, err
}

// hostOf returns a host that would hold so many static peaks of the mean size, if these could be cut into pieces; at least what the largest needs.
func hostOf(machines []Machine, at timeline.Time, each int) resource.Vector {
	v := resource.Uniform(resource.Unlimited)
	for _, k := range kinds() {
		var sum, most float64
		for _, m := range machines {
			p := quantile(m.History[k].Before(at).Values, 1)
			sum, most = sum+p, max(most, p)
		}
		v[k] = int64(math.Ceil(max(sum*float64(each)/float64(len(machines)), most)))
	}
	return v
}
