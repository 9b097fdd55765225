package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tight is a small fleet for squeezing: amounts of a few units on five steps, so that everything can be tried.
type tight struct {
	twin
	l     *Ledger
	plain bool // nothing is pooled, and segments end where steps do
	stays map[string]bool
}

var tightKinds = [...]resource.Kind{resource.CPU, resource.Memory, resource.NetTx}

func drawTight(t *rapid.T) *tight {
	w := &tight{
		twin:  twin{z: rapid.SampledFrom([]int64{0, 1000, 2330}).Draw(t, "z"), now: 1_000_000 * second, caps: map[string]Capacity{}, held: map[string]proto.Reservation{}},
		plain: rapid.Bool().Draw(t, "plain"), stays: map[string]bool{},
	}
	l, err := New(Grid{10 * time.Second}, w.z, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.l = l
	for _, host := range hostNames[:2] {
		w.setHost(t, l, Capacity{Host: host, Ratio: resource.Uniform(1000), Allocatable: resource.Uniform(1 << 20)})
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "reservations") {
		r := w.draw(t, fmt.Sprintf("r%d", i))
		r.Forced = rapid.IntRange(0, 9).Draw(t, "forced") == 0
		r.Purpose = rapid.SampledFrom([]proto.Purpose{proto.PurposeInstance, proto.PurposeInstance, proto.PurposeHold, proto.PurposeMigration, proto.PurposeSystem}).Draw(t, "purpose")
		w.stays[r.ID] = rapid.IntRange(0, 9).Draw(t, "stays") == 0
		if err := l.Hold(r); err != nil {
			t.Fatal(err)
		}
		w.held[r.ID] = r
	}
	for _, host := range hostNames[:2] {
		c := Capacity{Host: host, Ratio: resource.Uniform(1000), Allocatable: resource.Uniform(resource.Unlimited)}
		for _, k := range tightKinds {
			c.Allocatable[k] = rapid.Int64Range(0, 30).Draw(t, "allocatable")
		}
		if rapid.Bool().Draw(t, "reduced") {
			c.Reduced = timeline.Flat(timeline.Span{Start: w.now + 20*second, End: w.now + 30*second}, resource.Uniform(5))
		}
		w.setHost(t, l, c)
	}
	return w
}

// draw draws a reservation on the first five steps, or from the first step on for good.
func (w *tight) draw(t *rapid.T, id string) proto.Reservation {
	r := proto.Reservation{
		ID: id, Host: rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(t, "host"), Purpose: proto.PurposeInstance,
		Class: rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort, proto.BestEffort}).Draw(t, "class"),
	}
	amount := func(most int64, name string) int64 { return rapid.Int64Range(0, most).Draw(t, name) }
	for _, k := range tightKinds {
		r.Floor[k] = amount(4, "floor")
	}
	at := w.now + 10*second*timeline.Time(rapid.IntRange(0, 2).Draw(t, "start"))
	for range rapid.IntRange(1, 3).Draw(t, "segments") {
		length := 10 * second * timeline.Time(rapid.IntRange(1, 2).Draw(t, "steps"))
		if !w.plain {
			length += second * timeline.Time(rapid.SampledFrom([]int{0, 0, -3, 4}).Draw(t, "off"))
		}
		s := proto.Segment{Span: timeline.Span{Start: at, End: at + length}}
		for _, k := range tightKinds {
			s.Firm[k] = amount(8, "firm")
			if !w.plain && r.Class != proto.Critical && k != resource.Memory {
				s.Mean[k], s.Own[k], s.Common[k] = amount(5, "mean"), amount(5, "own"), amount(3, "common")
			}
		}
		r.Envelope = append(r.Envelope, s)
		at = s.End
	}
	if rapid.Bool().Draw(t, "open") {
		r.Envelope[len(r.Envelope)-1].End = timeline.Forever
	}
	return r
}

// claim draws a change that may need room: something new, a rise, or both, and somebody who leaves.
func (w *tight) claim(t *rapid.T) Change {
	var c Change
	for i := range rapid.IntRange(0, 2).Draw(t, "new") {
		r := w.draw(t, fmt.Sprintf("n%d", i))
		r.Forced = rapid.IntRange(0, 9).Draw(t, "forced") == 0
		c.Hold = append(c.Hold, r)
	}
	if old, ok := w.held["r0"]; ok && rapid.Bool().Draw(t, "revise") {
		r := w.draw(t, "r0")
		r.Host, r.Forced = old.Host, rapid.IntRange(0, 9).Draw(t, "forced") == 0
		c.Revise = append(c.Revise, r)
	}
	if _, ok := w.held["r1"]; ok && rapid.IntRange(0, 4).Draw(t, "release") == 0 {
		c.Release = append(c.Release, "r1")
	}
	return c
}

