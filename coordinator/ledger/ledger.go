// Package ledger promises the fleet's capacity: reservations of all eight resources on a time grid, admitted at every step or refused whole.
//
// The envelopes of the reservations are what counts; the dense sums per host, resource and step are derived from them. A
// ledger is a value for one goroutine at a time; Clone is cheap, and clones share nothing that changes.
package ledger

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/btree"
)

// Bounds that keep every sum within its integers.
const (
	MaxPerHost = 2048   // reservations on one host
	MaxRatio   = 10_000 // thousandths of the allocatable amount that may be promised
	MaxZ       = 10_000 // thousandths of a standard deviation
)

// Refusals that somebody decides on; a *proto.Shortfall is the other one. They come with the name of the object.
var (
	ErrUnknownHost        = errors.New("no such host in the ledger")
	ErrUnknownReservation = errors.New("no such reservation")
	ErrConflict           = errors.New("another reservation has this identifier")
	ErrInvalid            = errors.New("invalid reservation")
	ErrFull               = errors.New("the host has as many reservations as it may have")
	ErrInUse              = errors.New("the host has reservations")
)

// Ledger is the record of all reservations of a fleet.
type Ledger struct {
	grid   Grid
	z      int64
	layout layout
	hosts  *btree.BTreeG[place]
	owner  *owner // of the hosts that no clone shares
	ahead  ahead
	held   *btree.BTreeG[entry]
	ends   *btree.BTreeG[ending] // of those that have an end
}

// owner stands for a ledger since its last Clone. Its hosts may be changed themselves, instead of copies of them.
type owner struct{ _ byte }

// entry is a reservation under its identifier.
type entry struct {
	id          string
	reservation *reservation
}

// ending is a reservation under its end: most have none, and whoever looks for what has ended looks at no other.
type ending struct {
	at timeline.Time
	id string
}

// place is a host under its name. A host itself is big, and would have to be made to look for one. Beside the name is what is free there at
// all times, so that who asks all hosts reads no more of most of them than the tree has in a row.
type place struct {
	name  string
	least [resource.Kinds]int64 // of the host's outline
	host  *host
}

func placeOf(h *host) place { return place{h.capacity.Host, h.outline.least, h} }

const degree = 32 // of the trees: a node's items stay within a few cache lines' worth of pointers

// New returns an empty ledger whose grid begins at now. z is the number of standard deviations that pooled demand is held
// with, in thousandths, 0 to MaxZ.
func New(g Grid, z int64, now timeline.Time) (*Ledger, error) {
	if err := g.Valid(); err != nil {
		return nil, err
	}
	if z < 0 || z > MaxZ {
		return nil, fmt.Errorf("%d thousandths of a deviation: use 0 to %d", z, MaxZ)
	}
	return &Ledger{
		grid: g, z: z, layout: g.at(now), owner: new(owner),
		hosts: btree.NewG(degree, func(a, b place) bool { return a.name < b.name }),
		held:  btree.NewG(degree, func(a, b entry) bool { return a.id < b.id }),
		ends:  btree.NewG(degree, func(a, b ending) bool { return a.at < b.at || a.at == b.at && a.id < b.id }),
	}, nil
}

// Clone returns a ledger that can be changed and read apart from l. It takes no time; it must not run at the same time as
// another call on l.
func (l *Ledger) Clone() *Ledger {
	c := *l
	c.hosts, c.held, c.ends = l.hosts.Clone(), l.held.Clone(), l.ends.Clone()
	c.owner, l.owner = new(owner), new(owner)
	c.ahead = ahead{} // it does its own
	return &c
}

// Start returns the start of the grid's first step.
func (l *Ledger) Start() timeline.Time { return l.layout.start() }

// SetHost states a host's capacity. It is a fact: what was promised stays, and Short says when it is too much.
func (l *Ledger) SetHost(c Capacity) error {
	if err := c.Allocatable.Valid(); err != nil {
		return fmt.Errorf("allocatable of %s: %w", c.Host, err)
	}
	if err := c.Reduced.Valid(); err != nil {
		return fmt.Errorf("reduced capacity of %s: %w", c.Host, err)
	}
	if c.Debt < 0 || c.Debt > resource.Unlimited {
		return fmt.Errorf("memory debt of %s: %d bytes", c.Host, c.Debt)
	}
	for k, n := range c.Ratio {
		if n < 1 || n > MaxRatio {
			return fmt.Errorf("ratio of %s on %s: %d thousandths, use 1 to %d", resource.Kind(k), c.Host, n, MaxRatio)
		}
	}
	old, ok := l.host(c.Host)
	if !ok {
		l.put(newHost(c, l.layout, l.z, nil))
		return nil
	}
	h := l.own(old) // what is held there needs the same as before
	h.capacity = c
	h.setLimits(l.layout)
	h.settle(l.layout, l.z)
	l.put(h)
	return nil
}

// RemoveHost takes out a host on which nothing is reserved.
func (l *Ledger) RemoveHost(name string) error {
	h, ok := l.host(name)
	if !ok {
		return fmt.Errorf("%s: %w", name, ErrUnknownHost)
	}
	if len(h.held) > 0 {
		return fmt.Errorf("%s: %w: %s is one", name, ErrInUse, h.held[0].ID)
	}
	l.hosts.Delete(place{name: name})
	l.ahead.changed(name)
	return nil
}

// SetZ changes what pooled demand is held with, in thousandths of a standard deviation, 0 to MaxZ. It is a fact, like a
// host's capacity.
func (l *Ledger) SetZ(z int64) error {
	if z < 0 || z > MaxZ {
		return fmt.Errorf("%d thousandths of a deviation: use 0 to %d", z, MaxZ)
	}
	l.z = z
	l.ahead = ahead{} // what hosts come to follows from it, also of those that are changed themselves
	l.replaceHosts(func(h *host) *host {
		h = l.own(h)
		h.settle(l.layout, z)
		return h
	})
	return nil
}

