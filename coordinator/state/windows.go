package state

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Reduced returns what of a host is not there for a while: by an operator's decision, and in each window that is open.
func Reduced(h proto.Host) timeline.Profile {
	p := h.Reduced
	for _, w := range h.Windows {
		amount := w.Amount
		if w.Whole {
			amount = h.Allocatable()
		}
		p = p.Add(timeline.Flat(w.Span, amount))
	}
	return p
}

// hostWindow puts a window in which some of a host is not there, or takes one back. Those that are over go.
func (x *tx) hostWindow(b *proto.HostWindow) proto.Result {
	h, ok := x.hosts.get(b.Host)
	if !ok {
		return missing("host", b.Host)
	}
	if b.Revision != 0 && b.Revision != h.Revision {
		return stale("something else was decided on host %s meanwhile: its decisions have revision %d, not %d; read them again", b.Host, h.Revision, b.Revision)
	}
	if (b.Put == nil) == (b.Drop == "") {
		return invalid("a window of %s is put or taken back: say one of them", b.Host)
	}
	id := b.Drop
	if b.Put != nil {
		if r := x.validWindow(b.Host, b.Put); !r.OK() {
			return r
		}
		id = b.Put.ID
	}
	there := func(w proto.CapacityWindow) bool { return w.ID == id }
	if b.Put == nil && !slices.ContainsFunc(h.Windows, there) {
		return missing("window of "+b.Host, id)
	}
	h.Windows = slices.DeleteFunc(slices.Clone(h.Windows), func(w proto.CapacityWindow) bool { return there(w) || w.Span.End <= x.now })
	if b.Put != nil {
		w := *b.Put
		w.By, w.At = x.actor, x.now
		h.Windows = append(h.Windows, w)
		slices.SortFunc(h.Windows, func(a, b proto.CapacityWindow) int { return cmp.Compare(a.ID, b.ID) })
	}
	if len(h.Windows) > proto.MaxWindows {
		return invalid("%s would have %d windows: use at most %d", b.Host, len(h.Windows), proto.MaxWindows)
	}
	h.Revision++
	next := x.ledger.Clone()
	if err := next.SetHost(capacity(h, x.fleet.Policy)); err != nil {
		return invalid("%s", err)
	}
	if s := shorter(x.ledger, next, b.Host); s != nil && !b.Force {
		return proto.Result{Code: proto.ResultRefused, Message: s.Error() + ": drain the host first, or state the window as a fact", Shortfall: s}
	}
	x.ledger = next
	x.putHost(h)
	return done()
}

func (x *tx) validWindow(host string, w *proto.CapacityWindow) proto.Result {
	if err := proto.ValidID("window", w.ID); err != nil {
		return invalid("%s", err)
	}
	if err := text("reason", w.Reason); err != nil {
		return invalid("window %s of %s: %s", w.ID, host, err)
	}
	if w.Span.Empty() || w.Span.Start < 0 || w.Span.End <= x.now || w.Span.End > timeline.Forever {
		return invalid("window %s of %s is %s: it needs a start, and an end that is later than that and than now", w.ID, host, w.Span)
	}
	if err := w.Amount.Valid(); err != nil {
		return invalid("window %s of %s: %s", w.ID, host, err)
	}
	if w.Whole != w.Amount.IsZero() {
		return invalid("window %s of %s takes the whole host, or an amount of it: say one of them", w.ID, host)
	}
	return done()
}

// shorter returns the first step, and in it the first resource, where a host is short after a change of its capacity and more so than before; nil where there is none.
func shorter(before, after *ledger.Ledger, host string) *proto.Shortfall {
	was := before.Steps(host)
	for i, s := range after.Owed(host) {
		for k, needed := range s.Needed {
			limit := s.Limit[k]
			if needed > limit && limit < was[i].Limit[k] {
				return &proto.Shortfall{Host: host, Span: s.Span, Resource: resource.Kind(k), Missing: needed - limit, Needed: needed, Limit: limit}
			}
		}
	}
	return nil
}
