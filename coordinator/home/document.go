package home

import (
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// derive returns a host's document as it follows from the tables and the forecasts, without its version. forecast
// answers what is known of an instance's demand, and false while nothing is.
func derive(view *state.View, host proto.Host, now timeline.Time, forecast func(instance string) (proto.ForecastReply, bool)) proto.Document {
	fleet := view.Fleet()
	step := time.Duration(fleet.GridStep) * time.Millisecond
	span := planner.Grid(now, step)
	doc := proto.Document{Host: host.Facts.Name, IssuedAt: now, Paused: fleet.Paused || host.Paused}
	var promised timeline.Profile
	for _, r := range view.ReservationsOn(host.Facts.Name) {
		i, ok := view.Instance(r.Instance)
		held := planner.Promised(r.Envelope).Clip(span)
		if ok && lent(view, host.Facts.Name, i, r) {
			held = held.Map(func(v resource.Vector) resource.Vector { return resource.Vector{resource.Memory: v[resource.Memory]} })
		}
		promised = promised.Add(held)
		if !ok || r.Instance == proto.SystemInstance {
			continue
		}
		s, ok := schedule(view, host.Facts.Name, i, r, span, forecast)
		if ok {
			doc.Instances = append(doc.Instances, s)
		}
	}
	slices.SortFunc(doc.Instances, func(a, b proto.InstanceSchedule) int { return strings.Compare(a.Instance, b.Instance) })
	doc.Headroom = headroom(host, fleet.Policy, promised, span)
	return doc
}

// schedule returns an instance's schedule on a host where it has the reservation r, and false where it has no business:
// the source of a migration that has been confirmed keeps the slot, not the instance.
func schedule(view *state.View, host string, i proto.Instance, r proto.Reservation, span timeline.Span, forecast func(string) (proto.ForecastReply, bool)) (proto.InstanceSchedule, bool) {
	spec := i.Spec
	target := false
	if m, moving := view.Migration(i.Migration); moving && m.Target == host && !m.Confirmed() {
		target = true
		spec.Type = m.ToType
	} else if i.Owner != host {
		return proto.InstanceSchedule{}, false
	}
	kind, ok := view.Type(spec.Type)
	if !ok {
		return proto.InstanceSchedule{}, false
	}
	app, _ := view.Application(spec.Application)
	sizing := planner.NewSizing(spec.Class, kind, app, view.Fleet().Policy)
	promised := within(planner.Promised(r.Envelope).Clip(span), sizing, kind.Max)

	var want timeline.Profile
	f, known := forecast(i.Name())
	m, planned := lastMove(view, i, host)
	switch {
	case target:
		want = planProfile(m.Plan)
		want = want.Max(startUp(m, want))
	case known:
		want, _ = sizing.Allocation(f)
		if planned {
			want = want.Max(startUp(m, want))
		}
	default:
		want = promised
	}
	s := proto.InstanceSchedule{
		Instance: i.Name(), Spec: spec, Fence: i.Fence, Promised: promised, Max: kind.Max, Floor: sizing.Floor,
		Limited: spec.Mode == proto.Enforce && !i.Paused,
	}
	s.Schedule = fit(want, promised, sizing.Floor, kind.Max)
	s.Safe = lowest(s.Schedule)
	if known {
		s.Safe = s.Safe.Min(sizing.Safe(f)).Max(sizing.Floor)
	}
	return s, true
}

// lent reports whether a reservation is the slot that the source of a migration keeps while its target is on probation. Feedback may hand out what is not used of it, like
// what is promised to nobody: it is back as soon as the way back begins, or the target is given up, as the document that has the instance on the host again has it no more.
// Memory is not lent: who has it can't give it back at once.
func lent(view *state.View, host string, i proto.Instance, r proto.Reservation) bool {
	m, ok := view.Migration(i.Migration)
	return ok && r.ID == m.SourceReservation && r.Host == host && i.Owner != host && m.Confirmed() && m.Phase != proto.PhaseUndo
}

// lastMove returns the migration that moves the instance, or that brought it to the host.
func lastMove(view *state.View, i proto.Instance, host string) (proto.Migration, bool) {
	m, ok := view.Migration(i.Migration)
	return m, ok && m.Target == host
}

// planProfile returns the allocations that a plan foresees.
func planProfile(p proto.Plan) timeline.Profile {
	out := make(timeline.Profile, len(p.Profile))
	for i, s := range p.Profile {
		out[i] = timeline.Step{Span: s.Span, Amount: s.Allocation}
	}
	return out
}

// startUp returns what a plan allocates from its switch until it is warm, moved to when the switch really began; nothing
// before it has.
func startUp(m proto.Migration, want timeline.Profile) timeline.Profile {
	var planned timeline.Span
	for _, ph := range m.Plan.Phases {
		switch ph.Phase {
		case proto.PhaseSwitch:
			planned.Start = ph.Start
		case proto.PhaseWarm:
			planned.End = ph.End
		}
	}
	for _, ph := range m.Phases {
		if ph.Phase != proto.PhaseSwitch {
			continue
		}
		out := planProfile(m.Plan).Clip(planned)
		for i := range out {
			out[i].Span = timeline.Span{Start: out[i].Start.Add(ph.At.Sub(planned.Start)), End: out[i].End.Add(ph.At.Sub(planned.Start))}
		}
		return out.Clip(want.Span())
	}
	return nil
}

// within bounds a profile by floor and type, with no gaps over what it spans. What the type does not limit is not limited.
func within(p timeline.Profile, s planner.Sizing, most resource.Vector) timeline.Profile {
	return p.Map(func(v resource.Vector) resource.Vector {
		v = v.Max(s.Floor).Min(most)
		for k := range v {
			if most[k] >= resource.Unlimited {
				v[k] = resource.Unlimited
			}
		}
		return v
	}).Join()
}

// fit returns the schedule on the span of what is promised: what is wanted where that is known, all that is promised where it is not,
// never above it or below the floor.
func fit(want, promised timeline.Profile, floor, most resource.Vector) timeline.Profile {
	return timeline.Combine(promised, want, func(p, w resource.Vector) resource.Vector {
		if w.IsZero() {
			w = p
		}
		w = w.Max(floor).Min(p)
		for k := range w {
			if most[k] >= resource.Unlimited {
				w[k] = resource.Unlimited
			}
		}
		return w
	}).Clip(promised.Span())
}

// lowest returns the smallest amount of each resource in a profile.
func lowest(p timeline.Profile) resource.Vector {
	if len(p) == 0 {
		return resource.Vector{}
	}
	v := p[0].Amount
	for _, s := range p {
		v = v.Min(s.Amount)
	}
	return v
}

// headroom returns what is promised to nobody at each time: feedback may hand it out. What is not there in a window is nobody's.
func headroom(host proto.Host, policy proto.Policy, promised timeline.Profile, span timeline.Span) timeline.Profile {
	sub := func(a, b resource.Vector) resource.Vector { return a.Sub(b) }
	limit := timeline.Combine(timeline.Flat(span, host.Allocatable()), state.Reduced(host).Clip(span), sub).Map(func(v resource.Vector) resource.Vector {
		v = v.Sub(resource.Vector{resource.Memory: host.Debt})
		for k := range v {
			if v[k] < resource.Unlimited {
				v[k] = v[k] * policy.Ratio[k] / 1000
			}
		}
		return v
	})
	return timeline.Combine(limit, promised, sub).Clip(span)
}
