package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Every coordinator reads every command, and most of them change reservations. What follows reads those as the codec does by
// reflection, in two fifths of the time; a fuzz test compares the two. What is not in the plain form is left to the codec.

// DecodeCommand decodes an entry of the log. The body is the entry's own bytes, which must not change any more. The errors are those of Unmarshal.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	if c.readPlain(b) {
		return c, nil
	}
	c = Command{}
	err := Unmarshal(b, &c)
	return c, err
}

func (c *Command) readPlain(b []byte) bool {
	p := &plain{rest: b}
	f := p.fields()
	if f.next("t") {
		c.Type = CommandType(p.uint(0xff))
	}
	if f.next("v") {
		c.Version = uint8(p.uint(0xff))
	}
	if f.next("id") {
		c.ID = p.string()
	}
	if f.next("at") {
		c.At = timeline.Time(p.int())
	}
	if f.next("by") {
		c.Actor = p.string()
	}
	if f.next("b") {
		c.Body = p.bytes()
	}
	f.end()
	return p.whole()
}

// readPlain reads the body into an empty change; false where it is not in the plain form.
func (c *ReservationChange) readPlain(b []byte) bool {
	p := &plain{rest: b}
	f := p.fields()
	if f.next("a") {
		c.Author = word(p, AuthorMigrate, AuthorReplan, AuthorOperator)
	}
	if f.next("h") {
		c.Hold = readList(p, readReservation)
	}
	if f.next("r") {
		c.Revise = readList(p, readRevision)
	}
	if f.next("d") {
		c.Release = readList(p, func(p *plain, s *string) { *s = p.string() })
	}
	f.end()
	return p.whole()
}

// readList reads elements as long as they are good: what it allocates follows what is there, not what is declared.
func readList[T any](p *plain, read func(*plain, *T)) []T {
	n := p.list()
	list := make([]T, min(n, MaxSegments))
	for i := 0; i < n && !p.bad; i++ {
		if i == len(list) {
			list = append(list, make([]T, min(n-i, len(list)))...)
		}
		read(p, &list[i])
	}
	return list
}

func readReservation(p *plain, r *Reservation) {
	f := p.fields()
	if f.next("id") {
		r.ID = p.string()
	}
	if f.next("h") {
		r.Host = p.string()
	}
	if f.next("i") {
		r.Instance = p.string()
	}
	if f.next("m") {
		r.Migration = p.string()
	}
	if f.next("c") {
		r.Class = word(p, Critical, Standard, BestEffort)
	}
	if f.next("p") {
		r.Purpose = word(p, PurposeInstance, PurposeMigration, PurposeSystem, PurposeHold)
	}
	if f.next("e") {
		r.Envelope = readList(p, readSegment)
	}
	if f.next("fl") {
		readVector(p, &r.Floor)
	}
	if f.next("u") {
		r.Until = timeline.Time(p.int())
	}
	if f.next("f") {
		r.Forced = p.bool()
	}
	if f.next("rv") {
		r.Revision = p.uint(maxUint)
	}
	if f.next("at") {
		r.CreatedAt = timeline.Time(p.int())
	}
	if f.next("ca") {
		r.ChangedAt = timeline.Time(p.int())
	}
	if f.next("sq") {
		r.Squeezed = new(Squeeze)
		readSqueeze(p, r.Squeezed)
	}
	f.end()
}

func readSqueeze(p *plain, s *Squeeze) {
	f := p.fields()
	if f.next("f") {
		s.For = p.string()
	}
	if f.next("w") {
		s.Why = p.string()
	}
	if f.next("at") {
		s.At = timeline.Time(p.int())
	}
	f.end()
}

func readRevision(p *plain, r *Revision) {
	f := p.fields()
	if f.next("id") {
		r.ID = p.string()
	}
	if f.next("fr") {
		r.From = p.uint(maxUint)
	}
	if f.next("e") {
		r.Envelope = readList(p, readSegment)
	}
	if f.next("f") {
		readVector(p, &r.Floor)
	}
	if f.next("u") {
		r.Until = timeline.Time(p.int())
	}
	f.end()
}

func readSegment(p *plain, s *Segment) {
	f := p.fields()
	if f.next("s") {
		s.Start = timeline.Time(p.int())
	}
	if f.next("e") {
		s.End = timeline.Time(p.int())
	}
	if f.next("f") {
		readVector(p, &s.Firm)
	}
	if f.next("m") {
		readVector(p, &s.Mean)
	}
	if f.next("o") {
		readVector(p, &s.Own)
	}
	if f.next("c") {
		readVector(p, &s.Common)
	}
	f.end()
}

func readVector(p *plain, v *resource.Vector) {
	if p.list() != len(v) {
		p.bad = true
		return
	}
	for i := range v {
		v[i] = p.int()
	}
}
