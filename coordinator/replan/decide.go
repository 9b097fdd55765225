package replan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Input is what is known of one host.
type Input struct {
	Host    string
	View    *state.View
	Now     timeline.Time
	Wants   []Want
	Turn    bool                            // it is the host's turn
	Notices []proto.Notice                  // that name the host and are not cleared
	Silent  func() map[string]timeline.Time // hosts whose agents have been silent, and since when; asked only where a move is planned

	Data func(instance string) int64 // bytes that the instance has; 0: not known. Asked only where a move is planned
}

// Proposal is a command that is to be proposed.
type Proposal struct {
	ID   string
	Body proto.Body
	Turn bool // it is what the host's turn is for
}

// batchMost is how many revisions are in one command: each takes some kilobytes of its megabyte.
const batchMost = 100

// deciding is an input while it is decided on.
type deciding struct {
	Input
	step time.Duration
	out  []Proposal
}

// candidate is a reservation that should be revised.
type candidate struct {
	*Want
	cause cause
	short *proto.Shortfall // why it does not fit, once that is known
}

// Decide returns what is to be proposed for a host, in that order; nothing where all is as it should be. The revisions of a host's reservations are one
// command. Where one does not fit the ladder is climbed, one rung at a time: besteffort instances yield; a move is suggested; and as long as neither
// helps a notice says who needs what.
func Decide(in Input) []Proposal {
	d := &deciding{Input: in, step: time.Duration(in.View.Fleet().GridStep) * time.Millisecond}
	var wanted []candidate
	for i := range d.Wants {
		w := &d.Wants[i]
		why := outgrown(w, d.Now, d.step)
		switch {
		case why == fine:
		case w.Reservation.Purpose == proto.PurposeSystem:
			d.system(w, why)
		default:
			wanted = append(wanted, candidate{Want: w, cause: why})
		}
	}
	slices.SortStableFunc(wanted, byPressure)
	fits, refused := d.fitting(wanted)
	if !d.revise(fits) && !d.squeeze(refused) && (d.Turn || anyUrgent(refused) || d.shortOtherwise()) {
		d.tell(refused)
	}
	return d.out
}

func anyUrgent(list []candidate) bool {
	return slices.ContainsFunc(list, func(c candidate) bool { return c.cause == urgent })
}

// shortOtherwise reports whether the host is short and no notice that would be kept says so, or one says so and it is not.
func (d *deciding) shortOtherwise() bool {
	n := proto.Notice{ID: proto.NoticeID(proto.NoticeShort, d.Host), Kind: proto.NoticeShort, Host: d.Host}
	told := slices.ContainsFunc(d.Notices, func(old proto.Notice) bool { return old.ID == n.ID })
	if d.View.Ledger().Short(d.Host) == nil {
		return told
	}
	return !told && d.View.KeepsNotice(n)
}

// byPressure orders what gives back before what takes more, which what has yielded does last, and higher classes before lower ones.
func byPressure(a, b candidate) int {
	late := func(c candidate) int {
		switch {
		case c.cause < left:
			return 0
		case c.Reservation.Squeezed == nil:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(late(a), late(b)), cmp.Compare(rank(a.Reservation.Class), rank(b.Reservation.Class)), cmp.Compare(a.Reservation.ID, b.Reservation.ID))
}

// rank orders classes, the highest first.
func rank(c proto.Class) int {
	switch c {
	case proto.Critical:
		return 0
	case proto.Standard:
		return 1
	}
	return 2
}

// system restates what a host uses for itself, which is a fact.
func (d *deciding) system(w *Want, why cause) {
	if d.Turn || why == urgent {
		d.propose("system", &proto.HostSystem{Host: d.Host, Envelope: w.Envelope}, true)
	}
}

func (d *deciding) propose(what string, body proto.Body, turn bool) {
	d.out = append(d.out, Proposal{ID: fmt.Sprintf("%s/%s/%d", what, d.Host, d.View.Applied()), Body: body, Turn: turn})
}

// fitting returns those that fit together, and those that do not fit beside them. What has yielded, and would not fit yet, is in neither: it waits.
func (d *deciding) fitting(wanted []candidate) (fits, refused []candidate) {
	wanted = wanted[:min(len(wanted), batchMost)]
	var c ledger.Change
	for _, w := range wanted {
		c.Revise = append(c.Revise, w.revised())
	}
	if len(wanted) == 0 || d.View.Ledger().Fits(c) == nil {
		return wanted, nil
	}
	c.Revise = nil
	for _, w := range wanted {
		c.Revise = append(c.Revise, w.revised())
		err := d.View.Ledger().Fits(c)
		if err == nil {
			fits = append(fits, w)
			continue
		}
		c.Revise = c.Revise[:len(c.Revise)-1]
		if errors.As(err, &w.short) && w.cause >= left && w.Reservation.Squeezed == nil {
			refused = append(refused, w)
		}
	}
	return fits, refused
}

// revised returns the reservation as it should be.
func (c *candidate) revised() proto.Reservation {
	r := c.Reservation
	r.Envelope, r.Floor = c.Envelope, c.Sizing.Floor
	return r
}

// revision returns the same as it is proposed.
func (c *candidate) revision() proto.Revision {
	return proto.Revision{ID: c.Reservation.ID, From: c.Reservation.Revision, Envelope: c.Envelope, Floor: c.Sizing.Floor}
}

// revise proposes what fits in one command, and reports whether it did. When it is not the host's turn it is done for the sake of what is urgent alone.
func (d *deciding) revise(fits []candidate) bool {
	if len(fits) == 0 || !d.Turn && !anyUrgent(fits) {
		return false
	}
	body := &proto.ReservationChange{Author: proto.AuthorReplan}
	for _, c := range fits {
		body.Revise = append(body.Revise, c.revision())
	}
	d.propose("replan", body, true)
	return true
}
