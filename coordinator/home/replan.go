package home

import (
	"context"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// A reservation is revised when the forecast leaves it, and when it holds much more than the forecast asks for; the
// latter is looked at more seldom, so that it settles.
const (
	reviseGap   = 20 // percent of the amount that is held in vain before it is given back
	reviseEvery = 12 // steps of the grid between two revisions that give back
)

// replan proposes new envelopes for the host's own use and for the instances on it that do not move.
func (h *Homes) replan(ctx context.Context, view *state.View, host proto.Host, now timeline.Time,
	forecast func(instance string) (proto.ForecastReply, error)) {
	step := time.Duration(view.Fleet().GridStep) * time.Millisecond
	h.replanSystem(ctx, view, host, now, step, forecast)
	for _, i := range view.InstancesOn(host.Facts.Name) {
		if i.Owner != host.Facts.Name || i.Migration != "" || i.State != proto.InstanceRunning {
			continue
		}
		r, ok := view.Reservation(i.Reservation)
		if !ok {
			continue
		}
		f, err := forecast(i.Name())
		if err != nil {
			continue // said when its schedule was derived
		}
		t, _ := view.Type(i.Spec.Type)
		app, _ := view.Application(i.Spec.Application)
		sizing := planner.NewSizing(i.Spec.Class, t, app, view.Fleet().Policy)
		allocation, _ := sizing.Allocation(f)
		envelope := sizing.Envelope(allocation, f)
		if !outgrown(r, allocation, envelope, now, step) {
			continue
		}
		body := &proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{
			ID: r.ID, From: r.Revision, Envelope: envelope, Floor: sizing.Floor,
		}}}
		h.propose(ctx, fmt.Sprintf("replan/%s/%d", r.ID, r.Revision), host, body)
	}
}

// outgrown reports whether a reservation should be revised for an allocation: it is left somewhere, or holds too much. What a fresh envelope for the
// allocation would not hold either, since demand is pooled, is no reason.
func outgrown(r proto.Reservation, allocation timeline.Profile, fresh proto.Envelope, now timeline.Time, step time.Duration) bool {
	held, best := capped(r.Envelope), capped(fresh)
	span := allocation.Span()
	most, much := held.MaxOver(span), resource.Vector{}
	for _, s := range allocation {
		if !s.Amount.Min(lowestOver(best, s.Span)).Fits(lowestOver(held, s.Span)) {
			return true
		}
		much = much.Max(s.Amount)
	}
	if now.Sub(r.ChangedAt) < reviseEvery*step {
		return false
	}
	for k := range most {
		if most[k] > 0 && (most[k]-much[k])*100/most[k] >= reviseGap {
			return true
		}
	}
	return now.Sub(r.ChangedAt) >= planner.GridSteps/2*step // the fine part of the grid has run out
}

// lowestOver returns the least that a profile holds in a span.
func lowestOver(p timeline.Profile, s timeline.Span) resource.Vector { return lowest(p.Clip(s)) }

// replanSystem puts the envelope of what the host uses for itself, which is never more than it has.
func (h *Homes) replanSystem(ctx context.Context, view *state.View, host proto.Host, now timeline.Time, step time.Duration,
	forecast func(instance string) (proto.ForecastReply, error)) {
	name := proto.SystemReservation(host.Facts.Name)
	f, err := forecast(name)
	if err != nil || f.Observed == 0 {
		return // not a single sample yet: the forecast is a guess
	}
	sizing := planner.Sizing{Class: proto.Standard, Quantile: 950, Type: host.Facts.Capacity}
	allocation, _ := sizing.Allocation(f)
	envelope := sizing.Envelope(allocation, f)
	r, ok := view.Reservation(name)
	if ok && !outgrown(r, allocation, envelope, now, step) {
		return
	}
	body := &proto.HostSystem{Host: host.Facts.Name, Envelope: envelope}
	h.propose(ctx, fmt.Sprintf("system/%s/%d", name, r.Revision), host, body)
}

// propose commits a revision. A refusal is an event that somebody has to know of: the host can't hold what is forecast.
func (h *Homes) propose(ctx context.Context, id string, host proto.Host, body proto.Body) {
	r, err := h.cfg.Propose(ctx, id, "home "+h.cfg.Name, body)
	switch {
	case err != nil:
		h.cfg.Log.Warn("a revision could not be proposed", "host", host.Facts.Name, "error", err)
	case !r.OK() && r.Code != proto.ResultStale:
		h.cfg.Log.Warn("a revision was refused", "host", host.Facts.Name, "reason", r.Message)
	}
}
