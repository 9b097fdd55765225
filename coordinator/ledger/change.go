package ledger

import (
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
	_, err := l.try(c, false)
	return err
}

// Apply does the change, or refuses it as Fits says and changes nothing.
func (l *Ledger) Apply(c Change) error {
	t, err := l.try(c, !l.facts(c))
	if err != nil {
		return err
	}
	for name, h := range t.next {
		if t.base[name] != nil {
			l.put(h)
		}
	}
	for _, r := range t.drop {
		l.held.Delete(r)
	}
	for _, r := range t.put {
		l.held.ReplaceOrInsert(r)
	}
	return nil
}

// Hold reserves on any number of hosts, all or nothing.
func (l *Ledger) Hold(r ...proto.Reservation) error { return l.Apply(Change{Hold: r}) }

// Revise gives reservations other envelopes, all or nothing.
func (l *Ledger) Revise(r ...proto.Reservation) error { return l.Apply(Change{Revise: r}) }

// Release ends reservations, all or nothing.
func (l *Ledger) Release(ids ...string) error { return l.Apply(Change{Release: ids}) }

// Extend moves the time at which a reservation lapses; 0 for never. Its envelope stays: it was counted to its own end
// from the start, so this is never refused for want of capacity.
func (l *Ledger) Extend(id string, until timeline.Time) error {
	r, ok := l.Reservation(id)
	if !ok {
		return fmt.Errorf("reservation %s: %w", id, ErrUnknownReservation)
	}
	r.Until = until
	return l.Revise(r)
}

// facts reports whether the change states facts, or takes some back.
func (l *Ledger) facts(c Change) bool {
	forced := func(r proto.Reservation) bool { return r.Forced }
	return slices.ContainsFunc(c.Hold, forced) || slices.ContainsFunc(c.Revise, func(r proto.Reservation) bool {
		old, _ := l.Reservation(r.ID)
		return r.Forced || old.Forced
	})
}

// trial is a change that was tried on copies of the hosts it touches, or on those that are the ledger's alone.
type trial struct {
	ledger  *Ledger
	inPlace bool             // hosts may be changed themselves
	next    map[string]*host // the hosts as they would be
	base    map[string]*host // what they may be no worse than: as they are, and with the facts of the change; nil for one that is changed itself
	undo    []func()         // what was done to hosts themselves, in the opposite order
	drop    []*proto.Reservation
	put     []*proto.Reservation
}

// try does the change to copies. With inPlace it changes hosts themselves that no clone shares, and puts them back when it is refused.
func (l *Ledger) try(c Change, inPlace bool) (*trial, error) {
	t := &trial{ledger: l, inPlace: inPlace, next: map[string]*host{}, base: map[string]*host{}}
	if err := t.run(c); err != nil {
		for _, f := range slices.Backward(t.undo) {
			f()
		}
		return nil, err
	}
	return t, nil
}

func (t *trial) run(c Change) error {
	for _, id := range c.Release {
		if err := t.release(id); err != nil {
			return err
		}
	}
	for _, r := range c.Revise {
		if err := t.revise(own(r)); err != nil {
			return err
		}
	}
	for _, r := range c.Hold {
		if err := t.hold(own(r)); err != nil {
			return err
		}
	}
	z := t.ledger.z
	for _, name := range names(t.next) {
		h, base := t.next[name], t.base[name]
		if s := h.worse(z, base); s != nil {
			return s
		}
		if base == nil {
			continue // it was not short, and is not now
		}
		if old, _ := t.ledger.host(name); old.short != nil || base != old {
			h.short = h.worse(z, nil)
		}
	}
	return nil
}

// own returns a copy of r that shares nothing with the caller.
func own(r proto.Reservation) *proto.Reservation {
	r.Envelope = slices.Clone(r.Envelope)
	return &r
}

// edit returns the host that the trial changes: a copy, but for one that nobody else has and that is short of nothing. What is
// above a limit there is worse than it was, so there is nothing to compare with.
func (t *trial) edit(name string) (*host, error) {
	if h, ok := t.next[name]; ok {
		return h, nil
	}
	old, ok := t.ledger.host(name)
	if !ok {
		return nil, fmt.Errorf("host %s: %w", name, ErrUnknownHost)
	}
	if t.inPlace && old.owner == t.ledger.owner && old.short == nil {
		t.next[name] = old
		return old, nil
	}
	t.base[name] = old
	t.next[name] = old.clone()
	return t.next[name], nil
}

