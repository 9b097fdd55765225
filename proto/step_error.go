package proto

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// StepError says which segment of an envelope can't be taken, and why.
type StepError = timeline.StepError

// MaxAhead is how far ahead an envelope that is asked for may begin and, unless it is open, end: nobody plans farther, and a year
// that is mistyped is caught.
const MaxAhead = 400 * 24 * time.Hour

// Valid returns an error that names the first fault of the envelope for a holder of the class: no segment, too many of
// them, or, as a *StepError, one that is out of order, an amount that is negative or too large, pooled memory, or anything
// pooled for a critical one.
func (e Envelope) Valid(c Class) error {
	if len(e) == 0 {
		return errors.New("the envelope is empty")
	}
	if len(e) > MaxSegments {
		return fmt.Errorf("the envelope has %d segments: use at most %d", len(e), MaxSegments)
	}
	before := timeline.Span{Start: math.MinInt64, End: math.MinInt64}
	for i := range e {
		s := &e[i]
		fault := timeline.Follow(before, s.Span)
		if outside := s.Start < 0 || s.End > timeline.Forever; outside && fault != timeline.FaultEmpty && fault != timeline.FaultReversed {
			fault = timeline.FaultOutside
		}
		if fault != "" {
			return segmentError(i, s.Span, fault, nil)
		}
		if fault, err := s.valid(c); err != nil {
			return segmentError(i, s.Span, fault, err)
		}
		before = s.Span
	}
	return nil
}

func segmentError(i int, s timeline.Span, f timeline.StepFault, err error) error {
	return &StepError{What: "segment", Step: i, Span: s, Fault: f, Err: err}
}

func (s *Segment) valid(c Class) (timeline.StepFault, error) {
	for _, part := range [...]struct {
		name   string
		amount *resource.Vector
	}{{"firm", &s.Firm}, {"mean", &s.Mean}, {"own deviation", &s.Own}, {"common deviation", &s.Common}} {
		if err := part.amount.Valid(); err != nil {
			return timeline.FaultAmount, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	for k, n := range s.Firm {
		if n+s.Mean[k] > resource.Unlimited {
			return timeline.FaultAmount, fmt.Errorf("firm and mean of %s are together too large", resource.Kind(k))
		}
	}
	if m := resource.Memory; s.Mean[m] != 0 || s.Own[m] != 0 || s.Common[m] != 0 {
		return timeline.FaultPooled, errors.New("memory is pooled: it can only be firm")
	}
	if c == Critical && s.Pooled() {
		return timeline.FaultPooled, errors.New("a critical instance is pooled: all of it must be firm")
	}
	return "", nil
}

// Askable returns an error unless the envelope, besides being valid, is one that somebody can mean who asks for it now: a *StepError
// names the first segment that has begun in the past, comes after a gap that gaps does not allow, or is farther ahead than
// MaxAhead. What was reserved once is not asked for again: for the ledger Valid is enough.
func (e Envelope) Askable(c Class, now timeline.Time, gaps bool) error {
	if err := e.Valid(c); err != nil {
		return err
	}
	most := now.Add(MaxAhead)
	for i, s := range e {
		switch {
		case s.End <= now:
			return segmentError(i, s.Span, timeline.FaultPast, fmt.Errorf("it is over at %s: leave it out", now))
		case s.Start < now:
			return segmentError(i, s.Span, timeline.FaultPast, fmt.Errorf("it begins before %s: let it begin then, or later", now))
		case i > 0 && s.Start > e[i-1].End && !gaps:
			return segmentError(i, s.Span, timeline.FaultGap, fmt.Errorf("nothing is said of the time from %s on: close the gap, or say that gaps are meant", e[i-1].End))
		case s.Start > most:
			return segmentError(i, s.Span, timeline.FaultHorizon, fmt.Errorf("it begins more than %d days ahead, after %s: is the year right?", MaxAhead/(24*time.Hour), most))
		case s.End > most && s.End < timeline.Forever:
			return segmentError(i, s.Span, timeline.FaultHorizon, fmt.Errorf("it ends more than %d days ahead, after %s: leave its end out if it is open", MaxAhead/(24*time.Hour), most))
		}
	}
	return nil
}
