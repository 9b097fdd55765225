package ledger

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Verdict is what would come of a change, in numbers and in words.
type Verdict struct {
	Fits  bool
	Short *proto.Shortfall // that Apply would answer; nil where it fits
	Hosts []HostVerdict    // that the change touches, sorted by name
	Says  []string         // what is done, and how every host takes it
}

// HostVerdict is what would come of a change on one host.
type HostVerdict struct {
	Host    string
	Short   *proto.Shortfall // what it is refused for here; nil where it fits
	Already *proto.Shortfall // what facts have taken of what was promised, before the change; nil where all is well

	// The scarcest resource with the change done, of those that have a limit, in the steps that differ, and its fullest one of
	// them. The limit is 0 where nothing has one or differs.
	Kind        resource.Kind
	Span        timeline.Span
	Free, Limit int64 // in the resource's unit; less than nothing is free where it does not fit
}

// Explain says what Apply would do with the change, on every host and not only on the first that refuses. It changes
// nothing. The error is for what is refused whatever there is room for: what is invalid, unknown or in conflict.
func (l *Ledger) Explain(c Change) (Verdict, error) {
	t := trial{ledger: l}
	if err := t.do(c); err != nil {
		return Verdict{}, err
	}
	v := Verdict{Fits: true, Says: t.says(c)}
	for _, e := range t.edits {
		h := l.verdict(&e)
		if h.Short != nil && v.Fits {
			v.Fits, v.Short = false, h.Short
		}
		v.Hosts = append(v.Hosts, h)
		v.Says = append(v.Says, h.says()...)
	}
	if err := t.admit(); (err == nil) != v.Fits {
		panic(fmt.Sprintf("ledger: Explain finds %v, admission %v", v.Short, err)) // they ask the same of the same hosts
	}
	return v, nil
}

func (l *Ledger) verdict(e *edit) HostVerdict {
	v := HostVerdict{Host: e.name, Short: e.next.worse(l.layout, l.z, e.base, e.from, e.to)}
	if old, ok := l.host(e.name); ok {
		v.Already = old.short
	}
	least := int64(0)
	for i := max(e.from, l.layout.first); i < e.to; i++ {
		for k := range resource.Kinds {
			limit := e.next.limit(k, i)
			if limit <= 0 || limit >= resource.Unlimited {
				continue
			}
			free := limit - e.next.needed(l.z, k, i)
			if share := share(free, limit); v.Limit == 0 || share < least {
				least = share
				v.Kind, v.Span, v.Free, v.Limit = resource.Kind(k), l.layout.span(i), free, limit
			}
		}
	}
	return v
}

// share returns free ÷ limit in millionths, bounded where nothing is left for long.
func share(free, limit int64) int64 {
	const million, most = 1_000_000, resource.Unlimited
	return max(free, -most)/limit*million + max(free, -most)%limit*1000/limit*1000
}

func (v *HostVerdict) says() []string {
	var out []string
	switch {
	case v.Short != nil:
		out = append(out, v.Short.Error())
	case v.Limit == 0:
		out = append(out, v.Host+" has room: no resource that the change concerns has a limit there")
	case v.Free < 0:
		out = append(out, fmt.Sprintf("%s takes it: it adds nothing to what the host is short of, and what is a fact is taken as it is", v.Host))
	default:
		out = append(out, fmt.Sprintf("%s has room: at the fullest, in %s, %s of %s %s are left", v.Host, v.Span,
			resource.Format(v.Kind, v.Free), resource.Format(v.Kind, v.Limit), v.Kind))
	}
	if v.Already != nil {
		out = append(out, fmt.Sprintf("%s had promised more than it may before: %s", v.Host, v.Already.Error()))
	}
	return out
}

// says tells what the trial does, in the order in which it is done.
func (t *trial) says(c Change) []string {
	var out []string
	for _, r := range t.drop {
		out = append(out, fmt.Sprintf("%s ends on %s and gives back %s", r.ID, r.Host, held(r)))
	}
	for i := range c.Revise {
		r := &c.Revise[i]
		old, _ := t.ledger.get(r.ID)
		out = append(out, fmt.Sprintf("%s changes on %s from %s to %s", r.ID, r.Host, held(old), held(r)))
	}
	for i := range c.Hold {
		r := &c.Hold[i]
		switch old, there := t.ledger.get(r.ID); {
		case there && !slices.Contains(t.drop, old):
			out = append(out, fmt.Sprintf("%s is held on %s already, just so: nothing changes", r.ID, r.Host))
		case r.Forced:
			out = append(out, fmt.Sprintf("%s is a fact on %s, taken whatever fits: %s", r.ID, r.Host, held(r)))
		default:
			out = append(out, fmt.Sprintf("%s holds %s on %s", r.ID, held(r), r.Host))
		}
	}
	return out
}

// held says what a reservation holds at the most, and when.
func held(r *proto.Reservation) string {
	span := timeline.Span{Start: r.Envelope.Start(), End: r.Envelope.End()}
	words := fmt.Sprintf("up to %s in %s", r.Envelope.Expected().MaxOver(span), span)
	if slices.ContainsFunc(r.Envelope, proto.Segment.Pooled) {
		words += ", with a margin for what is pooled"
	}
	if r.Until != 0 {
		words += fmt.Sprintf(" (it lapses at %s)", r.Until)
	}
	return words
}

// Lapse says why a reservation that Expire returned was released.
func Lapse(r proto.Reservation) string {
	if r.Until != 0 && r.Until <= r.Envelope.End() {
		return fmt.Sprintf("reservation %s on %s lapsed at %s", r.ID, r.Host, r.Until)
	}
	return fmt.Sprintf("reservation %s on %s came to the end of its envelope at %s", r.ID, r.Host, r.Envelope.End())
}

// Extended returns the reservation with its end at until; 0 lets it last as long as its envelope. An envelope that ends before is
// drawn out: what it holds at last goes on, and has to be admitted. One that reaches as far stays as it is: it was counted to its
// own end from the start.
func Extended(r proto.Reservation, until timeline.Time) (proto.Reservation, error) {
	if until < 0 || until > timeline.Forever {
		return r, fmt.Errorf("reservation %s: %w: it can't end at %d", r.ID, ErrInvalid, until)
	}
	if r.Until != 0 || until < r.Envelope.End() {
		r.Until = until
	}
	if n := len(r.Envelope); n > 0 && r.Envelope.End() < until {
		r.Envelope = slices.Clone(r.Envelope)
		r.Envelope[n-1].End = until
	}
	if until >= timeline.Forever {
		r.Until = 0
	}
	return r, nil
}
