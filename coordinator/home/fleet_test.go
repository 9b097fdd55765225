package home

import (
	"context"
	"fmt"
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

// strangers is a store with two weeks of each instance, whose CPU goes up and down by the day by half about a level of its own, and of cache-1 half a day.
type strangers struct{}

func (strangers) Demand(_ context.Context, instance string, span timeline.Span, _ bool) (h forecast.History, err error) {
	long, level := 14*24*time.Hour, 40.0
	if instance == "cache-1" {
		long = 13 * time.Hour
	} else {
		var n float64
		if _, err := fmt.Sscanf(instance, "app-%v", &n); err != nil {
			return h, nil // a host's own use
		}
		level *= 1 + n
	}
	for k := range h {
		h[k] = forecast.Series{Start: span.End.Add(-long).Floor(grid), Step: grid, Fold: forecast.Max, Values: make([]float64, long/grid)}
		for i := range h[k].Values {
			at := float64(h[k].Start)/86_400_000 + float64(i)/288
			h[k].Values[i] = level * (1 + .5*math.Sin(2*math.Pi*at))
		}
	}
	return h, nil
}

func TestAnInstanceOfANewApplicationBeginsWithWhatTheFleetTellsOfIt(t *testing.T) {
	for _, others := range []int{8, 12} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, proto.Critical)
				i, _ := w.view().Instance("cache-1")
				r, _ := w.view().Reservation(i.Reservation)
				small := slices.Clone(r.Envelope)
				for i := range small {
					small[i].Firm = r.Floor
				}
				h := w.homes(nil)
				h.cfg.Store = strangers{}
				ask := func(instance string) proto.ForecastReply {
					t.Helper()
					reply, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: instance})
					if err != nil {
						t.Fatal(err)
					}
					return reply
				}
				for n := range others {
					w.must(&proto.AppPut{Application: proto.Application{Name: fmt.Sprintf("app-%d", n)}})
					spec := i.Spec
					spec.Name, spec.Application, spec.Service = fmt.Sprintf("app-%d", n), fmt.Sprintf("app-%d", n), &proto.ServiceSpec{Unit: fmt.Sprintf("app-%d.service", n)}
					w.must(&proto.InstanceApply{Envelope: small, Floor: r.Floor, Spec: spec})
					ask(spec.Name)
				}
				young := ask("cache-1")
				most := young.At(990).MaxOver(young.At(990).Span())[resource.CPU]
				says := slices.ContainsFunc(young.Reasons, func(s string) bool {
					return strings.Contains(s, fmt.Sprintf("what %d instances of all applications came to ask for", others))
				})
				if known := others == 12; says != known || !young.Cold || (!known && most != 1000) || (known && (most < 40 || most > 200)) {
					t.Errorf("p99 is %dm: %q", most, young.Reasons)
				}
			})
		})
	}
}

func TestOfHowInstancesGrowOnlySoManyAreKeptAndThoseThatAreGoneAreLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.homes(nil)
		now := timeline.Of(time.Now())
		history, _ := strangers{}.Demand(t.Context(), "app-1", timeline.Span{Start: now.Add(-14 * 24 * time.Hour), End: now}, true)
		for i := range growthMost + 10 {
			h.grow(fmt.Sprint(i), history, resource.Vector{}, now)
		}
		if len(h.growth) != growthMost {
			t.Errorf("%d are kept", len(h.growth))
		}
		first := h.grown()
		h.grow("0", history, resource.Vector{}, now.Add(time.Hour))
		if h.grown() != first {
			t.Error("an hour later it was looked at anew")
		}
		later := now.Add(3 * 24 * time.Hour)
		h.grow("0", history, resource.Vector{}, later)
		h.grow("new", history, resource.Vector{}, later)
		if len(h.growth) != 2 || h.grown() != nil {
			t.Errorf("%d are kept of those that were not seen for days", len(h.growth))
		}
	})
}
