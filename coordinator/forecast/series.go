package forecast

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Fold says how the values of a series combine when steps are merged into longer ones.
type Fold uint8

// How steps merge.
const (
	Mean Fold = iota // step means: what was consumed on average; for reports
	Max              // step maxima: what had to be there; for allocation
)

// Series is one resource over time on a regular grid, in the resource's unit (see resource.Kind). What is forecast is
// what is given: a series of 10-second means folded by Max forecasts the highest 10-second window of each step, which
// is what an allocation has to hold; folded by Mean it forecasts the step's mean.
type Series struct {
	Start  timeline.Time
	Step   time.Duration
	Values []float64 // NaN = missing; never negative or infinite
	Fold   Fold
}

// History is the eight resources of one instance. An empty series means that nothing is known.
type History [resource.Kinds]Series

// End returns the instant after the last step.
func (s Series) End() timeline.Time { return s.Start.Add(time.Duration(len(s.Values)) * s.Step) }

// Before returns the part of s whose steps end at t or earlier. The values are shared.
func (s Series) Before(t timeline.Time) Series {
	if s.Step <= 0 {
		return s
	}
	n := int64(0)
	if t > s.Start {
		n = int64(t-s.Start) / s.Step.Milliseconds()
	}
	s.Values = s.Values[:min(int64(len(s.Values)), n)]
	return s
}

// Before returns the history as it was known at t.
func (h History) Before(t timeline.Time) History {
	for k := range h {
		h[k] = h[k].Before(t)
	}
	return h
}

// InputError says which input of the forecast is unusable and why.
type InputError struct {
	Object string // "options", "event 3 (campaign)", "cpu"
	Reason string
}

func (e *InputError) Error() string { return "forecast: " + e.Object + ": " + e.Reason }

func inputError(object, format string, args ...any) *InputError {
	return &InputError{Object: object, Reason: fmt.Sprintf(format, args...)}
}

// ErrColdStart is returned when a resource has too little history and neither a prior nor a maximum stands in.
var ErrColdStart = errors.New("too little history, and no prior or maximum to stand in for it")

// earliest and latest instant that a series may touch: the years 1900 and 2200, so that no arithmetic overflows.
const (
	earliest timeline.Time = -2208988800000
	latest   timeline.Time = 7258118400000
)

// check returns an *InputError that names the object when s is not usable as amounts of a resource. Empty is usable.
func (s Series) check(object string) error { return s.within(object, resource.Unlimited) }

// within does the same for values up to most.
func (s Series) within(object string, most int64) error {
	if len(s.Values) == 0 {
		return nil
	}
	switch {
	case s.Step < time.Second || s.Step > maxModelStep || s.Step%time.Millisecond != 0:
		return inputError(object, "step %s: use whole milliseconds between 1s and %s", s.Step, maxModelStep)
	case s.Fold > Max:
		return inputError(object, "fold %d is neither Mean nor Max", s.Fold)
	case s.Start < earliest || s.Start > latest || int64(len(s.Values)) > int64(latest-s.Start)/s.Step.Milliseconds():
		return inputError(object, "times lie outside the years 1900 to 2200")
	}
	for i, v := range s.Values {
		if v < 0 || math.IsInf(v, 0) || v > float64(most) {
			return inputError(object, "value %v at %s: use amounts from 0 to %d, or NaN for missing",
				v, s.Start.Add(time.Duration(i)*s.Step), most)
		}
	}
	return nil
}

// Resample returns s on steps of length step aligned to the epoch. Longer steps fold the samples that begin in them, as
// s.Fold says; shorter ones repeat the sample that covers their start. A step with no sample is missing.
func (s Series) Resample(step time.Duration) Series {
	out := Series{Step: step, Fold: s.Fold}
	if len(s.Values) == 0 {
		return out
	}
	if step == s.Step && s.Start.Floor(step) == s.Start {
		return s
	}
	ms, width := step.Milliseconds(), s.Step.Milliseconds()
	if ms < width {
		out.Start = s.Start.Ceil(step)
		out.Values = make([]float64, max(0, int64(s.End().Ceil(step)-out.Start)/ms))
		for i := range out.Values {
			out.Values[i] = s.Values[(int64(out.Start-s.Start)+int64(i)*ms)/width]
		}
		return out
	}
	out.Start = s.Start.Floor(step)
	last := s.Start.Add(time.Duration(len(s.Values)-1) * s.Step)
	out.Values = make([]float64, int64(last-out.Start)/ms+1)
	for i := range out.Values {
		out.Values[i] = math.NaN()
	}
	at, bin, sum, n := int64(s.Start-out.Start), int64(0), 0.0, 0
	for _, v := range s.Values {
		if i := at / ms; i != bin {
			bin, sum, n = i, 0, 0
		}
		at += width
		if math.IsNaN(v) {
			continue
		}
		n++
		if s.Fold == Max {
			sum = math.Max(sum, v)
			out.Values[bin] = sum
			continue
		}
		sum += v
		out.Values[bin] = sum / float64(n)
	}
	return out
}

// maxSpliceGap bounds what Splice allocates for the time in which neither series has a step.
const maxSpliceGap = 1 << 22

// Splice returns old continued by recent, on the longer of their steps: the way to join imported 5-minute history with
// fresh 10-second windows. Where both have a value, recent wins; what it has of a last step that is less than half over is left out. An old that lies more than four million steps away is dropped.
func Splice(old, recent Series) Series {
	if len(old.Values) == 0 {
		return recent
	}
	step := max(old.Step, recent.Step)
	if recent.Step < step {
		recent = dropThinEnd(recent, step)
	}
	if len(recent.Values) == 0 {
		return old
	}
	a, b := old.Resample(step), recent.Resample(step)
	start, end := min(a.Start, b.Start), max(a.End(), b.End())
	n := int(end.Sub(start) / step)
	if n > len(a.Values)+len(b.Values)+maxSpliceGap {
		return recent
	}
	out := Series{Start: start, Step: step, Fold: recent.Fold, Values: make([]float64, n)}
	for i := range out.Values {
		out.Values[i] = math.NaN()
	}
	copy(out.Values[int(a.Start.Sub(start)/step):], a.Values)
	at := int(b.Start.Sub(start) / step)
	for i, v := range b.Values {
		if !math.IsNaN(v) {
			out.Values[at+i] = v
		}
	}
	return out
}
