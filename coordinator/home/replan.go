package home

import (
	"context"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/replan"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// turnMost is in how many rounds of a host's turn something is proposed for it: what was refused by mistake is not proposed again and again.
const turnMost = 8

// turn is what a host's turn came to.
type turn struct {
	began  timeline.Time
	rounds int // in which something was proposed; turnMost once there is nothing left
}

// replan proposes new envelopes for the host's own use and for the instances on it that do not move, and what follows where these do not fit.
func (h *Homes) replan(ctx context.Context, view *state.View, host proto.Host, now timeline.Time, notices []proto.Notice,
	forecast func(instance string) (proto.ForecastReply, error)) {
	name, step := host.Facts.Name, time.Duration(view.Fleet().GridStep)*time.Millisecond
	in := replan.Input{
		Host: name, View: view, Now: now, Notices: notices, Wants: h.wants(view, host, now, forecast),
		Silent: func() map[string]timeline.Time { return h.cfg.Silent(ctx) },
		Data:   func(instance string) int64 { return h.dataBytes(ctx, instance) },
	}
	began := replan.Turn(name, now, step)
	h.mu.Lock()
	last := h.turns[name]
	h.mu.Unlock()
	if last.began != began {
		last = turn{began: began}
	}
	in.Turn = last.rounds < turnMost
	goesOn := false
	for _, p := range replan.Decide(in) {
		goesOn = goesOn || p.Turn
		if !h.propose(ctx, p.ID, host, p.Body) && !p.Turn {
			break // what follows tells of what would have been done
		}
	}
	switch {
	case !in.Turn:
		return
	case goesOn:
		last.rounds++
	default:
		last.rounds = turnMost
	}
	h.mu.Lock()
	h.turns[name] = last
	h.mu.Unlock()
}

// dataTime bounds how long an agent is asked how much data an instance has, of which a suggestion tells: other hosts wait for their turn.
const dataTime = 5 * time.Second

// dataBytes returns how much data an instance has; 0 where its agent does not say.
func (h *Homes) dataBytes(ctx context.Context, instance string) int64 {
	ctx, cancel := context.WithTimeout(ctx, dataTime)
	defer cancel()
	n, err := h.cfg.DataBytes(ctx, instance)
	if err != nil {
		h.cfg.Log.Info("a move is suggested without the size of the instance's data", "instance", instance, "error", err)
		return 0
	}
	return n
}

// wants returns what the reservations on a host should hold by their forecasts, as far as these are there.
func (h *Homes) wants(view *state.View, host proto.Host, now timeline.Time, forecast func(instance string) (proto.ForecastReply, error)) []replan.Want {
	name := host.Facts.Name
	var out []replan.Want
	want := func(r proto.Reservation, s planner.Sizing, f proto.ForecastReply) {
		allocation, _ := s.Allocation(f)
		out = append(out, replan.Want{Reservation: r, Allocation: allocation, Envelope: s.Envelope(allocation, f), Sizing: s, Forecast: f})
	}
	own := proto.SystemReservation(name)
	if f, err := forecast(own); err == nil && f.Observed > 0 { // before the first sample it is a guess
		r, ok := view.Reservation(own)
		if !ok {
			r = proto.Reservation{ID: own, Host: name, Instance: proto.SystemInstance, Class: proto.Standard, Purpose: proto.PurposeSystem}
		}
		// It is never more than the host has.
		want(r, planner.Sizing{Class: proto.Standard, Quantile: 950, Type: host.Facts.Capacity, Common: planner.AssumedShares()}, f)
	}
	shares := h.common(view, name, now).Share
	for _, i := range view.InstancesOn(name) {
		if i.Owner != name || i.Migration != "" || i.State != proto.InstanceRunning {
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
		sizing.Common = shares
		want(r, sizing, f)
	}
	return out
}

// propose commits what a home found, and reports whether it was done. A refusal is something that somebody has to know of: the host can't hold what is forecast.
func (h *Homes) propose(ctx context.Context, id string, host proto.Host, body proto.Body) bool {
	r, err := h.cfg.Propose(ctx, id, "home "+h.cfg.Name, body)
	switch {
	case err != nil:
		h.cfg.Log.Warn("a revision could not be proposed", "host", host.Facts.Name, "error", err)
	case !r.OK() && r.Code != proto.ResultStale:
		h.cfg.Log.Warn("a revision was refused", "host", host.Facts.Name, "reason", r.Message)
	}
	return err == nil && r.OK()
}

// noticesOf returns the notices that are not cleared by the host that they name.
func noticesOf(view *state.View) map[string][]proto.Notice {
	out := map[string][]proto.Notice{}
	for n := range view.Notices() {
		if n.Host != "" && n.ClearedAt == 0 {
			out[n.Host] = append(out[n.Host], n)
		}
	}
	return out
}
