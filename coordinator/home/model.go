package home

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pool"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How much history a forecast learns from, and how much where that has in it what comes once a month. LearnEvery more is asked for, of demand, signals and tasks alike, so
// that what was learned stays the same until it is looked at anew. No more is kept.
const (
	learnFrom = 28 * 24 * time.Hour
	learnMost = 35*24*time.Hour - forecast.LearnEvery
)

// reach returns how much history a forecast is to learn from: more than usual where an event was before that, of a kind that is to come again.
func reach(known []forecast.Event, now timeline.Time) time.Duration {
	early := timeline.Span{Start: now.Add(-learnMost), End: now.Add(-learnFrom)}
	for _, past := range known {
		again := func(e forecast.Event) bool { return e.Kind == past.Kind && e.Span.End > now }
		if !past.Span.Intersect(early).Empty() && slices.ContainsFunc(known, again) {
			return learnMost
		}
	}
	return learnFrom
}

// asked returns the time that is asked for to learn from the last window of it.
func asked(window time.Duration, now timeline.Time) timeline.Span {
	return timeline.Span{Start: now.Add(-window - forecast.LearnEvery), End: now}
}

// model is what was learned of one instance, and when.
type model struct {
	forecast  *forecast.Model
	naive     *forecast.Model // the seasonal naive one that it was last scored beside, settled for no time; nil: none
	trainedAt timeline.Time
	observed  time.Duration
	step      time.Duration
	events    []forecast.Event // that it learned from, and takes into account
	known     []forecast.Event // those of them that are registered
	judged    judged           // the others: runs of the host's tasks
	opts      forecast.Options
	cpu       string           // model of the CPU that it is of
	notes     []string         // on what it learned from
	others    *pool.Common     // what others take that speak for it, too; nil: nobody
	young     forecast.History // with others: what it has shown itself
	signals   []proto.Signal   // of the instance
	stands    standIns         // resources that the window forecasts in its place
	watch     watch
}

// stale reports whether a model should be trained anew: it is old, or was made of less than what there is by now, or events or signals were registered or removed since.
func (m *model) stale(view *state.View, instance string, now timeline.Time) bool {
	// What little it was made of has doubled: soon, where that is a minute.
	most := min(retrainMost, retrainSteps*m.step, max(m.step, m.observed))
	i, _ := view.Instance(instance)
	return now.Sub(m.trainedAt) >= most || m.cpu != cpuOf(view, instance) || !slices.Equal(m.known, events(view, instance)) || !slices.EqualFunc(m.signals, i.Spec.Signals, sameSignal)
}

// train learns an instance's demand: of the highest second in each step, or of the mean. It returns what it learned from, too. The model before saves time; it may be nil.
func train(ctx context.Context, store Store, view *state.View, instance string, step time.Duration, means bool, now timeline.Time, before *model,
	signals []forecast.Signal, alike func() kin, ran func(h forecast.History, span timeline.Span, most int) (judged, []forecast.Event)) (*model, forecast.History, error) {
	known := events(view, instance)
	window := reach(known, now)
	h, err := store.Demand(ctx, instance, asked(window, now), !means)
	if err != nil {
		return nil, h, err
	}
	h, notes := onItsCPU(view, instance, h, now)
	opts := forecast.Options{Step: step, Window: window, LookAt: looksAt(instance)}
	var wrong string
	if opts.Location, wrong = zone(view, instance); wrong != "" {
		notes = append(notes, wrong)
	}
	opts.Maximum, opts.Prior = stands(view, instance, h, means)
	var longest time.Duration
	for _, s := range h {
		longest = max(longest, time.Duration(len(s.Values))*s.Step)
	}
	var others kin
	if !means && longest < pool.Until {
		others = alike()
		notes = append(notes, others.notes...)
	}
	if !means && longest < youngest {
		for k, amount := range others.prior {
			if amount > 0 {
				opts.Prior[k], opts.PriorFrom[k] = max(opts.Prior[k], limited(amount, opts.Maximum[k])), others.from
			}
		}
		standsInFor(&opts, h, others.fleet)
	}
	found, runs := ran(h, asked(window, now), min(mostOfTasks, forecast.MaxEvents-len(known)))
	all := slices.Concat(known, runs)
	learning := opts
	learning.Signals = signals
	var learned *forecast.Model
	if before != nil {
		learned = before.forecast
	}
	m, err := forecast.Retrain(learned, h, all, learning)
	if err != nil {
		return nil, h, fmt.Errorf("forecast of %s: %w", instance, err)
	}
	trained := &model{
		forecast: m, trainedAt: now, observed: longest, step: step, events: all, known: known, judged: found, opts: opts, cpu: cpuOf(view, instance), notes: notes,
	}
	if before != nil {
		trained.naive = before.naive
	}
	if i, ok := view.Instance(instance); ok {
		trained.signals = i.Spec.Signals
	}
	if others.common != nil {
		trained.others, trained.young = others.common, h
	}
	return trained, h, trained.beginWatch(now)
}