// above lists the classes to which each class gives way.
var above = map[proto.Class][]proto.Class{
	proto.BestEffort: {proto.Standard, proto.Critical}, proto.Standard: {proto.Critical}, proto.Critical: nil,
}

// eligible returns those on a host that the twin would have give way to the change.
func (w *tight) eligible(c Change, by proto.Class, host string) []proto.Reservation {
	to := []proto.Class{by}
	for _, r := range c.Hold {
		if r.Host == host && !r.Forced {
			to = append(to, r.Class)
		}
	}
	for _, r := range c.Revise {
		old := w.held[r.ID]
		more := old.Forced
		for at := w.now - 100*second; at < w.now+100*second; at += second {
			for _, k := range tightKinds {
				a, b := amountAt(old, at, k), amountAt(r, at, k)
				more = more || b.sum() > a.sum() || b.own > a.own || b.common > a.common
			}
		}
		if r.Host == host && !r.Forced && more {
			to = append(to, r.Class)
		}
	}
	var out []proto.Reservation
	for _, r := range w.on(host) {
		ok := !r.Forced && !w.stays[r.ID] && (r.Purpose == proto.PurposeInstance || r.Purpose == proto.PurposeHold)
		ok = ok && !slices.Contains(c.Release, r.ID) && !slices.ContainsFunc(c.Revise, func(v proto.Reservation) bool { return v.ID == r.ID })
		for _, class := range to {
			ok = ok && slices.Contains(above[r.Class], class)
		}
		if ok {
			out = append(out, r)
		}
	}
	return out
}

func amountAt(r proto.Reservation, at timeline.Time, k resource.Kind) part {
	for _, s := range r.Envelope {
		if s.Start <= at && at < s.End {
			return part{s.Firm[k], s.Mean[k], s.Own[k], s.Common[k]}
		}
	}
	return part{}
}

// floored returns a reservation that has given all it can, everywhere.
func floored(r proto.Reservation) proto.Reservation {
	r.Envelope = slices.Clone(r.Envelope)
	for i := range r.Envelope {
		s := &r.Envelope[i]
		for k, floor := range r.Floor {
			all := min(s.Firm[k]+s.Mean[k], floor)
			s.Firm[k] = min(s.Firm[k], floor)
			s.Mean[k] = all - s.Firm[k]
		}
		s.Own, s.Common = resource.Vector{}, resource.Vector{}
	}
	return r
}

func with(c Change, yields []proto.Reservation) Change {
	return Change{Hold: c.Hold, Revise: slices.Concat(c.Revise, yields), Release: c.Release}
}

// TestSqueezeSuffices compares with a twin that has everybody give all: Squeeze finds room exactly where that does, else it answers the
// same shortfall. What gives way does so by the rules, which are named in what fails.
func TestSqueezeSuffices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTight(t)
		c := w.claim(t)
		by := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "by")
		before := snapshot(w.l)
		got, err := w.l.Squeeze(c, by, func(r proto.Reservation) bool { return !w.stays[r.ID] })
		unchanged(t, "Squeeze", before, w.l)

		var all []proto.Reservation
		for _, host := range hostNames[:2] {
			for _, r := range w.eligible(c, by, host) {
				all = append(all, floored(r))
			}
		}
		_, want := w.try(with(c, all))
		var left *proto.Shortfall
		if err != nil && !errors.As(err, &left) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, left); diff != "" {
			t.Fatalf("SqueezeSuffices: the twin, that takes all, is left with another shortfall (-twin +ledger):\n%s", diff)
		}
		if err != nil {
			if len(got.Revise) > 0 {
				t.Fatal("what is not enough was proposed")
			}
			return
		}
		if _, s := w.try(c); s == nil && len(got.Revise)+int(got.Harm) > 0 {
			t.Fatalf("NoHarmForNothing: %v for a change that fits", got.Says)
		}
		if err := w.l.CheckYields(c, got.Revise); err != nil {
			t.Fatalf("what Squeeze proposes, CheckYields refuses: %v", err)
		}
		w.byTheRules(t, c, by, got.Revise)
		if err := w.l.Clone().Apply(with(c, got.Revise)); err != nil {
			t.Fatalf("SqueezeSuffices: %v", err)
		}
	})
}

