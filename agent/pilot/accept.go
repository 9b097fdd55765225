package pilot

import (
	"errors"
	"fmt"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Why a document is refused.
var (
	ErrStale   = errors.New("the document is not newer than the stored one")
	ErrInvalid = errors.New("the document is not one that this host can follow")
)

// How large a document may be: two days at 5 minutes take 576 steps, and a host runs some hundred instances.
const (
	maxInstances = 1000
	maxSteps     = 4096
	maxName      = 63
)

// Accept returns an error unless incoming may take the place of stored on the host: ErrStale when it, or an instance's fence in
// it, is older than what is stored, ErrInvalid with the fault when it could not be followed safely. A zero stored is none.
func Accept(host string, stored, incoming proto.Document) error {
	if incoming.Host != host {
		return fmt.Errorf("%w: it is for host %q, this is %q", ErrInvalid, incoming.Host, host)
	}
	if !incoming.Version.Newer(stored.Version) {
		return fmt.Errorf("%w: incarnation %d revision %d is there, %d %d came", ErrStale,
			stored.Version.Incarnation, stored.Version.Revision, incoming.Version.Incarnation, incoming.Version.Revision)
	}
	if len(incoming.Instances) > maxInstances {
		return fmt.Errorf("%w: it has %d instances, at most %d are possible", ErrInvalid, len(incoming.Instances), maxInstances)
	}
	if err := validProfile(incoming.Headroom); err != nil {
		return fmt.Errorf("%w: headroom: %w", ErrInvalid, err)
	}
	fences := map[string]uint64{}
	if stored.Version.Incarnation == incoming.Version.Incarnation {
		for _, s := range stored.Instances {
			fences[s.Instance] = s.Fence
		}
	}
	for i := range incoming.Instances {
		s := &incoming.Instances[i]
		if i > 0 && s.Instance <= incoming.Instances[i-1].Instance {
			return fmt.Errorf("%w: instance %q does not follow %q in order", ErrInvalid, s.Instance, incoming.Instances[i-1].Instance)
		}
		if s.Fence < fences[s.Instance] {
			return fmt.Errorf("%w: instance %q has fence %d, %d was seen", ErrStale, s.Instance, s.Fence, fences[s.Instance])
		}
		if err := valid(s); err != nil {
			return fmt.Errorf("%w: instance %q: %w", ErrInvalid, s.Instance, err)
		}
	}
	return nil
}

func valid(s *proto.InstanceSchedule) error {
	if s.Instance == "" || len(s.Instance) > maxName {
		return fmt.Errorf("its name has %d characters, want 1 to %d", len(s.Instance), maxName)
	}
	if s.Limited && s.Instance == proto.SystemInstance {
		return errors.New("the system is never limited")
	}
	for _, v := range []struct {
		name   string
		amount resource.Vector
	}{{"floor", s.Floor}, {"safe", s.Safe}, {"max", s.Max}} {
		if err := v.amount.Valid(); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	if err := validProfile(s.Schedule); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	if err := validProfile(s.Promised); err != nil {
		return fmt.Errorf("promised: %w", err)
	}
	if !s.Limited {
		return nil // nothing of it is enforced
	}
	return ordered(s)
}

func validProfile(p timeline.Profile) error {
	if len(p) > maxSteps {
		return fmt.Errorf("it has %d steps, at most %d are possible", len(p), maxSteps)
	}
	return p.Valid()
}

// ordered checks floor ≤ safe ≤ schedule ≤ promised ≤ max at every instant of the schedule, which has no gaps:
// a gap would be an allocation of nothing.
func ordered(s *proto.InstanceSchedule) error {
	if err := below("floor", s.Floor, "safe", s.Safe); err != nil {
		return err
	}
	if err := below("safe", s.Safe, "max", s.Max); err != nil {
		return err
	}
	for _, p := range s.Promised {
		if err := below("promised", p.Amount, "max", s.Max); err != nil {
			return fmt.Errorf("at %s: %w", p.Start, err)
		}
	}
	p := 0
	for i, step := range s.Schedule {
		if i > 0 && step.Start != s.Schedule[i-1].End {
			return fmt.Errorf("the schedule has a gap at %s", s.Schedule[i-1].End)
		}
		if err := below("safe", s.Safe, "schedule", step.Amount); err != nil {
			return fmt.Errorf("at %s: %w", step.Start, err)
		}
		for at := step.Start; at < step.End; at = s.Promised[p].End {
			for p < len(s.Promised) && s.Promised[p].End <= at {
				p++
			}
			if p == len(s.Promised) || !s.Promised[p].Contains(at) {
				return fmt.Errorf("nothing is promised at %s", at)
			}
			if err := below("schedule", step.Amount, "promised", s.Promised[p].Amount); err != nil {
				return fmt.Errorf("at %s: %w", at, err)
			}
		}
	}
	return nil
}

func below(name string, v resource.Vector, limit string, w resource.Vector) error {
	for _, k := range resource.All() {
		if v[k] > w[k] {
			return fmt.Errorf("%s: %s %s is above %s %s", k, name, resource.Format(k, v[k]), limit, resource.Format(k, w[k]))
		}
	}
	return nil
}
