package packing

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/common"
	"github.com/glidepath/glidepath/coordinator/replan"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Pools is how often the instances of a host together used more than was held for them, with reservations that were revised each hour.
type Pools struct {
	Hosts     int
	Instances float64 // on a host
	Steps     int     // of all hosts together
	ByZ       []PoolRate
	Memory    float64 // share of steps in which more memory was used than held: all of it is firm
	Common    float64 // of the deviation of CPU, what a host's instances have in common at the end, mean of the hosts
	Revisions float64 // of an instance in an hour
}

// PoolRate is the share of steps in which more CPU was used than firm and mean parts and so many deviations of the pool.
type PoolRate struct {
	Z    int64 // thousandths
	Over float64
	Held float64 // what was held, relative to what was used
}

// roomy is how many times as large hosts are on which every revision is to fit.
const roomy = 4

// watched is an instance whose forecasts are made anew each hour, as its home does.
type watched struct {
	history  forecast.History
	forecast proto.ForecastReply
	drift    *forecast.Drift
	ring     *common.Ring
}

// learn trains the model anew, and keeps how far what came since the last time was off.
func (w *watched) learn(now timeline.Time, host resource.Vector) error {
	if w.drift != nil {
		for _, e := range w.drift.Errors(w.history.Before(now)) {
			w.ring.Put(e.At, e.Of)
		}
	}
	m, err := train(w.history, now, host)
	if err != nil {
		return err
	}
	soon, err := m.Forecast(now, 90*time.Minute)
	if err != nil {
		return err
	}
	w.drift = forecast.NewDrift(soon, now)
	w.forecast, err = replyOf(m, now)
	return err
}

// pools replays demand from the origin on, on hosts where the ledger put the instances.
func (t *trial) pools(ctx context.Context, machines []Machine, o Options) (Pools, error) {
	on, hosts := t.ledger(o.Policy.Z, open, o.Policy.Fill)(rand.New(rand.NewPCG(o.Seed, 0)).Perm(len(machines)), 100)
	out := Pools{Hosts: hosts, Instances: float64(len(on)) / float64(hosts)}
	for _, z := range Zs() {
		out.ByZ = append(out.ByZ, PoolRate{Z: z})
	}
	f, err := newFleet(t.at, o.Policy, t.host)
	if err != nil {
		return out, err
	}
	room := resource.Uniform(resource.Unlimited)
	for _, k := range kinds() {
		room[k] = roomy * t.host[k]
	}
	for h := range hosts {
		if err := f.addHost(hostName(h), room); err != nil {
			return out, err
		}
	}
	all := make([]*watched, len(machines))
	for i, m := range machines {
		all[i] = &watched{history: replayed(m.History), ring: common.NewRing(grid)}
		if err := f.run(nameOf(i), hostName(on[i]), t.instances[i].envelope, t.instances[i].floor); err != nil {
			return out, err
		}
	}
	hours := min(int(o.Revised/time.Hour), t.length/perHour)
	held, used := make([]float64, len(Zs())), 0.0
	for hour := range hours {
		f.now = t.at.Add(time.Duration(hour) * time.Hour)
		for _, w := range all {
			if ctx.Err() != nil {
				return out, context.Cause(ctx)
			}
			if err := w.learn(f.now, t.host); err != nil {
				return out, err
			}
		}
		out.Common = 0
		for h := range hosts {
			n, share, err := t.revise(f, h, on, all, o.Policy)
			if err != nil {
				return out, err
			}
			out.Revisions += float64(n) / float64(len(all)*hours)
			out.Common += float64(share) / 100 / float64(hosts)
		}
		used += t.count(&out, f, on, hour*perHour, held)
	}
	for i := range out.ByZ {
		out.ByZ[i].Over /= float64(out.Steps)
		out.ByZ[i].Held = held[i] / used
	}
	out.Memory /= float64(out.Steps)
	return out, nil
}

const perHour = int(time.Hour / grid)

func nameOf(i int) string { return fmt.Sprintf("i-%05d", i) }

// revise has it decided what is revised on a host, as its home does in the host's turn. It returns how many reservations were, and what part of the deviation of
// CPU the instances were found to have in common.
func (t *trial) revise(f *fleet, h int, on []int, all []*watched, p proto.Policy) (revised, share int, err error) {
	var rings []*common.Ring
	for i := range all {
		if on[i] == h {
			rings = append(rings, all[i].ring)
		}
	}
	s := sizingOf(t.host, p)
	s.Common = common.Of(rings).Share
	var wants []replan.Want
	for i, w := range all {
		if on[i] == h {
			allocation, _ := s.Allocation(w.forecast)
			wants = append(wants, replan.Want{Allocation: allocation, Envelope: s.Envelope(allocation, w.forecast), Sizing: s, Forecast: w.forecast})
			wants[len(wants)-1].Reservation.Instance = nameOf(i)
		}
	}
	const rounds = 8
	for range rounds {
		in := replan.Input{Host: hostName(h), View: f.s.View(), Now: f.now, Wants: wants, Turn: true}
		for i := range in.Wants {
			in.Wants[i].Reservation, _ = in.View.ReservationOf(in.Wants[i].Reservation.Instance, in.Host)
		}
		for n := range in.View.Notices() {
			if n.Host == in.Host && n.ClearedAt == 0 {
				in.Notices = append(in.Notices, n)
			}
		}
		goesOn := false
		for _, p := range replan.Decide(in) {
			r, err := f.apply(p.Body)
			if err != nil {
				return revised, 0, err
			}
			if c, ok := p.Body.(*proto.ReservationChange); ok && r.OK() {
				revised += len(c.Revise)
			}
			goesOn = goesOn || p.Turn
		}
		if !goesOn {
			break
		}
	}
	return revised, s.Common[resource.CPU], nil
}

// count looks at the steps of the hour that begins with the n-th. It adds up what was held with each number of deviations, and returns how much CPU was used.
func (t *trial) count(out *Pools, f *fleet, on []int, n int, held []float64) float64 {
	used := make([][perHour]resource.Vector, out.Hosts)
	sum := 0.0
	for i, h := range on {
		for k := range perHour {
			used[h][k] = used[h][k].Add(t.instances[i].used[n+k])
			sum += float64(t.instances[i].used[n+k][resource.CPU])
		}
	}
	l := f.s.View().Ledger().Clone()
	l.Roll(f.now)
	for zi, z := range Zs() {
		if err := l.SetZ(z); err != nil {
			panic(err) // all are within bounds
		}
		for h := range out.Hosts {
			steps := l.Steps(hostName(h))
			for k := range perHour {
				needed := steps[k].Needed // the grid begins at the hour, and is fine for six of them
				held[zi] += float64(needed[resource.CPU])
				if used[h][k][resource.CPU] > needed[resource.CPU] {
					out.ByZ[zi].Over++
				}
				if zi > 0 {
					continue
				}
				out.Steps++
				if used[h][k][resource.Memory] > needed[resource.Memory] {
					out.Memory++
				}
			}
		}
	}
	return sum
}

// Nominal returns how often a normal distribution is more than so many thousandths of its deviation above its mean.
func Nominal(z int64) float64 { return math.Erfc(float64(z)/1000/math.Sqrt2) / 2 }
