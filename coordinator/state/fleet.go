package state

import (
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

const maxProbation = 30 * 24 * int64(time.Hour/time.Millisecond)

func (x *tx) putFleet(f proto.Fleet) {
	x.fleet = f
	x.changed(proto.TableFleet, f.ID)
}

func (x *tx) fleetInit(b *proto.FleetInit) proto.Result {
	if x.fleet.ID != "" {
		return conflict("the fleet %s exists: join it instead of making another", x.fleet.ID)
	}
	if err := proto.ValidName("fleet", b.Fleet); err != nil {
		return invalid("%s", err)
	}
	if r := validPolicy(b.Policy); !r.OK() {
		return r
	}
	if b.GridStep < 0 || b.GridStep > int64(time.Hour/time.Millisecond) {
		return invalid("a grid step of %d ms: use 1 s to 1 h", b.GridStep)
	}
	l, err := ledger.New(ledger.Grid{Step: time.Duration(b.GridStep) * time.Millisecond}, b.Policy.Z, x.now)
	if err != nil {
		return invalid("%s", err)
	}
	x.ledger = l
	x.putFleet(proto.Fleet{ID: b.Fleet, Incarnation: 1, GridStep: b.GridStep, Policy: b.Policy, CreatedAt: x.now, Revision: 1, ChangedBy: x.actor, ChangedAt: x.now})
	return done()
}

func validPolicy(p proto.Policy) proto.Result {
	if p.Z < 0 || p.Z > ledger.MaxZ {
		return invalid("z of %d thousandths: use 0 to %d", p.Z, ledger.MaxZ)
	}
	for k, n := range p.Ratio {
		if n < 1 || n > ledger.MaxRatio {
			return invalid("the ratio of %s is %d thousandths: use 1 to %d", resource.Kind(k), n, ledger.MaxRatio)
		}
	}
	for _, q := range []int{p.Quantiles.Critical, p.Quantiles.Standard, p.Quantiles.BestEffort} {
		if q < 1 || q > 999 {
			return invalid("a quantile of %d thousandths: use 1 to 999", q)
		}
	}
	if p.Probation < 0 || p.Probation > maxProbation {
		return invalid("a probation of %d ms: use 0 to 30 days", p.Probation)
	}
	if p.MovesHost < 1 || p.MovesFleet < 1 {
		return invalid("%d migrations per host and %d in the fleet: allow at least one", p.MovesHost, p.MovesFleet)
	}
	if p.MovesLink < 0 {
		return invalid("%d migrations over one segment: allow at least one, or say 0 for as many as in the fleet", p.MovesLink)
	}
	if p.Fill != proto.FillSpread && p.Fill != proto.FillPack {
		return invalid("hosts can't be filled by %q: use pack, or leave it out to spread", p.Fill)
	}
	if b := p.Rebalance; b != nil && (b.Every < 0 || b.MovesDay < 0 || b.LeastGain < 0) {
		return invalid("rebalancing every %d ms, %d moves a day, for a gain of %d thousandths: none of them can be negative", b.Every, b.MovesDay, b.LeastGain)
	}
	return validWindows(p.Windows)
}

func validWindows(list []proto.MoveWindow) proto.Result {
	if len(list) > proto.MaxWindows {
		return invalid("%d windows: use at most %d", len(list), proto.MaxWindows)
	}
	for _, w := range list {
		if err := w.Valid(); err != nil {
			return invalid("%s", err)
		}
	}
	return done()
}

func (x *tx) policyPut(b *proto.PolicyPut) proto.Result {
	if b.Revision != 0 && b.Revision != x.fleet.Revision {
		return stale("the policy has changed: it has revision %d, not %d; read it again", x.fleet.Revision, b.Revision)
	}
	if x.version < 2 { // what came later is not read by those who know only that
		b.Policy.MovesLink, b.Policy.Windows, b.Policy.Rebalance = 0, nil, nil
	}
	if r := validPolicy(b.Policy); !r.OK() {
		return r
	}
	next := x.ledger.Clone()
	if err := next.SetZ(b.Policy.Z); err != nil {
		return invalid("%s", err)
	}
	for h := range x.hosts.all() {
		if err := next.SetHost(capacity(h, b.Policy)); err != nil {
			return invalid("%s", err)
		}
		if s := next.Short(h.Facts.Name); s != nil && x.ledger.Short(h.Facts.Name) == nil {
			return proto.Result{Code: proto.ResultRefused, Message: "under this policy " + s.Error(), Shortfall: s}
		}
	}
	x.ledger = next
	f := x.fleet
	f.Policy, f.Revision, f.ChangedBy, f.ChangedAt = b.Policy, f.Revision+1, x.actor, x.now
	x.putFleet(f)
	return done()
}

func (x *tx) incarnationRaise(b *proto.IncarnationRaise) proto.Result {
	if b.From != x.fleet.Incarnation {
		return stale("the incarnation is %d, not %d", x.fleet.Incarnation, b.From)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	f := x.fleet
	f.Incarnation, f.RaisedAt, f.RaisedFor = f.Incarnation+1, x.now, b.Reason
	x.putFleet(f)
	return done()
}

func (x *tx) coordinatorPut(b *proto.CoordinatorPut) proto.Result {
	c := b.Coordinator
	if err := proto.ValidName("coordinator", c.Name); err != nil {
		return invalid("%s", err)
	}
	for _, s := range []string{c.RPCAddr, c.APIAddr, c.GossipAddr, c.Identity, c.Program} {
		if err := text("address", s); err != nil {
			return invalid("coordinator %s: %s", c.Name, err)
		}
	}
	if len(c.Commands) > 0x100 {
		return invalid("coordinator %s knows more commands than there are", c.Name)
	}
	if c.Identity != "" && slices.Contains(x.fleet.Removed, c.Identity) {
		return refused("coordinator %s was taken out of the fleet: it has to join again with a token", c.Name)
	}
	c.JoinedAt = x.now
	if old, ok := x.coordinators.get(c.Name); ok {
		c.JoinedAt = old.JoinedAt
	}
	put(x, x.coordinators, c.Name, c)
	return done()
}

// removedKept is how many of the coordinators, and of the hosts, that were taken out are remembered. The certificates of older ones have long expired.
const removedKept = 256

func (x *tx) coordinatorRemove(b *proto.CoordinatorRemove) proto.Result {
	was, ok := x.coordinators.get(b.Name)
	if !ok {
		return missing("coordinator", b.Name)
	}
	var kept []proto.Host
	for h := range x.hosts.all() {
		if h.Home == b.Name {
			return refused("coordinator %s is the home of %s: give it another home first", b.Name, h.Facts.Name)
		}
		if h.Standby == b.Name {
			kept = append(kept, h)
		}
	}
	for _, h := range kept {
		h.Standby = ""
		x.putHost(h)
	}
	drop(x, x.coordinators, b.Name)
	if was.Identity != "" {
		f := x.fleet
		f.Removed = append(slices.Clone(f.Removed), was.Identity) // views share it
		f.Removed = f.Removed[max(0, len(f.Removed)-removedKept):]
		x.putFleet(f)
	}
	return done()
}

// tick has nothing to do for the grid: every command moves it.
func (x *tx) tick() proto.Result {
	gone := x.ledger.Expire(x.now, func(r proto.Reservation) bool {
		// What an instance or a migration lives with ends with them, not by the clock.
		return r.Purpose != proto.PurposeHold && (r.Migration != "" && x.active.has(r.Migration) || x.instances.has(r.Instance) || r.Purpose == proto.PurposeSystem)
	})
	for _, r := range gone {
		x.changed(proto.TableReservations, r.ID)
		if r.Squeezed != nil {
			x.clearNotice(proto.NoticeID(proto.NoticeSqueezed, r.ID))
		}
	}
	return done()
}

func (x *tx) pause(b *proto.Pause) proto.Result {
	switch {
	case b.Host != "" && b.Instance != "":
		return invalid("pause a host or an instance, not both at once")
	case b.Host != "":
		h, ok := x.hosts.get(b.Host)
		if !ok {
			return missing("host", b.Host)
		}
		h.Paused = b.Paused
		x.putHost(h)
	case b.Instance != "":
		i, ok := x.instances.get(b.Instance)
		if !ok {
			return missing("instance", b.Instance)
		}
		i.Paused = b.Paused
		x.putInstance(i)
	default:
		f := x.fleet
		f.Paused = b.Paused
		x.putFleet(f)
	}
	return done()
}
