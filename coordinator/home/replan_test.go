package home

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// more puts so many more instances on host-a, cache-2 and so on, of which little is expected at first.
func (w *world) more(class proto.Class, n int) {
	w.t.Helper()
	kind, _ := w.view().Type("m.large")
	sizing := planner.NewSizing(class, kind, proto.Application{}, proto.DefaultPolicy())
	now := timeline.Of(time.Now())
	little := timeline.Flat(planner.Grid(now, grid), resource.Vector{resource.CPU: 30, resource.Memory: 32 << 20})
	f := proto.ForecastReply{Start: now, Step: grid.Milliseconds(), Quantiles: []int{500, 990}, Profiles: []timeline.Profile{little, little}}
	allocation, _ := sizing.Allocation(f)
	for i := range n {
		name := fmt.Sprint("cache-", i+2)
		w.must(&proto.InstanceApply{Envelope: sizing.Envelope(allocation, f), Floor: sizing.Floor, Spec: proto.InstanceSpec{
			Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: "host-a", Type: "m.large", Class: class, Mode: proto.Enforce,
		}})
		added, _ := w.view().Instance(name)
		w.must(&proto.InstanceAdopted{Instance: name, Fence: added.Fence})
	}
}

// recorded is what was proposed.
func (w *world) recorded(h *Homes) *[]proto.Body {
	var out []proto.Body
	h.cfg.Propose = func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
		out = append(out, body)
		return w.propose(ctx, id, actor, body)
	}
	return &out
}

func TestTheRevisionsOfAHostAreOneCommandAndAreNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		w.more(proto.Critical, 4)
		h := w.life(w)
		bodies := w.recorded(h)
		for range 10 {
			h.round(t.Context(), w.view(), timeline.Of(time.Now()))
		}
		revised := 0
		for _, b := range *bodies {
			if c, ok := b.(*proto.ReservationChange); ok {
				revised++
				if len(c.Revise) != 4 {
					t.Errorf("%d revisions", len(c.Revise))
				}
			}
		}
		if revised != 1 {
			t.Errorf("%d commands revise reservations of one host: %+v", revised, *bodies)
		}
	})
}

func TestWhatIsRefusedByMistakeIsTriedOnlySoOftenInATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.life(shape(steady))
		tried := 0
		h.cfg.Propose = func(_ context.Context, _, _ string, body proto.Body) (proto.Result, error) {
			if body.Command() == proto.CmdReservationChange {
				tried++
			}
			return proto.Result{}, errors.New("no majority")
		}
		time.Sleep(14 * grid) // what is held in vain may be given back
		for range 3 * turnMost {
			h.round(t.Context(), w.view(), timeline.Of(time.Now()))
		}
		if tried == 0 || tried > turnMost {
			t.Errorf("tried %d times", tried)
		}
	})
}

func TestAHostThatIsShortIsToldOfUntilItIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Standard)
		window := proto.CapacityWindow{ID: "repair", Span: timeline.Span{Start: timeline.Of(time.Now().Add(time.Hour)), End: timeline.Of(time.Now().Add(2 * time.Hour))}, Whole: true}
		w.must(&proto.HostWindow{Host: "host-a", Put: &window, Force: true})
		w.run(10 * time.Second)
		n, ok := w.view().Notice(proto.NoticeID(proto.NoticeShort, "host-a"))
		if !ok || n.ClearedAt != 0 || !strings.Contains(n.Says, "host-a is short of ") || n.Proposes == "" {
			t.Fatalf("%+v", n)
		}
		w.must(&proto.HostWindow{Host: "host-a", Drop: "repair"})
		w.run(grid + time.Minute)
		if n, _ := w.view().Notice(n.ID); n.ClearedAt == 0 {
			t.Errorf("%+v", n)
		}
	})
}

// TestWhateverAHostLosesIsToldOf takes something away from a host that its promises rely on: who is short, when, of what, and what is proposed are told.
func TestWhateverAHostLosesIsToldOf(t *testing.T) {
	in := func(w *world, from, to time.Duration, n resource.Vector) {
		span := timeline.Span{Start: timeline.Of(time.Now().Add(from)), End: timeline.Of(time.Now().Add(to))}
		w.must(&proto.HostWindow{Host: "host-a", Force: true, Put: &proto.CapacityWindow{ID: "w", Span: span, Amount: n, Whole: n.IsZero()}})
	}
	registers := func(w *world, change func(v *resource.Vector)) {
		a, _ := w.view().Host("host-a")
		facts := a.Facts
		change(&facts.Allocatable)
		change(&facts.Capacity)
		w.must(&proto.HostRegister{Incarnation: w.view().Fleet().Incarnation, Facts: facts})
	}
	for what, c := range map[string]struct {
		lose     func(*world)
		resource resource.Kind
		from     time.Duration // from which it is short, by a step or two
		open     bool          // until further notice
	}{
		"one of two disks":         {func(w *world) { registers(w, func(v *resource.Vector) { v[resource.WriteIOPS] = 5 }) }, resource.WriteIOPS, 0, true},
		"memory, when it is back":  {func(w *world) { registers(w, func(v *resource.Vector) { v[resource.Memory] = 20 << 20 }) }, resource.Memory, 0, true},
		"memory that stays in use": {func(w *world) { w.must(&proto.HostDebt{Host: "host-a", Debt: 1000 << 20}) }, resource.Memory, 0, true},
		"a host that leaves":       {func(w *world) { in(w, 3*time.Hour, 400*24*time.Hour, resource.Vector{}) }, resource.CPU, 3 * time.Hour, true},
		"a host that joins later":  {func(w *world) { in(w, 0, 2*time.Hour, resource.Vector{}) }, resource.CPU, 0, false},
		"a part of it for a time":  {func(w *world) { in(w, time.Hour, 2*time.Hour, resource.Vector{resource.CPU: 1900}) }, resource.CPU, time.Hour, false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, proto.Standard)
				now := timeline.Of(time.Now())
				c.lose(w)
				w.run(10 * time.Second)
				n, ok := w.view().Notice(proto.NoticeID(proto.NoticeShort, "host-a"))
				if !ok || n.ClearedAt != 0 || n.Host != "host-a" || n.Resource != c.resource || n.Missing <= 0 || !strings.Contains(n.Says, "host-a is short of "+c.resource.String()) {
					t.Fatalf("%+v", n)
				}
				if at := max(n.Span.Start, now).Sub(now); at < c.from-time.Hour || at > c.from || (n.Span.End >= timeline.Forever) != c.open {
					t.Errorf("it is short in %s, %s from now", n.Span, at)
				}
				if !strings.Contains(n.Proposes, "cache-1 (standard)") {
					t.Errorf("it is proposed: %s", n.Proposes)
				}
			})
		})
	}
}