// insert and remove change a host of the trial.
func (t *trial) insert(h *host, r *proto.Reservation) {
	h.insert(r)
	if t.base[r.Host] == nil {
		t.undo = append(t.undo, func() { h.remove(r) })
	}
}

func (t *trial) remove(h *host, r *proto.Reservation) {
	h.remove(r)
	if t.base[r.Host] == nil {
		t.undo = append(t.undo, func() { h.insert(r) })
	}
}

// rebase changes what the host may be no worse than.
func (t *trial) rebase(name string, f func(*host)) {
	base := t.base[name].clone()
	f(base)
	t.base[name] = base
}

func (t *trial) release(id string) error {
	r, ok := t.ledger.held.Get(&proto.Reservation{ID: id})
	if !ok {
		return fmt.Errorf("reservation %s: %w", id, ErrUnknownReservation)
	}
	h, err := t.edit(r.Host)
	if err != nil {
		return err
	}
	if _, there := h.find(id); !there {
		return fmt.Errorf("reservation %s: %w: it is released twice in one change", id, ErrInvalid)
	}
	t.remove(h, r)
	t.drop = append(t.drop, r)
	return nil
}

func (t *trial) revise(r *proto.Reservation) error {
	old, ok := t.ledger.held.Get(r)
	if !ok {
		return fmt.Errorf("reservation %s: %w", r.ID, ErrUnknownReservation)
	}
	if old.Host != r.Host {
		return fmt.Errorf("reservation %s: %w: it is on %s and cannot be revised to be on %s", r.ID, ErrInvalid, old.Host, r.Host)
	}
	if err := valid(r); err != nil {
		return err
	}
	h, err := t.edit(r.Host)
	if err != nil {
		return err
	}
	if i, there := h.find(r.ID); !there || h.held[i] != old {
		return fmt.Errorf("reservation %s: %w: it is changed twice in one change", r.ID, ErrInvalid)
	}
	t.remove(h, old)
	t.insert(h, r)
	if old.Forced || r.Forced { // what was never admitted has to fit as if it were new; what is a fact need not fit
		t.rebase(r.Host, func(base *host) {
			base.remove(old)
			if r.Forced {
				base.insert(r)
			}
		})
	}
	t.put = append(t.put, r)
	return nil
}

func (t *trial) hold(r *proto.Reservation) error {
	if err := valid(r); err != nil {
		return err
	}
	if old, ok := t.ledger.held.Get(r); ok && !slices.Contains(t.drop, old) {
		if same(old, r) {
			return nil
		}
		return fmt.Errorf("reservation %s: %w", r.ID, ErrConflict)
	}
	h, err := t.edit(r.Host)
	if err != nil {
		return err
	}
	if _, there := h.find(r.ID); there || slices.ContainsFunc(t.put, func(p *proto.Reservation) bool { return p.ID == r.ID }) {
		return fmt.Errorf("reservation %s: %w: it is held twice in one change", r.ID, ErrInvalid)
	}
	if len(h.held) >= MaxPerHost {
		return fmt.Errorf("host %s: %w: %d", r.Host, ErrFull, MaxPerHost)
	}
	t.insert(h, r)
	if r.Forced {
		t.rebase(r.Host, func(base *host) {
			if i, there := base.find(r.ID); there { // released in the same change
				base.remove(base.held[i])
			}
			base.insert(r)
		})
	}
	t.put = append(t.put, r)
	return nil
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
func same(a, b *proto.Reservation) bool {
	return a.Host == b.Host && a.Instance == b.Instance && a.Migration == b.Migration && a.Class == b.Class &&
		a.Purpose == b.Purpose && a.Floor == b.Floor && a.Until == b.Until && a.Forced == b.Forced && slices.Equal(a.Envelope, b.Envelope)
}

// Restore puts reservations that were admitted before, all at once, into a ledger that has none: those of a snapshot. It
// admits nothing again; Short says where a host has promised more than it may.
func (l *Ledger) Restore(list []proto.Reservation) error {
	held := map[string][]*proto.Reservation{}
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
		if _, twice := l.held.ReplaceOrInsert(own(r)); twice {
			return fmt.Errorf("reservation %s: %w", r.ID, ErrConflict)
		}
		p, _ := l.held.Get(&r)
		held[r.Host] = append(held[r.Host], p)
	}
	l.replaceHosts(func(h *host) *host {
		of := held[h.capacity.Host]
		if len(of) == 0 {
			return h.clone()
		}
		slices.SortFunc(of, func(a, b *proto.Reservation) int { return strings.Compare(a.ID, b.ID) })
		return newHost(h.capacity, l.layout, of)
	})
	return nil
}