// own returns the host itself where no clone shares it, or a copy: one that may be changed.
func (l *Ledger) own(h *host) *host {
	if h.owner == l.owner {
		return h
	}
	return h.clone()
}

// replaceHosts puts another version in the place of each host, or leaves it.
func (l *Ledger) replaceHosts(f func(*host) *host) {
	var next []*host
	l.hosts.Ascend(func(p place) bool {
		if h := f(p.host); placeOf(h) != p {
			next = append(next, h)
		}
		return true
	})
	for _, h := range next {
		l.put(h)
	}
}

// Expire releases the reservations whose end has come and which keep does not hold back, and returns them sorted by ID.
func (l *Ledger) Expire(now timeline.Time, keep func(proto.Reservation) bool) []proto.Reservation {
	var gone []proto.Reservation
	var change Change
	l.ends.AscendLessThan(ending{at: now + 1}, func(e ending) bool {
		if r, ok := l.Reservation(e.id); ok && !keep(r) {
			gone = append(gone, r)
			change.Release = append(change.Release, r.ID)
		}
		return true
	})
	slices.SortFunc(gone, func(a, b proto.Reservation) int { return strings.Compare(a.ID, b.ID) })
	if err := l.Apply(change); err != nil {
		panic("ledger: a release was refused: " + err.Error()) // releasing what is there always succeeds
	}
	return gone
}

// enter puts a reservation into the place of the one with its identifier, and reports whether there was one.
func (l *Ledger) enter(r *reservation) bool {
	old, there := l.held.ReplaceOrInsert(entry{r.ID, r})
	if there {
		l.ends.Delete(ending{old.reservation.End(), r.ID})
	}
	if end := r.End(); end < timeline.Forever {
		l.ends.ReplaceOrInsert(ending{end, r.ID})
	}
	return there
}

func (l *Ledger) leave(r *reservation) {
	l.held.Delete(entry{id: r.ID})
	l.ends.Delete(ending{r.End(), r.ID})
}

// Reservation returns the reservation with the identifier.
func (l *Ledger) Reservation(id string) (proto.Reservation, bool) {
	r, ok := l.get(id)
	if !ok {
		return proto.Reservation{}, false
	}
	return r.whole(), true
}

func (l *Ledger) get(id string) (*reservation, bool) {
	e, ok := l.held.Get(entry{id: id})
	return e.reservation, ok
}

// Reservations returns all reservations, sorted by ID.
func (l *Ledger) Reservations() iter.Seq[proto.Reservation] {
	return func(yield func(proto.Reservation) bool) {
		l.held.Ascend(func(e entry) bool { return yield(e.reservation.whole()) })
	}
}

// Len returns how many reservations there are.
func (l *Ledger) Len() int { return l.held.Len() }

// On returns the reservations on a host, sorted by ID.
func (l *Ledger) On(name string) []proto.Reservation {
	h, ok := l.host(name)
	if !ok {
		return nil
	}
	out := make([]proto.Reservation, len(h.held))
	for i, r := range h.held {
		out[i] = r.whole()
	}
	return out
}

// Held returns the reservations on a host, sorted by ID, without their envelopes: to read those is most of the work of On.
func (l *Ledger) Held(name string) iter.Seq[proto.Reservation] {
	return func(yield func(proto.Reservation) bool) {
		h, ok := l.host(name)
		if !ok {
			return
		}
		for _, r := range h.held {
			if !yield(r.Reservation) {
				return
			}
		}
	}
}

// Short returns where a host has promised more than it may, because a fact took it: its capacity fell, the system uses
// more, memory could not be taken back, an observed instance was adopted. It is nil where all is well.
func (l *Ledger) Short(name string) *proto.Shortfall {
	if h, ok := l.host(name); ok {
		return h.short
	}
	return nil
}

// Step is one step of a host's grid: what is needed of it and what may be promised.
type Step struct {
	timeline.Span
	Needed, Limit resource.Vector
}

// Headroom returns what is still free.
func (s Step) Headroom() resource.Vector { return s.Limit.Sub(s.Needed) }

// Steps returns the grid of a host from its first step to the tail; nil for an unknown host.
func (l *Ledger) Steps(name string) []Step { return l.StepsIn(name, always) }

// StepsIn returns the steps that a span touches, the first one for a span that is past.
func (l *Ledger) StepsIn(name string, s timeline.Span) []Step {
	h, ok := l.host(name)
	if !ok {
		return nil
	}
	first, to := l.layout.over(s)
	first = max(first, l.layout.first)
	return h.steps(l.layout, l.z, first, max(first+1, to))
}

// Owed returns the grid of a host as Steps does, but without what it needs for itself while it is away.
func (l *Ledger) Owed(name string) []Step {
	h, ok := l.host(name)
	if !ok {
		return nil
	}
	return h.owed(l.layout, l.z)
}

func (l *Ledger) host(name string) (*host, bool) {
	p, ok := l.hosts.Get(place{name: name})
	return p.host, ok
}

// put puts a host that was made for this ledger, or has changed in it, in the place of the one with its name.
func (l *Ledger) put(h *host) {
	h.owner = l.owner
	l.hosts.ReplaceOrInsert(placeOf(h))
	l.ahead.changed(h.capacity.Host)
}

// Hosts returns the names of the hosts, sorted.
func (l *Ledger) Hosts() iter.Seq[string] {
	return func(yield func(string) bool) {
		l.hosts.Ascend(func(p place) bool { return yield(p.name) })
	}
}