// noisy asks for 100m and what a seed makes of the time, which for instances that have nothing in common is their name.
type noisy struct{ common bool }

func (n noisy) Demand(_ context.Context, instance string, span timeline.Span, _ bool) (h forecast.History, err error) {
	start := span.End.Add(-96 * time.Hour).Floor(grid)
	values := make([]float64, int(span.End.Sub(start)/grid)+1)
	seed := uint64(1)
	if !n.common {
		for _, c := range instance {
			seed = seed*31 + uint64(c)
		}
	}
	for i := range values {
		x := seed*0x9e3779b97f4a7c15 + uint64(start.Add(time.Duration(i)*grid))
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		values[i] = 100 + 40*(float64((x^x>>31)>>11)/(1<<53)-.5)
	}
	h[resource.CPU] = forecast.Series{Start: start, Step: grid, Fold: forecast.Max, Values: values}
	return h, nil
}

func TestWhatInstancesHaveInCommonIsMeasuredHeldAndSaid(t *testing.T) {
	for _, common := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, proto.Standard)
			w.more(proto.Standard, 3)
			h := w.life(noisy{common})
			if text := strings.Join(w.forecast(h).Reasons, "; "); !strings.Contains(text, "instances on host-a have in common: 30 % are assumed: errors are too few (instances: 0, steps: 0;") {
				t.Errorf("before anything came: %s", text)
			}
			for range 38 {
				time.Sleep(grid)
				h.round(t.Context(), w.view(), timeline.Of(time.Now()))
			}
			e := h.common(w.view(), "host-a", timeline.Of(time.Now()))
			if share := e.Share[resource.CPU]; e.Assumes(resource.CPU) || e.Members != 4 || common && share < 55 || !common && share > 40 {
				t.Errorf("the same noise in all: %v, in common %+v", common, e)
			}
			if !e.Assumes(resource.NetTx) || e.Share[resource.NetTx] != 30 {
				t.Errorf("%+v without a history", e)
			}
			text := strings.Join(w.forecast(h).Reasons, "; ")
			if !strings.Contains(text, fmt.Sprintf("have in common: cpu %d %%", e.Share[resource.CPU])) || !strings.Contains(text, "of the rest 30 % are assumed") {
				t.Error(text)
			}
			host, _ := w.view().Host("host-a")
			now := timeline.Of(time.Now())
			for _, want := range h.wants(w.view(), host, now, h.once(t.Context(), w.view(), now)) {
				s := want.Envelope[0]
				if want.Reservation.Purpose == proto.PurposeSystem || s.Own[resource.CPU]+s.Common[resource.CPU] < 10 {
					continue
				}
				part := math.Hypot(float64(s.Own[resource.CPU]), float64(s.Common[resource.CPU])) * float64(e.Share[resource.CPU]) / 100
				if math.Abs(float64(s.Common[resource.CPU])-part) > 1 { // both are whole units
					t.Errorf("%s: %d in common and %d of its own, with %d %%", want.Reservation.Instance, s.Common[resource.CPU], s.Own[resource.CPU], e.Share[resource.CPU])
				}
			}
			if v := state.Check(w.view()); len(v) > 0 {
				t.Error(v)
			}
		})
	}
}

func TestErrorsAreForgottenWithTheInstanceAndTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Standard)
		h := w.life(noisy{})
		for range 6 {
			h.round(t.Context(), w.view(), timeline.Of(time.Now()))
			time.Sleep(grid)
		}
		if len(h.rings) != 1 || len(h.turns) != 2 || len(h.shares) != 2 {
			t.Fatalf("%d rings, %d turns, %d shares", len(h.rings), len(h.turns), len(h.shares))
		}
		w.must(&proto.HostHome{Host: "host-a", From: "c1", Home: "c2", Standby: "c1"})
		h.round(t.Context(), w.view(), timeline.Of(time.Now()))
		if len(h.rings) != 0 || len(h.turns) != 1 || len(h.shares) != 1 {
			t.Errorf("%d rings, %d turns, %d shares of a host at home elsewhere", len(h.rings), len(h.turns), len(h.shares))
		}
	})
}
