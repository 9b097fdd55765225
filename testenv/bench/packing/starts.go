package packing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// StartOptions say for what moves a start is chosen.
type StartOptions struct {
	Times    int           // at which a move of each machine is asked for
	Apart    time.Duration // between two of them
	Within   time.Duration // in which a move has to be over
	Data     int64         // bytes that each moves
	Link     int64         // of a host, in bits per second
	Together int           // machines on the two hosts of a move, half of them on each
	Progress func(string)
}

// DefaultStartOptions are what `make bench` replays: 20 GiB over links of 1 Gbit/s, asked for at times all over the day.
func DefaultStartOptions() StartOptions {
	return StartOptions{Times: 4, Apart: 31 * time.Hour, Within: day, Data: 20 << 30, Link: 1e9, Together: 12, Progress: func(string) {}}
}

// Starts is what came of the moves, beside the same moves begun at once. What a start comes to is what a plan says that knows what was written then.
type Starts struct {
	Machines, Moves int
	Later           int // moves for which a later start was chosen
	Worse           int // of those, moves that sent more than if they had begun at once
	Refused         int // moves for which there was no plan: they are in no other figure
	// Shares that were saved against moving at once, of all moves and of those that were begun later: median and 90th percentile.
	Bytes, Duration           Saved
	LaterBytes, LaterDuration Saved
	// Rewritten is what moving at once sends beside its data, relative to these: what there is to save of bytes.
	Rewritten Saved
}

// Saved are the median, the 90th percentile and the 10th of what was saved.
type Saved struct{ Median, P90, P10 float64 }

// moved is one kind of start of one move.
type moved struct{ bytes, duration float64 }

// RunStarts asks for moves of all machines.
func RunStarts(ctx context.Context, machines []Machine, o StartOptions) (Starts, error) {
	out := Starts{Machines: len(machines)}
	if len(machines) < 2 {
		return out, errors.New("moves need two machines at least: one that moves, and one that is on the other host")
	}
	first := machines[0].History[resource.CPU].Start.Add(warm).Ceil(time.Hour)
	var bytes, duration, laterBytes, laterDuration, rewritten []float64
	for n := range o.Times {
		now := first.Add(time.Duration(n) * o.Apart)
		o.Progress(fmt.Sprintf("moves asked for at %s", now))
		for from := 0; from+1 < len(machines); from += o.Together {
			group := machines[from:min(from+o.Together, len(machines))]
			w, err := newPair(group, now, o)
			if err != nil {
				return out, err
			}
			for i := range group {
				if ctx.Err() != nil {
					return out, context.Cause(ctx)
				}
				atOnce, best, later, err := w.move(i)
				var refusal *planner.Refusal
				var short *proto.Shortfall
				if errors.As(err, &refusal) || errors.As(err, &short) {
					out.Refused++
					continue
				}
				if err != nil {
					return out, err
				}
				out.Moves++
				b, d := 1-best.bytes/atOnce.bytes, 1-best.duration/atOnce.duration
				bytes, duration = append(bytes, b), append(duration, d)
				rewritten = append(rewritten, atOnce.bytes/float64(o.Data)-1)
				if later {
					out.Later++
					laterBytes, laterDuration = append(laterBytes, b), append(laterDuration, d)
					if b < 0 {
						out.Worse++
					}
				}
			}
		}
	}
	out.Bytes, out.Duration = savedOf(bytes), savedOf(duration)
	out.LaterBytes, out.LaterDuration, out.Rewritten = savedOf(laterBytes), savedOf(laterDuration), savedOf(rewritten)
	return out, nil
}

func savedOf(v []float64) Saved {
	return Saved{Median: quantile(v, .5), P90: quantile(v, .9), P10: quantile(v, .1)}
}

// pair is two hosts, each with half of some machines, and what is known of these.
type pair struct {
	o     StartOptions
	f     *fleet
	known []proto.ForecastReply // what is forecast
	truth []proto.ForecastReply // what came, as if it had been forecast
}

const mbyte = 1_000_000

