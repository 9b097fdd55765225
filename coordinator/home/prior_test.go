package home

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// siblings is a store with two weeks of cache-1, whose CPU runs as cpu says at a time in days, and half an hour of any other.
type siblings struct{ cpu func(at float64) float64 }

func (s siblings) Demand(_ context.Context, instance string, span timeline.Span, _ bool) (h forecast.History, err error) {
	long := 14 * 24 * time.Hour
	if instance == "cache-2" {
		long = 30 * time.Minute
	}
	for k := range h {
		h[k] = forecast.Series{Start: span.End.Add(-long).Floor(grid), Step: grid, Fold: forecast.Max, Values: make([]float64, long/grid)}
		for i := range h[k].Values {
			h[k].Values[i] = 64 << 20
			if resource.Kind(k) == resource.CPU {
				h[k].Values[i] = s.cpu(float64(i) / 288)
			}
		}
	}
	return h, nil
}

func TestANewInstanceBeginsWithWhatItsLikeTakesIfThatRepeats(t *testing.T) {
	for name, c := range map[string]struct {
		cpu         func(at float64) float64
		application string
		least, most int64
		why         string
	}{
		"a day that repeats":  {func(at float64) float64 { return 200 + 100*math.Sin(2*math.Pi*at) }, "redis", 280, 450, "others of application redis"},
		"a rise that goes on": {func(at float64) float64 { return 100 + 20*at }, "redis", 1000, 1000, "type's maximum"},
		"another application": {func(at float64) float64 { return 200 + 100*math.Sin(2*math.Pi*at) }, "", 1000, 1000, "type's maximum"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, proto.Critical)
				i, _ := w.view().Instance("cache-1")
				r, _ := w.view().Reservation(i.Reservation)
				spec := i.Spec
				spec.Name, spec.Service = "cache-0", &proto.ServiceSpec{Unit: "redis-0.service"}
				small := slices.Clone(r.Envelope)
				for i := range small {
					small[i].Firm = r.Floor
				}
				w.must(&proto.InstanceApply{Envelope: small, Floor: r.Floor, Spec: spec})
				spec.Name, spec.Application, spec.Service = "cache-2", c.application, &proto.ServiceSpec{Unit: "redis-2.service"}
				w.must(&proto.InstanceApply{Envelope: small, Floor: r.Floor, Spec: spec})
				h := w.homes(nil)
				h.cfg.Store = siblings{c.cpu}
				ask := func(instance string) proto.ForecastReply {
					t.Helper()
					reply, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: instance})
					if err != nil {
						t.Fatal(err)
					}
					return reply
				}
				ask("cache-1") // its model is there from now on
				if alone := ask("cache-2"); alone.At(990).MaxOver(alone.At(990).Span())[resource.CPU] != 1000 {
					t.Errorf("one other speaks for it: %q", alone.Reasons)
				}
				ask("cache-0")
				h.Forget("cache-2")
				young := ask("cache-2")
				most := young.At(990).MaxOver(young.At(990).Span())[resource.CPU]
				if most < c.least || most > c.most {
					t.Errorf("p99 is %dm, want %dm to %dm: %q", most, c.least, c.most, young.Reasons)
				}
				// A quarter of a day on they are at their height, which it has not seen.
				if like, _ := young.At(500).At(young.Start.Add(6 * time.Hour)); c.most < 1000 && (like[resource.CPU] < 270 || like[resource.CPU] > 340) {
					t.Errorf("the median in six hours is %dm, of others 300m: %q", like[resource.CPU], young.Reasons)
				}
				if !young.Cold || !slices.ContainsFunc(young.Reasons, func(s string) bool { return strings.Contains(s, c.why) }) {
					t.Errorf("cold %v, %q: want %q", young.Cold, young.Reasons, c.why)
				}
			})
		})
	}
}

// slower is a store in which cache-2 takes twice as much CPU as others.
type slower struct{ siblings }