// byTheRules looks at every second whether those who give way may, and give what they may.
func (w *tight) byTheRules(t *rapid.T, c Change, by proto.Class, yields []proto.Reservation) {
	for _, y := range yields {
		was := w.held[y.ID]
		if was.Class == proto.Critical {
			t.Fatalf("CriticalNeverYields: %s does", y.ID)
		}
		if !slices.ContainsFunc(w.eligible(c, by, y.Host), func(r proto.Reservation) bool { return r.ID == y.ID }) {
			t.Fatalf("YieldsOnlyUpwards: %s, %s, yields", y.ID, y.Class)
		}
		if err := y.Envelope.Valid(y.Class); err != nil || y.Envelope.End() != was.Envelope.End() {
			t.Fatalf("%s ends at %s, not at %s: %v", y.ID, y.Envelope.End(), was.Envelope.End(), err)
		}
		for at := w.now - second; at < w.now+200*second; at += second {
			for _, k := range tightKinds {
				a, b := amountAt(was, at, k), amountAt(y, at, k)
				if floor := was.Floor[k]; b.firm < min(a.firm, floor) || b.firm+b.mean < min(a.firm+a.mean, floor) {
					t.Fatalf("NeverBelowFloor: %s keeps %+v of %+v %s at %s, its floor is %d", y.ID, b, a, k, at, floor)
				}
				if b.firm > a.firm || b.mean > a.mean || b.own > a.own || b.common > a.common {
					t.Fatalf("%s rises from %+v to %+v %s at %s", y.ID, a, b, k, at)
				}
			}
		}
	}
	for _, host := range hostNames[:2] {
		w.lowestFirst(t, c, by, host, yields)
	}
	for i, y := range yields {
		if _, s := w.try(with(c, slices.Delete(slices.Clone(yields), i, i+1))); s == nil && !w.beneath(y, yields) {
			t.Fatalf("NoHarmForNothing: it fits without %s, too", y.ID)
		}
	}
}

// lowestFirst checks LowestClassFirst: where standard yields, besteffort has nothing left that would make room. In steps with nothing
// pooled it checks that the harm is the least, too, by trying everything.
func (w *tight) lowestFirst(t *rapid.T, c Change, by proto.Class, host string, yields []proto.Reservation) {
	next, _ := w.try(with(c, yields))
	var after, floor []proto.Reservation
	eligible := w.eligible(c, by, host)
	for _, r := range (&twin{held: next}).on(host) {
		after = append(after, r)
		if r.Class == proto.BestEffort && slices.ContainsFunc(eligible, func(e proto.Reservation) bool { return e.ID == r.ID }) {
			r = floored(r)
		}
		floor = append(floor, r)
	}
	for _, s := range w.spans()[:12] {
		for _, k := range tightKinds {
			for _, y := range yields {
				if y.Host == host && y.Class == proto.Standard && yieldsIn(w.held[y.ID], y, s, k) && needed(floor, s, int(k), w.z) < needed(after, s, int(k), w.z) {
					t.Fatalf("LowestClassFirst: standard %s yields %s in %s, and besteffort has some", y.ID, k, s)
				}
			}
			if w.plain {
				w.leastHarm(t, host, s, k, eligible, yields)
			}
		}
	}
}

func yieldsIn(was, y proto.Reservation, s timeline.Span, k resource.Kind) bool {
	for at := s.Start; at < s.End; at += second {
		if amountAt(was, at, k) != amountAt(y, at, k) {
			return true
		}
	}
	return false
}

// beneath reports whether somebody of a higher class yields wherever y does: then y gave all it has before him.
func (w *tight) beneath(y proto.Reservation, yields []proto.Reservation) bool {
	for _, s := range w.spans()[:12] {
		for _, k := range tightKinds {
			if yieldsIn(w.held[y.ID], y, s, k) && !slices.ContainsFunc(yields, func(h proto.Reservation) bool {
				return h.Host == y.Host && slices.Contains(above[y.Class], h.Class) && yieldsIn(w.held[h.ID], h, s, k)
			}) {
				return false
			}
		}
	}
	return !w.plain // without pooled parts nobody gives a part of a unit
}

// leastHarm tries everything that those could give who may, besteffort before standard, and compares the least harm with that of the yields.
func (w *tight) leastHarm(t *rapid.T, host string, s timeline.Span, k resource.Kind, eligible, yields []proto.Reservation) {
	const parts = 840 // every amount up to 8 divides it
	harm, took := map[proto.Class]int64{}, map[proto.Class]int64{}
	for _, y := range yields {
		if a, b := amountAt(w.held[y.ID], s.Start, k).firm, amountAt(y, s.Start, k).firm; y.Host == host && a != b {
			harm[y.Class] += (a - b) * parts / a
			took[y.Class] += a - b
		}
	}
	for class, n := range took {
		var who []proto.Reservation
		for _, r := range eligible {
			if r.Class == class {
				who = append(who, r)
			}
		}
		least := int64(1 << 40)
		var try func(i int, left, sum int64)
		try = func(i int, left, sum int64) {
			if left == 0 {
				least = min(least, sum)
			}
			if i == len(who) {
				return
			}
			has := amountAt(who[i], s.Start, k).firm
			for give := range min(left, has-min(has, who[i].Floor[k])) + 1 {
				h := int64(0)
				if give > 0 {
					h = give * parts / has
				}
				try(i+1, left-give, sum+h)
			}
		}
		try(0, n, 0)
		if harm[class] != least {
			t.Fatalf("%s gives %d %s on %s in %s at a harm of %d, %d would do", class, n, k, host, s, harm[class], least)
		}
	}
}
