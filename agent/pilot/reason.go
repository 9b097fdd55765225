package pilot

import (
	"fmt"

	"github.com/glidepath/glidepath/internal/resource"
)

// Why says why an allocation is not what the schedule says.
type Why uint8

// The reasons.
const (
	Lifted     Why = iota + 1 // in mode observe or paused: not limited
	Alone                     // the schedule has run out: the safe allocation is held
	Raised                    // demand was more than the schedule allows
	Bounded                   // the demand needs more than the document's bound
	Crowded                   // the host's headroom does not suffice for everybody's demand
	Falling                   // memory falls slowly
	GivingBack                // a step down is near, and others rise then
	Waiting                   // others have not given back yet
)

// Reason is why an allocation of a resource is what it is.
type Reason struct {
	Kind   resource.Kind // nothing for Lifted and Alone, which are about all resources
	Why    Why
	Wanted int64 // what would have been granted but for the reason; for Raised what the schedule says
	Got    int64
}

// String returns the reason in words.
func (r Reason) String() string {
	wanted, got := resource.Format(r.Kind, r.Wanted), resource.Format(r.Kind, r.Got)
	switch r.Why {
	case Lifted:
		return "not limited: in mode observe, or paused"
	case Alone:
		return "the schedule has run out: the safe allocation is held"
	case Raised:
		return fmt.Sprintf("%s: raised from %s to %s by demand", r.Kind, wanted, got)
	case Bounded:
		return fmt.Sprintf("%s: demand needs %s, the bound is %s", r.Kind, wanted, got)
	case Crowded:
		return fmt.Sprintf("%s: demand needs %s, the host's headroom allows %s", r.Kind, wanted, got)
	case Falling:
		return fmt.Sprintf("%s: falling slowly to %s, at %s", r.Kind, wanted, got)
	case GivingBack:
		return fmt.Sprintf("%s: gives back %s ahead of its step down to %s", r.Kind, wanted, got)
	case Waiting:
		return fmt.Sprintf("%s: waits for others to give back: at %s of %s", r.Kind, got, wanted)
	default:
		return fmt.Sprintf("%s: unknown reason %d", r.Kind, r.Why)
	}
}
