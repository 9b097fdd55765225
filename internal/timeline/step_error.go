package timeline

import "fmt"

// StepFault is what is wrong with a step of a profile or a segment of an envelope.
type StepFault string

// The faults of steps.
const (
	FaultEmpty    StepFault = "empty"    // it begins and ends at one instant
	FaultReversed StepFault = "reversed" // it ends before it begins
	FaultOverlap  StepFault = "overlap"  // it begins before the one before it ends
	FaultOrder    StepFault = "order"    // it begins before the one before it begins
	FaultOutside  StepFault = "outside"  // its times are not among those that are computed with
	FaultAmount   StepFault = "amount"   // an amount is negative, too large, or no number
	FaultPooled   StepFault = "pooled"   // something is pooled that can only be firm
	FaultGap      StepFault = "gap"      // nothing is said of the time between it and the one before it
	FaultPast     StepFault = "past"     // it is over, or has begun
	FaultHorizon  StepFault = "horizon"  // it is farther ahead than anybody plans
)

// StepError says which step of a profile, or segment of an envelope, can't be taken, and why.
type StepError struct {
	What  string // "step" or "segment"
	Step  int    // counted from 0
	Span  Span
	Fault StepFault
	Err   error // what is wrong with it, where the fault alone does not say; it may be nil
}

// Error returns the fault in words.
func (e *StepError) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%s %d %s: %s", e.What, e.Step, e.Span, e.Err)
	case e.Fault == FaultEmpty || e.Fault == FaultReversed:
		return fmt.Sprintf("%s %d %s is empty", e.What, e.Step, e.Span)
	case e.Fault == FaultOverlap || e.Fault == FaultOrder:
		return fmt.Sprintf("%s %d %s begins before %s %d ends", e.What, e.Step, e.Span, e.What, e.Step-1)
	case e.Fault == FaultOutside:
		return fmt.Sprintf("%s %d %s is outside the time that is computed with", e.What, e.Step, e.Span)
	default:
		return fmt.Sprintf("%s %d %s: %s", e.What, e.Step, e.Span, e.Fault)
	}
}

// Unwrap returns what is wrong with the step.
func (e *StepError) Unwrap() error { return e.Err }

// Follow returns the fault of a span by itself, or after the one before it; "" where there is none.
func Follow(before, s Span) StepFault {
	switch {
	case s.End < s.Start:
		return FaultReversed
	case s.Empty():
		return FaultEmpty
	case s.Start < before.Start:
		return FaultOrder
	case s.Start < before.End:
		return FaultOverlap
	default:
		return ""
	}
}
