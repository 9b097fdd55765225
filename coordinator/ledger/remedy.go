package ledger

import (
	"cmp"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Remedy is what would end a host's shortages.
type Remedy struct {
	Yield Yielded             // who gives way, where that is enough
	Move  []proto.Reservation // else, whose instances would have to leave, sorted by ID
	Left  []proto.Shortfall   // what would be short even then
	Says  []string            // what is short, and what would end it
}

// Remedies proposes what would end the shortages of a host: that standard and besteffort reservations give way where that is enough,
// else which instances leave. It changes nothing, and names only reservations that may allows.
func (l *Ledger) Remedies(host string, may func(proto.Reservation) bool) Remedy {
	var out Remedy
	short := l.Shortages(host)
	if len(short) == 0 {
		return out
	}
	for i := range short {
		out.Says = append(out.Says, short[i].Error())
	}
	held := l.On(host)
	r := l.room(host, held, nil, func(r proto.Reservation) bool { return MayYield(r, proto.Critical) == nil && may(r) })
	if r.make() == nil {
		out.Yield.add(l, r, "")
		out.Says = append(out.Says, out.Yield.Says...)
		return out
	}
	out.Says = append(out.Says, "it is not enough that those who may give way fall to their floors")
	var stay []proto.Reservation
	out.Move, stay = l.leavers(host, held, may)
	if len(out.Move) > 0 {
		names := make([]string, len(out.Move))
		for i, m := range out.Move {
			names[i] = whose(m) + " (" + string(m.Class) + ")"
		}
		out.Says = append(out.Says, "move away: "+strings.Join(names, ", "))
	}
	out.Left = shortages(host, l.sketch(host, stay))
	for i := range out.Left {
		out.Says = append(out.Says, "left then: "+out.Left[i].Error())
	}
	return out
}

// leavers returns whose instances have to leave the host so that as little as can be is short, and what stays: the lowest class
// first, in it who makes the most room, and nobody for nothing.
func (l *Ledger) leavers(host string, held []proto.Reservation, may func(proto.Reservation) bool) (gone, stay []proto.Reservation) {
	leaves := func(r proto.Reservation) bool { return r.Purpose == proto.PurposeInstance && may(r) }
	bare := slices.Clone(held)
	for i := range bare {
		bare[i].Floor = resource.Vector{} // who leaves keeps no floor
	}
	r := l.room(host, bare, nil, leaves)
	left := make([]int64, len(r.yielder)) // missing when one is gone
	order := make([]int, len(r.yielder))
	for who := range r.yielder {
		r.keep(who, give{})
		left[who], order[who] = r.missing(), who
		r.keep(who, nothing)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch c, d := r.yielder[a].Class, r.yielder[b].Class; {
		case lower(c, d):
			return -1
		case lower(d, c):
			return 1
		}
		return cmp.Compare(left[a], left[b])
	})
	var taken []int
	for _, who := range order {
		if r.missing() == 0 {
			break
		}
		r.keep(who, give{})
		taken = append(taken, who)
	}
	least := r.missing() // nobody goes who changes nothing about it, whoever makes least room first
	for i := len(taken) - 1; i >= 0; i-- {
		r.keep(taken[i], nothing)
		if r.missing() > least {
			r.keep(taken[i], give{})
			continue
		}
		taken = slices.Delete(taken, i, i+1)
	}
	for _, h := range held {
		if slices.ContainsFunc(taken, func(who int) bool { return r.yielder[who].ID == h.ID }) {
			gone = append(gone, h)
		} else {
			stay = append(stay, h)
		}
	}
	return gone, stay
}

// keep has a yielder give g in every cell.
func (r *room) keep(who int, g give) {
	for i := range r.cells {
		c := &r.cells[i]
		if at, there := slices.BinarySearchFunc(c.holders, who, func(h holder, who int) int { return h.who - who }); there {
			c.keep(r.z, &c.holders[at], g)
		}
	}
}

// missing returns how much of what was needed is still above the limits, over all cells, as Harm would measure it.
func (r *room) missing() int64 {
	total := int64(0)
	for i := range r.cells {
		c := &r.cells[i]
		if needed := c.of(r.z); needed > c.limit {
			total += max(1, share(needed-c.limit, c.needed, c.span))
		}
	}
	return total
}
