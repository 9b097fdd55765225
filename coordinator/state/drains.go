package state

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// hostDrain begins to empty a host, goes on with that or takes it back. The host is cordoned meanwhile, so that nothing is placed there by commands that
// know nothing of drains.
func (x *tx) hostDrain(b *proto.HostDrain) proto.Result {
	h, ok := x.hosts.get(b.Host)
	if !ok {
		return missing("host", b.Host)
	}
	var d proto.Drain
	if h.Drain != nil {
		d = *h.Drain
	}
	if b.From != d.State {
		return stale("the drain of host %s is %s, not %s", b.Host, drainWord(d.State), drainWord(b.From))
	}
	if !d.State.May(b.To) {
		return refused("the drain of host %s is %s: it can't be %s next", b.Host, drainWord(d.State), drainWord(b.To))
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	switch {
	case b.To == proto.DrainNone:
		h.Cordoned, h.Drain = d.Cordoned, nil
	case d.State == proto.DrainNone || d.State == proto.DrainDone:
		if b.Deadline != 0 && (b.Deadline <= x.now || b.Deadline >= timeline.Forever) {
			return invalid("host %s would be drained by %s: name a time later than now, or none", b.Host, b.Deadline)
		}
		if b.Probation < 0 || b.Probation > maxProbation {
			return invalid("a probation of %d ms: use 0 to 30 days", b.Probation)
		}
		if d.State == proto.DrainNone {
			d.Cordoned = h.Cordoned
		}
		d.Deadline, d.Probation, d.Squeeze, d.By, d.Since = b.Deadline, b.Probation, b.Squeeze, x.actor, x.now
		h.Cordoned = true
	case b.To == proto.DrainDone:
		if name := x.holding(b.Host); name != "" {
			return refused("host %s is not empty: instance %s has a reservation there", b.Host, name)
		}
	}
	if b.To != proto.DrainNone {
		d.State, d.Reason = b.To, b.Reason
		h.Drain = &d
	}
	h.Revision++
	x.putHost(h)
	return done()
}

// holding returns an instance that has something reserved on the host, or "".
func (v *View) holding(host string) string {
	for _, r := range v.ledger.On(host) {
		if r.Instance != "" && r.Instance != proto.SystemInstance {
			return r.Instance
		}
	}
	return ""
}

func drainWord(s proto.DrainState) string {
	if s == proto.DrainNone {
		return "not begun"
	}
	return string(s)
}