// looksAt returns when in each forecast.LearnEvery it is looked at how an instance's forecasts did: a home's instances one after the other, as that is most of what they
// cost, and the next home at the same time.
func looksAt(instance string) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(instance))
	return time.Duration(h.Sum32()%uint32(forecast.LearnEvery/time.Minute)) * time.Minute
}

// settle lets go of what the model does not need for as long as it is asked: thousands of them are held.
func (m *model) settle(now timeline.Time) {
	m.forecast = m.forecast.Settled(now.Add(watchFor + max(planner.GridSteps*m.step, youngest)))
}

// limited returns amount, or the most that is allowed, where that is known and less.
func limited(amount, most int64) int64 {
	if most > 0 {
		return min(amount, most)
	}
	return amount
}

// stands returns what stands in for a resource with too little history: the instance type's maximum, or, where there is
// none, a fifth more than the highest that was seen. Of means it is what nineteen in twenty means of five minutes, which is what is forecast, don't
// pass: ten seconds of an upgrade's work are no reason to keep as much for a day. Memory that is taken stays taken.
func stands(view *state.View, instance string, h forecast.History, means bool) (most, prior resource.Vector) {
	if i, ok := view.Instance(instance); ok {
		if t, ok := view.Type(i.Spec.Type); ok {
			most = t.Max
		}
	}
	for k, s := range h {
		if most[k] != 0 && most[k] < resource.Unlimited {
			continue
		}
		most[k] = 0
		amount := 1.2 * seen(s.Values, 1)
		if means && resource.Kind(k) != resource.Memory {
			amount = seen(trailingMeans(s.Values, int(ownMean/max(s.Step, time.Second))), .95)
		}
		prior[k] = int64(math.Ceil(amount)) + 1
	}
	return most, prior
}

// ownMean is how long something has to be taken to count as taken, of means.
const ownMean = 5 * time.Minute

// trailingMeans returns the mean of each n values in a row of those that are known; of fewer than n, of all.
func trailingMeans(values []float64, n int) []float64 {
	known := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	n = max(1, min(n, len(known)))
	var out []float64
	sum := 0.0
	for i, v := range known {
		if sum += v; i >= n {
			sum -= known[i-n]
		}
		if i >= n-1 {
			out = append(out, max(0, sum/float64(n)))
		}
	}
	return out
}

// seen returns the least amount that the share of the values doesn't pass; 0 when none is known.
func seen(values []float64, share float64) float64 {
	known := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return stat.Quantile(share, stat.Empirical, known, nil)
}

// events returns the events that touch an instance, as the forecast takes them.
func events(view *state.View, instance string) []forecast.Event {
	i, ok := view.Instance(instance)
	if !ok {
		return nil
	}
	var out []forecast.Event
	for e := range view.Events() {
		if e.Touches(i.Spec) {
			out = append(out, forecast.Event{Kind: string(e.Kind), Span: e.Span, Size: float64(e.Size) / 1000})
		}
	}
	return out
}

