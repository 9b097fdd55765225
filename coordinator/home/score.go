package home

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/scorecard"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// standIns says why the window forecasts a resource in the place of the model; "" where it does not.
type standIns [resource.Kinds]string

// owned reports whether this coordinator is the home of an instance's owner: only there its forecasts are issued, and scored.
func (h *Homes) owned(view *state.View, instance string) bool {
	i, ok := view.Instance(instance)
	if !ok {
		return false
	}
	host, ok := view.Host(i.Owner)
	return ok && host.Home == h.cfg.Name
}

// score keeps what a fresh model says until it comes, scores what has come since, and decides whether the model is followed. It returns the
// resources that the window forecasts in its place. What can't be scored is no reason not to forecast.
func (h *Homes) score(ctx context.Context, view *state.View, instance string, m *model, history forecast.History, now timeline.Time) standIns {
	if !h.owned(view, instance) {
		return h.standing(instance, now)
	}
	h.scoring.Lock()
	defer h.scoring.Unlock()
	card, err := h.cfg.Cards.Load(instance)
	switch {
	case errors.Is(err, errDamaged):
		h.cfg.Log.Error("a scorecard is damaged, and begins anew", "instance", instance, "error", err)
	case err != nil: // it is there, perhaps: nothing is written over it
		h.cfg.Log.Error("a scorecard can't be read, and nothing is scored now", "instance", instance, "error", err)
		return standIns{}
	}
	changed := card.Instance == ""
	card = scorecard.Begin(card, instance, m.step, thousandths(m.forecast.Quantiles()))
	if scorecard.Mature(&card, history, now) {
		changed = true
	}
	for _, c := range scorecard.Judge(&card, now) {
		changed = true
		h.cfg.Meter.StoodIn(c.Window)
		said := "the model is followed again, it wins against the window of the last days"
		if c.Window {
			said = "the window of the last days stands in for a model that loses against it"
		}
		h.cfg.Log.Info(said, "instance", instance, "resource", c.Resource.String(), "loss_ratio", math.Round(100*c.Ratio)/100)
	}
	if issued := len(card.Issued); scorecard.Due(&card, now) {
		if err := issue(&card, m, history, now); err != nil && ctx.Err() == nil {
			h.cfg.Log.Warn("a forecast can't be kept to be scored", "instance", instance, "error", err)
		}
		changed = changed || len(card.Issued) != issued
	}
	if changed { // a model is trained more often than anything comes of it
		if err := h.cfg.Cards.Save(card); err != nil {
			h.cfg.Log.Error("a scorecard can't be kept", "instance", instance, "error", err)
		}
		h.copies.add(instance)
	}
	h.note(card, now)
	return why(&card, now)
}

// issue keeps what the model, the seasonal naive forecast and the window say now.
func issue(card *proto.Scorecard, m *model, history forecast.History, now timeline.Time) error {
	opts := m.opts
	opts.Members = forecast.BaselineMembers()
	naive, err := forecast.Retrain(m.naive, history, m.events, opts)
	if err != nil {
		return err
	}
	m.naive = naive.Settled(now) // what it learned is for the next one
	horizon := scorecard.Horizon(m.step)
	var said [proto.Forecasters]*forecast.Forecast
	for by, of := range [proto.Forecasters]func(timeline.Time, time.Duration) (*forecast.Forecast, error){
		proto.ByModel: m.forecast.Forecast, proto.ByNaive: naive.Forecast, proto.ByWindow: m.forecast.Window,
	} {
		if said[by], err = of(now, horizon); err != nil {
			return err
		}
	}
	scorecard.Issue(card, now, said)
	return nil
}

// thousandths returns quantiles as messages have them.
func thousandths(quantiles []float64) []int {
	out := make([]int, len(quantiles))
	for i, q := range quantiles {
		out[i] = int(math.Round(q * 1000))
	}
	return out
}

// why says of each resource why the window stands in.
func why(card *proto.Scorecard, now timeline.Time) standIns {
	var out standIns
	for _, s := range scorecard.StandsIn(card) {
		lost := "the model lost against it"
		if r := scorecard.Ratio(card, s.Resource, now); !math.IsNaN(r) && !math.IsInf(r, 0) {
			lost = fmt.Sprintf("over the last week the model's loss was %.2f times the window's", r)
		}
		out[s.Resource] = fmt.Sprintf("%s: the window of the last days stands in for the model since %s: %s", s.Resource, s.Since.Std().Format(time.RFC3339), lost)
	}
	return out
}

