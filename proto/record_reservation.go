package proto

import (
	"fmt"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Reservation is a hold of capacity over time on a host, admitted by the ledger.
type Reservation struct {
	ID        string          `msgpack:"id" json:"id"`
	Host      string          `msgpack:"h" json:"host"`
	Instance  string          `msgpack:"i" json:"instance,omitzero"`  // "" for none; SystemInstance for the host's own use
	Migration string          `msgpack:"m" json:"migration,omitzero"` // that it lives and ends with
	Class     Class           `msgpack:"c" json:"class"`
	Purpose   Purpose         `msgpack:"p" json:"purpose"`
	Envelope  Envelope        `msgpack:"e" json:"envelope"`
	Floor     resource.Vector `msgpack:"fl" json:"floor"`          // it is never squeezed below
	Until     timeline.Time   `msgpack:"u" json:"until,omitzero"`  // when the hold lapses, whatever the envelope says; 0: it does not
	Forced    bool            `msgpack:"f" json:"forced,omitzero"` // taken as a fact, without admission: the system's own use, an observed instance
	Revision  uint64          `msgpack:"rv" json:"revision"`       // rises with every change
	CreatedAt timeline.Time   `msgpack:"at" json:"created_at"`
	ChangedAt timeline.Time   `msgpack:"ca" json:"changed_at"`
	Squeezed  *Squeeze        `msgpack:"sq,omitempty" json:"squeezed,omitempty"` // it has yielded, and nobody has given it another envelope since
}

// Squeeze is what a reservation has yielded for.
type Squeeze struct {
	For string        `msgpack:"f" json:"for"`           // reservation of a higher class
	Why string        `msgpack:"w" json:"why,omitempty"` // what it lost and when, in words
	At  timeline.Time `msgpack:"at" json:"at"`
}

// Yield takes some of a reservation's envelope for another one of a higher class. Its floor stays.
type Yield struct {
	ID       string   `msgpack:"id" json:"id"`
	From     uint64   `msgpack:"fr" json:"from"`         // revision that it replaces
	Envelope Envelope `msgpack:"e" json:"envelope"`      // what it is left with
	For      string   `msgpack:"f" json:"for"`           // the reservation that is given room, of the same change
	Why      string   `msgpack:"w" json:"why,omitempty"` // what it loses and when, in words
}

// Told returns the yield as it is kept with what it was for: what it is left with is in the reservation, and changes.
func (y Yield) Told() Yield {
	y.Envelope = Envelope{}
	return y
}

// Purpose says why a reservation is there, and so what ends it.
type Purpose string

// The purposes of reservations.
const (
	PurposeInstance  Purpose = "instance"  // of an instance on the host where it lives
	PurposeMigration Purpose = "migration" // ends with its migration
	PurposeSystem    Purpose = "system"    // the system and everything unmanaged on a host
	PurposeHold      Purpose = "hold"      // by an operator's or the planner's word, for a time
)

// End returns when the reservation stops holding anything: its envelope's end or Until, whichever is first; Forever for
// an open one.
func (r Reservation) End() timeline.Time {
	end := r.Envelope.End()
	if r.Until != 0 {
		end = min(end, r.Until)
	}
	return end
}

// SystemReservation returns the identifier of the reservation of a host's own use.
func SystemReservation(host string) string { return SystemInstance + "@" + host }

// Envelope is the committed, coarse profile of a reservation: at most MaxSegments segments in order, none overlapping.
// Between segments nothing is held.
type Envelope []Segment

// Segment is one interval of an envelope. Firm is added up as it is; the pooled part is demand that is added up as a
// distribution: Mean, the deviation that is the instance's own, and the deviation that instances have in common. Amounts
// are in the units of their resource; the pooled part of memory is always 0.
type Segment struct {
	timeline.Span `msgpack:",inline"`
	Firm          resource.Vector `msgpack:"f" json:"firm"`
	Mean          resource.Vector `msgpack:"m" json:"mean,omitzero"`
	Own           resource.Vector `msgpack:"o" json:"sigma_own,omitzero"`
	Common        resource.Vector `msgpack:"c" json:"sigma_common,omitzero"`
}

// Pooled reports whether the segment has a pooled part.
func (s Segment) Pooled() bool { return !s.Mean.IsZero() || !s.Own.IsZero() || !s.Common.IsZero() }

// FirmEnvelope returns the envelope that holds all of p as firm. p has at most MaxSegments steps: see timeline.Profile.Cover.
func FirmEnvelope(p timeline.Profile) Envelope {
	e := make(Envelope, len(p))
	for i, s := range p {
		e[i] = Segment{Span: s.Span, Firm: s.Amount}
	}
	return e
}

// Start returns the start of the first segment; 0 for an empty envelope.
func (e Envelope) Start() timeline.Time {
	if len(e) == 0 {
		return 0
	}
	return e[0].Start
}

// End returns the end of the last segment; 0 for an empty envelope, Forever for an open one.
func (e Envelope) End() timeline.Time {
	if len(e) == 0 {
		return 0
	}
	return e[len(e)-1].End
}

// Open reports whether the envelope holds for good.
func (e Envelope) Open() bool { return e.End() >= timeline.Forever }

// At returns the segment that holds at t, or an empty one.
func (e Envelope) At(t timeline.Time) Segment {
	for _, s := range e {
		if s.Contains(t) {
			return s
		}
	}
	return Segment{}
}

// Above returns the first segment, and in it the first resource, of which more is firm than most.
func (e Envelope) Above(most resource.Vector) (Segment, resource.Kind, bool) {
	for _, s := range e {
		for k, n := range s.Firm {
			if n > most[k] {
				return s, resource.Kind(k), true
			}
		}
	}
	return Segment{}, 0, false
}

// Firm returns the firm part as a profile.
func (e Envelope) Firm() timeline.Profile {
	p := make(timeline.Profile, len(e))
	for i, s := range e {
		p[i] = timeline.Step{Span: s.Span, Amount: s.Firm}
	}
	return p
}

// Expected returns firm + mean as a profile: what the holder is expected to use at most times.
func (e Envelope) Expected() timeline.Profile {
	p := make(timeline.Profile, len(e))
	for i, s := range e {
		p[i] = timeline.Step{Span: s.Span, Amount: s.Firm.Add(s.Mean)}
	}
	return p
}

// Shortfall says where a reservation does not fit: the first step of the first host that is short, and by how much.
type Shortfall struct {
	Host     string        `msgpack:"h" json:"host"`
	Span     timeline.Span `msgpack:"sp" json:"span"`
	Resource resource.Kind `msgpack:"r" json:"resource"`
	Missing  int64         `msgpack:"m" json:"missing"` // in the resource's unit
	Needed   int64         `msgpack:"n" json:"needed"`  // by everything on the host, pooled demand as it is held
	Limit    int64         `msgpack:"l" json:"limit"`   // what the host may promise
}

// Error returns the shortfall in words.
func (s *Shortfall) Error() string {
	return fmt.Sprintf("%s is short of %s by %s in %s: %s would be needed and %s may be promised", s.Host, s.Resource,
		resource.Format(s.Resource, s.Missing), s.Span, resource.Format(s.Resource, s.Needed), resource.Format(s.Resource, s.Limit))
}
