package replan

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/traces"
)

// What BenchmarkReplay replays.
const (
	replayHosts, replayEach = 100, 50
	replayFleet             = 10_000 // hosts of which these are a share
	replayTraces            = 24     // of instances, which share them; four more are of hosts' own use
	replayPhases            = 12     // models are trained in one step of the hour or another
	replayLearned           = 14 * 24 * time.Hour
)

// replayed is a trace whose model is trained at one step of the hour, and when demand drifts. Whose it is, is of one class.
type replayed struct {
	history forecast.History
	phase   int
	class   proto.Class
	means   bool
	most    resource.Vector
	model   *forecast.Model
	drift   *forecast.Drift
	trained timeline.Time
	want    Want // without its reservation
}

// at brings the forecast to a time. As at a home a model is trained anew after an hour, and where it drifts after a quarter of one.
func (r *replayed) at(b *testing.B, now timeline.Time) {
	b.Helper()
	known := r.history.Before(now)
	step := int(now.Sub(0)/grid) % replayPhases
	drifted := r.drift != nil && len(r.drift.See(known)) > 0 && now.Sub(r.trained) >= 15*time.Minute
	if r.model == nil || step == r.phase || drifted {
		for k := range known {
			known[k].Fold = forecast.Max
			if r.means {
				known[k].Fold = forecast.Mean
			}
		}
		m, err := forecast.Train(known, nil, forecast.Options{Step: grid, Maximum: r.most})
		if err != nil {
			b.Fatal(err)
		}
		f, err := m.Forecast(now, 90*time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		r.model, r.trained, r.drift = m, now, forecast.NewDrift(f, now)
	}
	f, err := r.model.Forecast(now, planner.GridSteps*grid)
	if err != nil {
		b.Fatal(err)
	}
	reply := proto.ForecastReply{Start: now, Step: grid.Milliseconds(), Observed: 1}
	for _, q := range f.Quantiles {
		reply.Quantiles = append(reply.Quantiles, int(math.Round(q*1000)))
		reply.Profiles = append(reply.Profiles, f.Profile(q))
	}
	s := planner.NewSizing(r.class, proto.InstanceType{Max: r.most}, proto.Application{}, proto.DefaultPolicy())
	if r.means {
		s = planner.Sizing{Class: r.class, Quantile: 950, Type: r.most, Common: planner.AssumedShares()}
	}
	r.want = Want{Sizing: s, Forecast: reply}
	r.want.Allocation, _ = s.Allocation(reply)
	r.want.Envelope = s.Envelope(r.want.Allocation, reply)
}

// bench is the whole that is replayed.
type bench struct {
	instances [replayTraces]*replayed
	systems   [4]*replayed
}

func newBench(b *testing.B, start timeline.Time, length time.Duration, room resource.Vector) *bench {
	b.Helper()
	out := &bench{}
	patterns := traces.Patterns()
	trace := func(seed int, pattern traces.Pattern, campaign bool) forecast.History {
		spec := traces.Spec{Seed: uint64(seed), Start: start.Add(-replayLearned), Length: replayLearned + length, Pattern: pattern, Shapes: traces.Redis()}
		if campaign { // of which nobody knew
			spec.Campaigns = []traces.Campaign{{Start: start.Add(90 * time.Minute), Length: 45 * time.Minute}}
		}
		t, err := traces.Generate(spec)
		if err != nil {
			b.Fatal(err)
		}
		return t.History
	}
	most := resource.Uniform(resource.Unlimited)
	most[resource.CPU], most[resource.Memory] = 1000, 384<<20
	for i := range out.instances {
		class := []proto.Class{proto.Standard, proto.Critical, proto.Standard, proto.BestEffort}[i/2%4]
		out.instances[i] = &replayed{history: trace(i, patterns[i%len(patterns)], i%8 == 0), phase: i * 5 % replayPhases, class: class, most: most}
	}
	for i := range out.systems {
		out.systems[i] = &replayed{history: trace(1000+i, traces.Idle, false), phase: i * 3, class: proto.Standard, most: room, means: true}
	}
	return out
}

func (r *bench) at(b *testing.B, now timeline.Time) {
	b.Helper()
	for _, one := range slices.Concat(r.instances[:], r.systems[:]) {
		one.at(b, now)
	}
}

// of returns what an instance of a host should hold.
func (r *bench) of(host, i int) Want { return r.instances[(host*replayEach+i)*7%replayTraces].want }

// replayedFleet is one fleet for which it is decided.
type replayedFleet struct {
	s     *state.State
	now   timeline.Time
	n     int
	count map[proto.CommandType]int
}

func (f *replayedFleet) apply(b *testing.B, body proto.Body) bool {
	b.Helper()
	f.n++
	cmd, err := proto.NewCommand(fmt.Sprint("r", f.n), "home c1", body)
	if err != nil {
		b.Fatal(err)
	}
	cmd.At = f.now
	r, _ := f.s.Apply(cmd)
	f.count[body.Command()]++
	return r.OK()
}

// newReplayedFleet puts the instances on hosts that have so many percent of what is held at first, of every resource.
func newReplayedFleet(b *testing.B, r *bench, now timeline.Time, percent int64) *replayedFleet {
	b.Helper()
	f := &replayedFleet{s: state.New(), now: now, count: map[proto.CommandType]int{}}
	must := func(body proto.Body) {
		if !f.apply(b, body) {
			b.Fatalf("%+v was refused", body)
		}
	}
	must(&proto.FleetInit{Fleet: "f", GridStep: grid.Milliseconds(), Policy: proto.DefaultPolicy()})
	must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", RPCAddr: "c1:7647", Commands: proto.KnownCommands()}})
	most := r.instances[0].most
	must(&proto.TypePut{Type: proto.InstanceType{Name: "m.large", Max: most}})
	for h := range replayHosts {
		name := fmt.Sprintf("h-%03d", h)
		held := timeline.Profile{}
		for i := range replayEach {
			w := r.of(h, i)
			held = held.Add(planner.Promised(w.Envelope))
		}
		v := held.MaxOver(timeline.Span{End: timeline.Forever}).Scale(percent, 100)
		must(&proto.HostRegister{Incarnation: f.s.View().Fleet().Incarnation, Facts: proto.HostFacts{
			Name: name, MachineID: "m-" + name, BootID: "b", Capacity: v, Allocatable: v, Controllers: []string{"cpu", "io", "memory"}, SyncAddr: name + ":7647",
		}})
		for i := range replayEach {
			w := r.of(h, i)
			instance := fmt.Sprintf("i-%03d-%02d", h, i)
			must(&proto.InstanceApply{Envelope: w.Envelope, Floor: w.Sizing.Floor, Spec: proto.InstanceSpec{
				Name: instance, Driver: "service", Service: &proto.ServiceSpec{Unit: instance + ".service"}, Host: name, Type: "m.large", Class: w.Sizing.Class, Mode: proto.Enforce,
			}})
			added, _ := f.s.View().Instance(instance)
			must(&proto.InstanceAdopted{Instance: instance, Fence: added.Fence})
		}
	}
	clear(f.count)
	return f
}

// step does what is decided at a step of the grid, as a home would.
func (f *replayedFleet) step(b *testing.B, r *bench, now timeline.Time) {
	b.Helper()
	f.now = now
	for h := range replayHosts {
		name := fmt.Sprintf("h-%03d", h)
		for range 8 {
			in := Input{Host: name, View: f.s.View(), Now: now, Turn: Turn(name, now, grid) > now.Add(-grid)}
			system := r.systems[h%len(r.systems)].want
			own := proto.SystemReservation(name)
			var ok bool
			if system.Reservation, ok = in.View.Reservation(own); !ok {
				system.Reservation = proto.Reservation{ID: own, Host: name, Instance: proto.SystemInstance, Class: proto.Standard, Purpose: proto.PurposeSystem}
			}
			in.Wants = append(in.Wants, system)
			for i := range replayEach {
				w := r.of(h, i)
				w.Reservation, _ = in.View.ReservationOf(fmt.Sprintf("i-%03d-%02d", h, i), name)
				in.Wants = append(in.Wants, w)
			}
			for n := range in.View.Notices() {
				if n.Host == name && n.ClearedAt == 0 {
					in.Notices = append(in.Notices, n)
				}
			}
			goesOn := false
			for _, p := range Decide(in) {
				f.apply(b, p.Body)
				goesOn = goesOn || p.Turn
			}
			if !goesOn {
				break
			}
		}
	}
}

// BenchmarkReplay replays generated demand for 100 hosts of 50 instances whose forecasts are made anew as at a home, and reports the commands per second that
// what is decided makes for a fleet of 10,000 hosts: of hosts with half as much again as is held at first, and of such with a twentieth more. The first hour,
// in which what was put in settles, does not count.
//
// It is called with -benchtime=Nx: N hours.
func BenchmarkReplay(b *testing.B) {
	start := timeline.Of(time.Date(2026, 1, 19, 7, 0, 0, 0, time.UTC))
	length := time.Duration(b.N+1) * time.Hour
	r := newBench(b, start, length+grid, resource.Vector{16_000, 64 << 30, 1e6, 1e6, 1 << 40, 1 << 40, 1e11, 1e11})
	r.at(b, start)
	fleets := map[string]*replayedFleet{"roomy": newReplayedFleet(b, r, start, 150), "tight": newReplayedFleet(b, r, start, 105)}
	b.ResetTimer()
	for at := start.Add(grid); at < start.Add(length); at = at.Add(grid) {
		if at == start.Add(time.Hour) {
			for _, f := range fleets {
				clear(f.count)
			}
		}
		r.at(b, at)
		for _, f := range fleets {
			f.step(b, r, at)
		}
	}
	b.StopTimer()
	for name, f := range fleets {
		if wrong := state.Check(f.s.View()); len(wrong) > 0 {
			b.Fatal(wrong)
		}
		all := 0
		for kind, n := range f.count {
			all += n
			b.ReportMetric(float64(n)*replayFleet/replayHosts/(float64(b.N)*3600), name+"-"+kind.String()+"/s")
		}
		b.ReportMetric(float64(all)*replayFleet/replayHosts/(float64(b.N)*3600), name+"-commands/s")
	}
}