// standing returns the resources that the window forecasts, as was last decided.
func (h *Homes) standing(instance string, now timeline.Time) standIns {
	h.scoring.Lock()
	defer h.scoring.Unlock()
	card, err := h.cfg.Cards.Load(instance)
	if err != nil {
		h.cfg.Log.Error("a scorecard can't be read: the model is followed", "instance", instance, "error", err)
		return standIns{}
	}
	return why(&card, now)
}

// note remembers a scorecard in short.
func (h *Homes) note(card proto.Scorecard, now timeline.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.summaries[card.Instance] = scorecard.Summary(&card, now)
}

// forgetScores forgets, in memory, the scores of instances that this coordinator has nothing to do with any more.
func (h *Homes) forgetScores(view *state.View) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for instance := range h.summaries {
		if !h.owned(view, instance) {
			delete(h.summaries, instance)
		}
	}
}

// prune removes scorecards of instances that are no more.
func (h *Homes) prune(view *state.View, now timeline.Time) error {
	h.scoring.Lock()
	defer h.scoring.Unlock()
	return h.cfg.Cards.Prune(now, func(instance string) bool { _, known := view.Instance(instance); return known })
}

// Summaries returns the scores of the instances that this coordinator is home to in short, sorted by name.
func (h *Homes) Summaries() []proto.ScoreSummary {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]proto.ScoreSummary, 0, len(h.summaries))
	for _, s := range h.summaries {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b proto.ScoreSummary) int { return strings.Compare(a.Instance, b.Instance) })
	return out
}

// StandsIn returns the resources of an instance that the window forecasts in the place of the model.
func (h *Homes) StandsIn(instance string) []proto.StandsIn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.summaries[instance].StandsIn
}

// Scores answers how the forecasts of an instance fared whose owner this coordinator is home to; without a name in short those of all.
func (h *Homes) Scores(_ context.Context, _ wire.Peer, r proto.ScoresRequest) (proto.ScoresReply, error) {
	if r.Instance == "" {
		return proto.ScoresReply{Summary: h.Summaries()}, nil
	}
	now := timeline.Of(time.Now())
	h.scoring.Lock()
	defer h.scoring.Unlock()
	card, err := h.cfg.Cards.Load(r.Instance)
	if err != nil {
		return proto.ScoresReply{}, err
	}
	step := time.Duration(h.cfg.View().Fleet().GridStep) * time.Millisecond
	card = scorecard.Begin(card, r.Instance, step, thousandths(forecast.DefaultQuantiles()))
	scores := scorecard.Scores(&card, now)
	return proto.ScoresReply{Scores: &scores}, nil
}

// Scorecard returns an instance's scorecard for another coordinator to keep; nil where there is none.
func (h *Homes) Scorecard(instance string) (*proto.Scorecard, error) {
	h.scoring.Lock()
	defer h.scoring.Unlock()
	card, err := h.cfg.Cards.Load(instance)
	if err != nil || card.Instance == "" {
		return nil, err
	}
	return &card, nil
}

// maxAhead is how far the clocks of coordinators may be apart.
const maxAhead = 5 * time.Minute

// Take keeps a scorecard that another coordinator kept until now, unless this one has a newer one of the instance. One from the future is neither taken
// nor kept: a clock was wrong.
func (h *Homes) Take(card proto.Scorecard) error {
	if err := card.Valid(); err != nil {
		return wire.Errorf(wire.Invalid, "%w", err)
	}
	latest := timeline.Of(time.Now()).Add(maxAhead)
	if card.UpdatedAt > latest {
		return wire.Errorf(wire.Invalid, "the scorecard of %s is of %s, which is yet to come: set the clock of the coordinator that it is from", card.Instance, card.UpdatedAt)
	}
	h.scoring.Lock()
	defer h.scoring.Unlock()
	if have, err := h.cfg.Cards.Load(card.Instance); err == nil && have.UpdatedAt >= card.UpdatedAt && have.UpdatedAt <= latest {
		return nil
	}
	return h.cfg.Cards.Save(card)
}
