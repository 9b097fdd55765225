package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// trial is a change that is tried on copies of the hosts it touches, or on those that are the ledger's alone.
type trial struct {
	ledger  *Ledger
	inPlace bool   // hosts that no clone shares are changed themselves, and put back when the change is refused
	edits   []edit // sorted by name: what is done to several hosts is done in one order everywhere
	undo    []undo // of what was done to hosts themselves
	drop    []*proto.Reservation
	put     []*proto.Reservation
}

// edit is a host of a trial.
type edit struct {
	name     string
	next     *host // as it would be
	base     *host // what it may be no worse than: as it is, with the facts of the change; nil for one that is changed itself
	from, to int   // the steps [from, to) may differ between the two, no other
}

// undo is a reservation that was put into a host or taken out.
type undo struct {
	reservation *proto.Reservation
	inserted    bool
}

// try does the change to the trial's hosts. When it is refused, the ledger is as it was.
func (t *trial) try(c Change) error {
	err := t.run(c)
	if err == nil {
		return nil
	}
	for _, u := range slices.Backward(t.undo) {
		place, _ := t.find(u.reservation.Host)
		h := t.edits[place].next
		i, _ := h.find(u.reservation.ID)
		if u.inserted {
			h.remove(t.ledger.layout, i)
		} else {
			h.insert(t.ledger.layout, i, u.reservation)
		}
	}
	return err
}

func (t *trial) run(c Change) error {
	if err := t.do(c); err != nil {
		return err
	}
	return t.admit()
}

// do changes the trial's hosts, whatever there is room for.
func (t *trial) do(c Change) error {
	for _, id := range c.Release {
		if err := t.release(id); err != nil {
			return err
		}
	}
	for _, r := range c.Revise {
		if err := t.revise(&r); err != nil {
			return err
		}
	}
	for _, r := range c.Hold {
		if err := t.hold(&r); err != nil {
			return err
		}
	}
	return nil
}

// admit returns the first host's shortfall.
func (t *trial) admit() error {
	l, z := t.ledger.layout, t.ledger.z
	for _, e := range t.edits {
		if s := e.next.worse(l, z, e.base, e.from, e.to); s != nil {
			return s
		}
		if e.base == nil {
			continue // it was not short, and is not now
		}
		if old, _ := t.ledger.host(e.name); old.short != nil || e.base != old {
			e.next.short = e.next.shortage(l, z)
		}
	}
	return nil
}

func (t *trial) find(host string) (int, bool) {
	return slices.BinarySearchFunc(t.edits, host, func(e edit, name string) int { return strings.Compare(e.name, name) })
}

// edit returns the host as the trial changes it, good until the next call: a copy, but for one that nobody else has and that is short of
// nothing. What is above a limit there is worse than it was, so there is nothing to compare with.
func (t *trial) edit(name string) (*edit, error) {
	i, there := t.find(name)
	if there {
		return &t.edits[i], nil
	}
	old, ok := t.ledger.host(name)
	if !ok {
		return nil, fmt.Errorf("host %s: %w", name, ErrUnknownHost)
	}
	e := edit{name: name, next: old}
	if !t.inPlace || old.owner != t.ledger.owner || old.short != nil {
		e.base, e.next = old, old.clone()
	}
	t.edits = slices.Insert(t.edits, i, e)
	return &t.edits[i], nil
}

// insert and remove change a host of the trial.
func (t *trial) insert(e *edit, i int, r *proto.Reservation) {
	e.next.insert(t.ledger.layout, i, r)
	t.changed(e, undo{r, true})
}

func (t *trial) remove(e *edit, i int) {
	r := e.next.held[i]
	e.next.remove(t.ledger.layout, i)
	t.changed(e, undo{r, false})
}

func (t *trial) changed(e *edit, u undo) {
	of := u.reservation.Envelope
	if from, to := t.ledger.layout.over(timeline.Span{Start: of.Start(), End: of.End()}); e.from == e.to {
		e.from, e.to = from, to
	} else if from != to {
		e.from, e.to = min(e.from, from), max(e.to, to)
	}
	if e.base == nil {
		t.undo = append(t.undo, u)
	}
}

// rebase changes what the host may be no worse than.
func (e *edit) rebase(f func(*host)) {
	e.base = e.base.clone()
	f(e.base)
}

func (t *trial) release(id string) error {
	r, ok := t.ledger.get(id)
	if !ok {
		return fmt.Errorf("reservation %s: %w", id, ErrUnknownReservation)
	}
	e, err := t.edit(r.Host)
	if err != nil {
		return err
	}
	i, there := e.next.find(id)
	if !there {
		return fmt.Errorf("reservation %s: %w: it is released twice in one change", id, ErrInvalid)
	}
	t.remove(e, i)
	t.drop = append(t.drop, r)
	return nil
}

func (t *trial) revise(r *proto.Reservation) error {
	old, ok := t.ledger.get(r.ID)
	if !ok {
		return fmt.Errorf("reservation %s: %w", r.ID, ErrUnknownReservation)
	}
	if old.Host != r.Host {
		return fmt.Errorf("reservation %s: %w: it is on %s and cannot be revised to be on %s", r.ID, ErrInvalid, old.Host, r.Host)
	}
	if err := valid(r); err != nil {
		return err
	}
	e, err := t.edit(r.Host)
	if err != nil {
		return err
	}
	i, there := e.next.find(r.ID)
	if !there || e.next.held[i] != old {
		return fmt.Errorf("reservation %s: %w: it is changed twice in one change", r.ID, ErrInvalid)
	}
	t.remove(e, i)
	t.insert(e, i, r)
	if old.Forced || r.Forced { // what was never admitted has to fit as if it were new; what is a fact need not fit
		e.rebase(func(base *host) {
			i, _ := base.find(r.ID)
			base.remove(t.ledger.layout, i)
			if r.Forced {
				base.insert(t.ledger.layout, i, r)
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
	if old, ok := t.ledger.get(r.ID); ok && !slices.Contains(t.drop, old) {
		if same(old, r) {
			return nil
		}
		return fmt.Errorf("reservation %s: %w", r.ID, ErrConflict)
	}
	e, err := t.edit(r.Host)
	if err != nil {
		return err
	}
	i, there := e.next.find(r.ID)
	if there || slices.ContainsFunc(t.put, func(p *proto.Reservation) bool { return p.ID == r.ID }) {
		return fmt.Errorf("reservation %s: %w: it is held twice in one change", r.ID, ErrInvalid)
	}
	if len(e.next.held) >= MaxPerHost {
		return fmt.Errorf("host %s: %w: %d", r.Host, ErrFull, MaxPerHost)
	}
	t.insert(e, i, r)
	if r.Forced {
		e.rebase(func(base *host) {
			i, there := base.find(r.ID)
			if there { // released in the same change
				base.remove(t.ledger.layout, i)
			}
			base.insert(t.ledger.layout, i, r)
		})
	}
	t.put = append(t.put, r)
	return nil
}
