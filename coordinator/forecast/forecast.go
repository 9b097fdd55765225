// Package forecast turns an instance's history, its calendar and its events into a demand profile with quantiles.
package forecast

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Options say what is forecast and on what grid. The zero value is valid: 5-minute steps, the default quantiles, UTC.
type Options struct {
	// Step is the length of the forecast's steps, from 1 second to 6 hours; 0 means 5 minutes. Where it is longer than a series'
	// own and that is folded by Max, the quantiles are those of the highest value in each step, with errors of such
	// values: what an amount has to be that holds for the whole step. The highest of finer steps' quantiles is less. Where it is shorter than
	// five minutes and the series' own steps are, too, quantiles are those of single such steps.
	Step time.Duration
	// Quantiles are the ones forecast, ascending, each in (0, 1); nil means DefaultQuantiles.
	Quantiles []float64
	// Location decides what "the same time of day" means; nil means UTC.
	Location *time.Location
	// Window is how much of the history's end is learned from, and up to LearnEvery more; 0 means 28 days.
	Window time.Duration
	// LookAt is when in each LearnEvery it is looked at anew how the members did, from 0 to less than that: models whose times differ are not all dear at once.
	LookAt time.Duration
	// Once says that no model is trained after this one: how the members did is looked at now, which is cheaper than to look at it as it was.
	Once bool
	// Maximum is what the instance's type can grant. It stands in for a resource without history. 0 means unknown.
	Maximum resource.Vector
	// Prior is an expected demand from elsewhere (the application's record, an operator). Where it is not 0, it is
	// preferred to Maximum while there is too little history.
	Prior resource.Vector
	// PriorQuantiles is the same per quantile: what stands in for quantiles above the median, or for all where there is no history, and is preferred to
	// both. nil means that nothing is known.
	PriorQuantiles [resource.Kinds][]float64
	// PriorFrom says for people what Prior or PriorQuantiles are; "" means the given prior.
	PriorFrom [resource.Kinds]string
	// Cap is a physical limit that no demand can pass, such as the link's rate. 0 means none.
	Cap resource.Vector
	// Signals are figures of the application that demand may follow, as they are known at the end of the history; at most 8.
	Signals []Signal
	// Members restricts the portfolio to the named members; nil means all. Backtest uses it for its baseline.
	// Signals then are not followed.
	Members []string
}

// DefaultQuantiles are the levels that the service classes ask for: besteffort .50, standard .95, critical .99.
func DefaultQuantiles() []float64 { return []float64{.5, .9, .95, .99} }

// DefaultStep is the step of a forecast when Options name none.
const DefaultStep = 5 * time.Minute

const (
	defaultWindow = 28 * 24 * time.Hour
	maxQuantiles  = 16
	maxSteps      = 1 << 17 // per quantile and resource
)

