package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Change is what is done to the ledger at once: all of it or nothing. What is released makes room for what is revised
// and held.
type Change struct {
	Hold    []proto.Reservation // new; one that is there with the same content changes nothing
	Revise  []proto.Reservation // in the place of the reservation with that identifier, on the same host
	Release []string            // identifiers
}

// Fits reports why the change would be refused; nil when it would be done. It changes nothing.
//
// A change is refused where it makes a host need more than its limit: the error is then a *proto.Shortfall that names the
// first host in order of names, the first step and resource, and what is missing. On a host that facts have made
// short already, what adds nothing to the shortage is done. Reservations with Forced set are facts: never refused.
func (l *Ledger) Fits(c Change) error {
	t := trial{ledger: l}
	return t.try(c)
}

// Apply does the change, or refuses it as Fits says and changes nothing.
func (l *Ledger) Apply(c Change) error {
	t := trial{ledger: l, inPlace: !l.facts(c)}
	if err := t.try(c); err != nil {
		return err
	}
	for _, e := range t.edits {
		e.next.draw(l.z, e.from, e.to)
		l.put(e.next)
	}
	for _, r := range t.drop {
		l.leave(r)
	}
	for _, r := range t.put {
		l.enter(r)
	}
	return nil
}

// Hold reserves on any number of hosts, all or nothing.
func (l *Ledger) Hold(r ...proto.Reservation) error { return l.Apply(Change{Hold: r}) }

// Revise gives reservations other envelopes, all or nothing.
func (l *Ledger) Revise(r ...proto.Reservation) error { return l.Apply(Change{Revise: r}) }

// Release ends reservations, all or nothing.
func (l *Ledger) Release(ids ...string) error { return l.Apply(Change{Release: ids}) }

// Extend moves the end of a reservation; 0 lets it last as long as its envelope. Where the envelope reaches as far it is never
// refused for want of capacity: see Extended.
func (l *Ledger) Extend(id string, until timeline.Time) error {
	r, ok := l.Reservation(id)
	if !ok {
		return fmt.Errorf("reservation %s: %w", id, ErrUnknownReservation)
	}
	r, err := Extended(r, until)
	if err != nil {
		return err
	}
	return l.Revise(r)
}

// facts reports whether the change states facts, or takes some back.
func (l *Ledger) facts(c Change) bool {
	for i := range c.Hold {
		if c.Hold[i].Forced {
			return true
		}
	}
	for i := range c.Revise {
		if old, ok := l.get(c.Revise[i].ID); c.Revise[i].Forced || ok && old.Forced {
			return true
		}
	}
	return false
}

// valid returns an error that names the reservation's first fault.
func valid(r *proto.Reservation) error {
	if err := proto.ValidID("reservation", r.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := r.Envelope.Valid(r.Class); err != nil {
		return fmt.Errorf("reservation %s: %w: %w", r.ID, ErrInvalid, err)
	}
	if err := r.Floor.Valid(); err != nil {
		return fmt.Errorf("reservation %s: %w: floor: %w", r.ID, ErrInvalid, err)
	}
	return nil
}

// same reports whether two reservations promise the same: whatever their revision and times of change.
func same(a, b *reservation) bool {
	return a.Host == b.Host && a.Instance == b.Instance && a.Migration == b.Migration && a.Class == b.Class &&
		a.Purpose == b.Purpose && a.Floor == b.Floor && a.Until == b.Until && a.Forced == b.Forced && bytes.Equal(a.packed, b.packed)
}

// Restore puts reservations that were admitted before, all at once, into a ledger that has none: those of a snapshot. It
// admits nothing again; Short says where a host has promised more than it may.
func (l *Ledger) Restore(list []proto.Reservation) error {
	held := map[string][]*reservation{}
	for _, r := range list {
		if err := valid(&r); err != nil {
			return err
		}
		h, ok := l.host(r.Host)
		if !ok {
			return fmt.Errorf("reservation %s: host %s: %w", r.ID, r.Host, ErrUnknownHost)
		}
		if len(h.held) > 0 || len(held[r.Host]) >= MaxPerHost {
			return fmt.Errorf("host %s: %w", r.Host, ErrFull)
		}
		kept := h.keep(&r)
		if l.enter(kept) {
			return fmt.Errorf("reservation %s: %w", r.ID, ErrConflict)
		}
		held[r.Host] = append(held[r.Host], kept)
	}
	l.replaceHosts(func(h *host) *host {
		of := held[h.capacity.Host]
		if len(of) == 0 {
			return h
		}
		slices.SortFunc(of, func(a, b *reservation) int { return strings.Compare(a.ID, b.ID) })
		return newHost(h.capacity, l.layout, l.z, of)
	})
	return nil
}