// reply returns a forecast in the form in which coordinators and people get it.
func (m *model) reply(instance string, from timeline.Time, steps int) (proto.ForecastReply, error) {
	f, err := m.forecast.Forecast(from, time.Duration(steps)*m.step)
	if err != nil {
		return proto.ForecastReply{}, fmt.Errorf("forecast of %s: %w", instance, err)
	}
	if err := m.standIn(f); err != nil {
		return proto.ForecastReply{}, fmt.Errorf("forecast of %s: %w", instance, err)
	}
	if m.others != nil {
		m.others.Blend(f, m.young, m.opts.Maximum)
	}
	r := proto.ForecastReply{
		Instance: instance, Start: f.Start, Step: f.Step.Milliseconds(), Quantiles: thousandths(f.Quantiles), Cold: f.Cold(), TrainedAt: m.trainedAt,
		Observed: int64(m.observed.Seconds()), Reasons: slices.Concat(m.stands.words(), m.says(), words(f), m.notes),
	}
	for k, why := range f.Reasons {
		if why.Pattern != "" {
			r.Patterns = append(r.Patterns, proto.DemandPattern{
				Resource: resource.Kind(k), Pattern: string(why.Pattern), Confidence: int(math.Round(why.Confidence * 1000)),
			})
		}
	}
	for _, q := range f.Quantiles {
		r.Profiles = append(r.Profiles, f.Profile(q))
	}
	r.Signals = signalForecasts(f, m.signals)
	r.Reasons = append(r.Reasons, signalWords(r.Signals, m.signals)...)
	return r, nil
}

// standIn puts what the window says into a forecast of the model, for the resources of which the model lost against it.
func (m *model) standIn(f *forecast.Forecast) error {
	if m.stands == (standIns{}) {
		return nil
	}
	w, err := m.forecast.Window(f.Start, time.Duration(f.Steps())*f.Step)
	if err != nil {
		return err
	}
	for k, why := range m.stands {
		if why != "" {
			f.Values[k] = w.Values[k]
		}
	}
	return nil
}

// words returns what is to be said of the resources that the window forecasts.
func (s standIns) words() []string {
	var out []string
	for _, why := range s {
		if why != "" {
			out = append(out, why)
		}
	}
	return out
}

// words explains a forecast: events first, then what it learned from.
func words(f *forecast.Forecast) []string {
	var out []string
	for _, k := range []resource.Kind{resource.CPU, resource.Memory, resource.NetTx} {
		for _, e := range f.Reasons[k].Effects {
			if amount := int64(math.Round(e.Peak)); amount > 0 && !strings.HasPrefix(e.Kind, taskKind) {
				out = append(out, fmt.Sprintf("%s: +%s %s at its peak, from %d earlier occurrences", e.Kind, resource.Format(k, amount), k, e.Occurrences))
			}
		}
	}
	r := f.Reasons[resource.CPU]
	if r.Note != "" {
		out = append(out, "cpu: "+r.Note)
	}
	best := slices.MaxFunc(append(r.Weights, forecast.Weight{}), func(a, b forecast.Weight) int {
		switch {
		case a.Share < b.Share:
			return -1
		case a.Share > b.Share:
			return 1
		}
		return 0
	})
	if best.Member != "" {
		how := ""
		if r.Pattern != "" {
			how = fmt.Sprintf(", %s as it seems (%.0f %%)", r.Pattern, 100*r.Confidence)
		}
		out = append(out, fmt.Sprintf("cpu: learned from %s of history%s; most weight on %s", r.Observed.Round(time.Hour), how, best.Member))
	}
	return out
}

// Cold reports whether an error of a forecast says that nothing is known yet.
func Cold(err error) bool { return errors.Is(err, forecast.ErrColdStart) }