// withDefaults returns o with every zero value replaced, or an *InputError.
func (o Options) withDefaults() (Options, error) {
	if o.Step == 0 {
		o.Step = DefaultStep
	}
	if o.Quantiles == nil {
		o.Quantiles = DefaultQuantiles()
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	switch {
	case o.Step < time.Second || o.Step > maxModelStep:
		return o, inputError("options", "step %s is not between 1s and %s", o.Step, maxModelStep)
	case o.Step%time.Millisecond != 0:
		return o, inputError("options", "step %s is not a whole number of milliseconds", o.Step)
	case o.Window < time.Hour:
		return o, inputError("options", "window %s is shorter than an hour", o.Window)
	case o.LookAt < 0 || o.LookAt >= LearnEvery:
		return o, inputError("options", "a look at %s is not between 0 and %s", o.LookAt, LearnEvery)
	case len(o.Quantiles) == 0 || len(o.Quantiles) > maxQuantiles:
		return o, inputError("options", "%d quantiles: give 1 to %d", len(o.Quantiles), maxQuantiles)
	}
	last := 0.0
	for _, q := range o.Quantiles {
		if !(q > last && q < 1) {
			return o, inputError("options", "quantile %v: they must ascend strictly between 0 and 1", q)
		}
		last = q
	}
	for _, v := range []resource.Vector{o.Maximum, o.Prior, o.Cap} {
		if err := v.Valid(); err != nil {
			return o, inputError("options", "%v", err)
		}
	}
	for k, prior := range o.PriorQuantiles {
		least := 0.0
		for _, v := range prior {
			if len(prior) != len(o.Quantiles) || !(v >= least && v <= float64(resource.Unlimited)) {
				return o, inputError("options", "prior quantiles %v of %s: give one for each of the %d quantiles, none negative or less than the one before", prior, resource.Kind(k), len(o.Quantiles))
			}
			least = v
		}
	}
	for _, name := range o.Members {
		if !isMember(name) {
			return o, inputError("options", "no member is called %q", name)
		}
	}
	return o, checkSignals(o.Signals)
}

// Forecast is the predicted demand per resource and quantile on a regular grid.
type Forecast struct {
	Start     timeline.Time // of the first step
	Step      time.Duration
	Quantiles []float64 // ascending
	// Values are indexed by resource, quantile, step, in the resource's unit. They never are negative or NaN, never
	// above Options.Cap, and never fall from one quantile to the next.
	Values [resource.Kinds][][]float64
	// Reasons say per resource how the values came about.
	Reasons [resource.Kinds]Reason
	// Signals are what the signals of Options are expected to be, those without history left out.
	Signals []SignalForecast
}

// Reason explains the forecast of one resource.
type Reason struct {
	Cold    bool   // too little history: Note says what stood in
	Note    string // one sentence for people
	Pattern pattern.Pattern
	// Confidence is the probability that Pattern is right, from 0, which is where there is too little history to tell.
	Confidence float64
	Observed   time.Duration // how much time has samples
	Missing    float64       // share of the learned window without samples, events' spans not counted
	Shifted    bool          // the level has changed in the last days
	Weights    []Weight      // what each member counts, largest first within a bucket and quantile; below 1 % left out
	Effects    []Effect      // what is known of each kind of event, by name
	Follows    []Following   // signals that demand follows
}

// Weight is the share of one member in one quantile and horizon bucket.
type Weight struct {
	Quantile float64
	From, To time.Duration // the horizon bucket [From, To)
	Member   string
	Share    float64 // in (0, 1]
}

// Effect is what a kind of event was learned to add, in the resource's unit.
type Effect struct {
	Kind        string
	Mean        float64 // over the span
	Peak        float64 // in the part of the span where it does most, down or up
	Spread      float64 // standard deviation from one occurrence to the next
	Occurrences int     // past ones with samples
}

// Steps returns how many steps f has.
func (f *Forecast) Steps() int {
	if len(f.Values[0]) == 0 {
		return 0
	}
	return len(f.Values[0][0])
}

// Span returns the time that f covers.
func (f *Forecast) Span() timeline.Span {
	return timeline.Span{Start: f.Start, End: f.Start.Add(time.Duration(f.Steps()) * f.Step)}
}

// Cold reports whether any resource was forecast without enough history.
func (f *Forecast) Cold() bool {
	for _, r := range f.Reasons {
		if r.Cold {
			return true
		}
	}
	return false
}

// Profile returns the demand at the quantile q as a profile in whole units, rounded up, equal neighbours joined.
// Where q is not one that was forecast, the next higher one is taken, or the highest.
func (f *Forecast) Profile(q float64) timeline.Profile {
	qi := 0
	for qi < len(f.Quantiles)-1 && f.Quantiles[qi] < q-1e-9 {
		qi++
	}
	p := make(timeline.Profile, f.Steps())
	for i := range p {
		start := f.Start.Add(time.Duration(i) * f.Step)
		p[i].Span = timeline.Span{Start: start, End: start.Add(f.Step)}
		for k := range p[i].Amount {
			p[i].Amount[k] = roundUp(f.Values[k][qi][i])
		}
	}
	return p.Join()
}

// roundUp returns v in whole units, rounding noise of the last digits not counted.
func roundUp(v float64) int64 {
	if v >= float64(resource.Unlimited) {
		return resource.Unlimited
	}
	return int64(math.Ceil(v - 1e-6))
}
