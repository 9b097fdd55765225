package state

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// leftOut is the identifier of the window of a host that With leaves out. No window of a fleet can have it.
const leftOut = "left out"

// LeftOut reports whether a host is there only for what it has to leave it: With was asked what would be without it.
func LeftOut(h proto.Host) bool {
	return slices.ContainsFunc(h.Windows, func(w proto.CapacityWindow) bool { return w.ID == leftOut })
}

// With returns the state of a fleet that is not there: with hosts more like one of v, each with that one's own use and nothing else, and with others left out:
// nothing may be placed on them. What is on those stays, with its room, until it is moved. It is for asking, is applied nowhere, and is no more than a clone of
// v: nobody else may clone v, or its ledger, at the same time.
func (v *View) With(w proto.WhatIf) (*View, error) {
	if w.Add < 0 || w.Add > proto.MaxList {
		return nil, fmt.Errorf("%d hosts more: use 0 to %d", w.Add, proto.MaxList)
	}
	c := v.clone()
	if w.Add > 0 {
		like, ok := v.hosts.get(w.Like)
		if !ok {
			return nil, fmt.Errorf("there is no host %q that others could be like: see them with glidepath host list", w.Like)
		}
		for n, added := 1, 0; added < w.Add; n++ {
			if c.hosts.has(Added(w.Like, n)) {
				continue // v is a fleet that is not there itself
			}
			if err := c.addLike(like, n); err != nil {
				return nil, err
			}
			added++
		}
	}
	for _, name := range w.Without {
		h, ok := v.hosts.get(name)
		if !ok {
			return nil, fmt.Errorf("there is no host %q to be without: see them with glidepath host list", name)
		}
		h.Cordoned = true
		h.Windows = append(slices.Clone(h.Windows), proto.CapacityWindow{ID: leftOut, Span: timeline.Span{Start: min(v.now, v.ledger.Start()), End: timeline.Forever}, Whole: true, Reason: "it is asked what would be without it"})
		c.hosts.put(name, h)
	}
	return c, nil
}

// Over returns v with another ledger in the place of its own: a clone of that, with changes that are tried out. Nothing else is copied.
func (v *View) Over(l *ledger.Ledger) *View {
	c := *v
	c.ledger = l
	return &c
}

// Added returns the name of the nth host, from 1, that With adds. No host of a fleet can have it.
func Added(like string, n int) string { return fmt.Sprintf("%s+%d", like, n) }

func (v *View) addLike(like proto.Host, n int) error {
	own, used := v.ledger.Reservation(proto.SystemReservation(like.Facts.Name))
	h := like
	h.Facts.Name = Added(like.Facts.Name, n)
	h.Cordoned, h.Paused, h.Debt, h.Drain, h.Windows, h.Reduced, h.Conflicts, h.Incarnation = false, false, 0, nil, nil, nil, nil, v.fleet.Incarnation
	h.Facts.Missing = slices.DeleteFunc(slices.Clone(h.Facts.Missing), func(m proto.Missing) bool { return m.What == proto.LacksClock }) // which passes
	v.hosts.put(h.Facts.Name, h)
	if err := v.ledger.SetHost(capacity(h, v.fleet.Policy)); err != nil {
		return err
	}
	if !used {
		return nil
	}
	own.ID, own.Host = proto.SystemReservation(h.Facts.Name), h.Facts.Name
	return v.ledger.Hold(own)
}

// Letting returns the state as it is without reservations, of which some may be gone: what they keep room for is planned into that. For it holds what holds for With.
func (v *View) Letting(reservations ...string) (*View, error) {
	c := v.clone()
	for _, id := range reservations {
		if _, held := c.ledger.Reservation(id); !held {
			continue
		}
		if err := c.ledger.Release(id); err != nil {
			return nil, err
		}
	}
	return c, nil
}
