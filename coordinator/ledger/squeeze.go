package ledger

import (
	"cmp"
	"errors"
	"slices"

	"github.com/glidepath/glidepath/proto"
)

// Squeeze proposes which reservations give way so that the change fits: what to put into its Revise, sorted by ID. It
// changes nothing. Besteffort yields before standard, critical never; within a class who has most to give yields first;
// nobody falls below his floor, and what is a fact stays. Only reservations that may allows are touched. Where all of
// that is not enough it answers the shortfall that is left.
func (l *Ledger) Squeeze(c Change, may func(proto.Reservation) bool) ([]proto.Reservation, error) {
	taken := map[string]bool{}
	for _, id := range c.Release {
		taken[id] = true
	}
	for _, r := range c.Revise {
		taken[r.ID] = true
	}
	var yields []proto.Reservation
	for {
		err := l.Fits(Change{Hold: c.Hold, Revise: slices.Concat(c.Revise, yields), Release: c.Release})
		if err == nil {
			slices.SortFunc(yields, func(a, b proto.Reservation) int { return cmp.Compare(a.ID, b.ID) })
			return yields, nil
		}
		var s *proto.Shortfall
		if !errors.As(err, &s) {
			return nil, err
		}
		best, give := proto.Reservation{}, int64(0)
		for _, r := range l.On(s.Host) {
			if i := slices.IndexFunc(yields, func(y proto.Reservation) bool { return y.ID == r.ID }); i >= 0 {
				r = yields[i]
			} else if taken[r.ID] || r.Class == proto.Critical || r.Purpose == proto.PurposeSystem || r.Forced || !may(r) {
				continue
			}
			if g := slack(r, s); g > 0 && (give == 0 || before(r, g, best, give)) {
				best, give = r, g
			}
		}
		if give == 0 {
			return nil, err
		}
		yields = slices.DeleteFunc(yields, func(y proto.Reservation) bool { return y.ID == best.ID })
		yields = append(yields, squeezed(best, s))
	}
}

// before reports whether r, that has g to give, yields before q, that has h.
func before(r proto.Reservation, g int64, q proto.Reservation, h int64) bool {
	if (r.Class == proto.BestEffort) != (q.Class == proto.BestEffort) {
		return r.Class == proto.BestEffort
	}
	return g > h
}

// slack returns the most that r has above its floor where it is short.
func slack(r proto.Reservation, s *proto.Shortfall) int64 {
	most := int64(0)
	for _, seg := range r.Envelope {
		if seg.Overlaps(s.Span) {
			k := s.Resource
			most = max(most, seg.Firm[k]-min(seg.Firm[k], r.Floor[k])+seg.Mean[k]+seg.Own[k]+seg.Common[k])
		}
	}
	return most
}

// squeezed returns r with what is missing taken from it, the pooled part first, in every segment that is short.
func squeezed(r proto.Reservation, s *proto.Shortfall) proto.Reservation {
	k := s.Resource
	r.Envelope = slices.Clone(r.Envelope)
	for i := range r.Envelope {
		seg := &r.Envelope[i]
		if !seg.Overlaps(s.Span) {
			continue
		}
		if seg.Mean[k] != 0 || seg.Own[k] != 0 || seg.Common[k] != 0 {
			seg.Mean[k], seg.Own[k], seg.Common[k] = 0, 0, 0
			continue
		}
		seg.Firm[k] = max(min(seg.Firm[k], r.Floor[k]), seg.Firm[k]-s.Missing)
	}
	return r
}