// pairHosts are large enough for all but the link to take what comes; disks take half a gigabyte in a second.
func pairHosts(link int64) resource.Vector {
	v := resource.Uniform(resource.Unlimited)
	v[resource.ReadBytes], v[resource.WriteBytes] = 500*mbyte, 500*mbyte
	v[resource.NetTx], v[resource.NetRx] = link, link
	return v
}

func newPair(group []Machine, now timeline.Time, o StartOptions) (*pair, error) {
	policy := proto.DefaultPolicy()
	most := resource.Uniform(resource.Unlimited)
	f, err := newFleet(now, policy, most)
	if err != nil {
		return nil, err
	}
	w := &pair{o: o, f: f}
	for h := range 2 {
		if err := f.addHost(hostName(h), pairHosts(o.Link)); err != nil {
			return nil, err
		}
	}
	s := planner.NewSizing(proto.Standard, proto.InstanceType{Max: most}, proto.Application{}, policy)
	for i, m := range group {
		known, err := foreseen(m, now)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		w.known, w.truth = append(w.known, known), append(w.truth, came(m, now))
		allocation, _ := s.Allocation(known)
		if err := f.run(nameOf(i), hostName(i%2), s.Envelope(allocation, known), s.Floor); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return w, nil
}

// foreseen returns the forecast of all that a trace has.
func foreseen(m Machine, now timeline.Time) (proto.ForecastReply, error) {
	h := m.History.Before(now)
	most := resource.Uniform(1)
	for k := range h {
		h[k].Fold = forecast.Max
		if len(h[k].Values) > 0 {
			most[k] = max(1, int64(2*quantile(h[k].Values, 1)))
		}
	}
	model, err := forecast.Train(h, nil, forecast.Options{Step: grid, Maximum: most})
	if err != nil {
		return proto.ForecastReply{}, err
	}
	return replyOf(model, now)
}

// came returns what a machine used from a time on as a forecast that is sure of it.
func came(m Machine, now timeline.Time) proto.ForecastReply {
	span := planner.Grid(now, grid)
	var p timeline.Profile
	last := resource.Vector{}
	for at := span.Start; at < span.End; at = at.Add(grid) {
		for k, s := range m.History {
			if i := int(at.Sub(s.Start) / grid); s.Step == grid && i >= 0 && i < len(s.Values) && !math.IsNaN(s.Values[i]) {
				last[k] = int64(math.Ceil(s.Values[i]))
			}
		}
		p = append(p, timeline.Step{Span: timeline.Span{Start: at, End: at.Add(grid)}, Amount: last})
	}
	p = p.Join()
	return proto.ForecastReply{Start: span.Start, Step: grid.Milliseconds(), Observed: 1, Quantiles: []int{500, 950, 990}, Profiles: []timeline.Profile{p, p, p}}
}

// move plans the move of the i-th machine to the other host at the best start, and says what that start and moving at once come to.
func (w *pair) move(i int) (atOnce, best moved, later bool, err error) {
	in := planner.Input{View: w.f.s.View(), Now: w.f.now, Forecast: w.known[i], Data: w.o.Data, Costs: planner.DefaultCosts()}
	in.Request = planner.Request{
		Instance: nameOf(i), Target: hostName(1 - i%2), Best: true, Before: w.f.now.Add(w.o.Within), LeastGain: planner.DefaultLeastGain,
	}
	chosen, err := planner.Make(in)
	if err != nil {
		return atOnce, best, false, err
	}
	at := func(start timeline.Time) (moved, error) {
		in.Forecast = w.truth[i]
		in.Request.Best, in.Request.At, in.Request.Before, in.Request.LeastGain = false, start, 0, 0
		r, err := planner.Make(in)
		if err != nil {
			return moved{}, err
		}
		return moved{bytes: float64(r.Plan.Figures.Bytes.Median), duration: float64(r.Plan.Figures.Duration.Median)}, nil
	}
	if atOnce, err = at(w.f.now); err != nil {
		return atOnce, best, false, err
	}
	best, err = at(chosen.Plan.Start)
	return atOnce, best, chosen.Plan.Start > w.f.now, err
}