func (s slower) Demand(ctx context.Context, instance string, span timeline.Span, highest bool) (forecast.History, error) {
	h, err := s.siblings.Demand(ctx, instance, span, highest)
	if instance == "cache-2" {
		for i := range h[resource.CPU].Values {
			h[resource.CPU].Values[i] *= 2
		}
	}
	return h, err
}

func TestWhatItsLikeTakeIsTakenAsItIsOnItsOwnCPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		w.cpus()
		i, _ := w.view().Instance("cache-1")
		r, _ := w.view().Reservation(i.Reservation)
		small := slices.Clone(r.Envelope)
		for i := range small {
			small[i].Firm = r.Floor
		}
		for name, host := range map[string]string{"cache-0": "host-a", "cache-2": "host-b"} {
			spec := i.Spec
			spec.Name, spec.Host, spec.Service = name, host, &proto.ServiceSpec{Unit: name + ".service"}
			w.must(&proto.InstanceApply{Envelope: small, Floor: r.Floor, Spec: spec})
		}
		h := w.homes(nil)
		h.cfg.Store = slower{siblings{func(at float64) float64 { return 200 + 100*math.Sin(2*math.Pi*at) }}}
		var young proto.ForecastReply
		for _, name := range []string{"cache-0", "cache-1", "cache-2"} {
			var err error
			if young, err = h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: name}); err != nil {
				t.Fatal(err)
			}
		}
		// The others' height is 300m, on a CPU that does twice as much.
		if got, _ := young.At(500).At(young.Start.Add(6 * time.Hour)); got[resource.CPU] < 540 || got[resource.CPU] > 680 {
			t.Errorf("the median in six hours is %dm: %q", got[resource.CPU], young.Reasons)
		}
	})
}

// newcomer is a store in which cache-1 has run for three hours, until a time on a CPU that does twice as much.
type newcomer struct{ at timeline.Time }

func (newcomer) cpu(at timeline.Time) float64 {
	return 400 + 200*math.Sin(2*math.Pi*float64(int64(at)%86_400_000)/86_400_000)
}

func (n newcomer) Demand(_ context.Context, instance string, span timeline.Span, _ bool) (h forecast.History, err error) {
	long := 14 * 24 * time.Hour
	if instance == "cache-1" {
		long = 3 * time.Hour
	}
	for k := range h {
		h[k] = forecast.Series{Start: span.End.Add(-long).Floor(grid), Step: grid, Fold: forecast.Max, Values: make([]float64, long/grid)}
		for i := range h[k].Values {
			at := h[k].Start.Add(time.Duration(i) * grid)
			switch {
			case resource.Kind(k) != resource.CPU:
				h[k].Values[i] = 64 << 20
			case instance == "cache-1" && at < n.at:
				h[k].Values[i] = n.cpu(at) / 2
			default:
				h[k].Values[i] = n.cpu(at)
			}
		}
	}
	return h, nil
}

func TestTheLevelOfANewInstanceIsThatOnTheCPUItCameTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		i, _ := w.view().Instance("cache-1")
		r, _ := w.view().Reservation(i.Reservation)
		small := slices.Clone(r.Envelope)
		for i := range small {
			small[i].Firm = r.Floor
		}
		for _, name := range []string{"cache-0", "cache-2"} {
			spec := i.Spec
			spec.Name, spec.Host, spec.Service = name, "host-b", &proto.ServiceSpec{Unit: name + ".service"}
			w.must(&proto.InstanceApply{Envelope: small, Floor: r.Floor, Spec: spec})
		}
		h := w.homes(nil)
		h.cfg.Store = newcomer{w.carry()}
		time.Sleep(time.Hour)
		var young proto.ForecastReply
		for _, name := range []string{"cache-0", "cache-2", "cache-1"} {
			var err error
			if young, err = h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: name}); err != nil {
				t.Fatal(err)
			}
		}
		then := young.Start.Add(6 * time.Hour)
		want := newcomer{}.cpu(then)
		if got, _ := young.At(500).At(then); math.Abs(float64(got[resource.CPU])-want) > .1*want {
			t.Errorf("the median in six hours is %dm, it will be %.0fm: %q", got[resource.CPU], want, young.Reasons)
		}
	})
}
