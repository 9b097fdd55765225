package ledger

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// extend moves the end of a reservation, drawn out where its envelope does not reach as far.
func (w *twin) extend(t *rapid.T, l *Ledger) {
	ids := slices.Sorted(maps.Keys(w.held))
	if len(ids) == 0 {
		return
	}
	r := w.held[rapid.SampledFrom(ids).Draw(t, "id")]
	until := rapid.SampledFrom([]timeline.Time{0, w.now + 5*second, w.now + 700*second, w.now + 9000*second, timeline.Forever}).Draw(t, "until")
	last := len(r.Envelope) - 1
	end := r.Envelope[last].End
	switch {
	case until == timeline.Forever:
		r.Until = 0
	case r.Until != 0 || until < end:
		r.Until = until
	}
	if end < until {
		r.Envelope = slices.Clone(r.Envelope)
		r.Envelope[last].End = until
	}
	next, want := w.try(Change{Revise: []proto.Reservation{r}})
	before := snapshot(l)
	err := l.Extend(r.ID, until)
	var got *proto.Shortfall
	if err != nil && !errors.As(err, &got) {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("the twin decides otherwise about %s until %s (-twin +ledger):\n%s", r.ID, until, diff)
	}
	if err != nil {
		unchanged(t, "a refused extension", before, l)
		if until <= end {
			t.Fatalf("%s, which is counted to %s, may not last until %s: %v", r.ID, end, until, err)
		}
		return
	}
	w.held = next
}

// squeeze makes room for a change. What would give way is asked for twice, and then does.
func (w *twin) squeeze(t *rapid.T, l *Ledger) {
	c := w.changes(t)
	by := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "by")
	may := func(r proto.Reservation) bool { return r.ID != "r7" }
	before := snapshot(l)
	got, err := l.Squeeze(c, by, may)
	again, other := l.Squeeze(c, by, may)
	if diff := gocmp.Diff(got, again); diff != "" || (err == nil) != (other == nil) {
		t.Fatalf("asked twice it answers otherwise, %v and %v:\n%s", err, other, diff)
	}
	unchanged(t, "Squeeze", before, l)
	_, alone := w.try(c)
	if err != nil {
		var short *proto.Shortfall
		if !errors.As(err, &short) || alone == nil || len(got.Revise) > 0 {
			t.Fatalf("%v for a change that has the shortfall %v by itself, with %d that give way", err, alone, len(got.Revise))
		}
		return
	}
	if alone == nil && len(got.Revise) > 0 {
		t.Fatalf("NoHarmForNothing: %q for a change that fits", got.Says)
	}
	w.giveWay(t, l, c, got.Revise)
}

// giveWay does a change with those that give way to it, of whom each keeps what it must.
func (w *twin) giveWay(t *rapid.T, l *Ledger, c Change, yields []proto.Reservation) {
	if err := l.CheckYields(c, yields); err != nil {
		t.Fatal(err)
	}
	w.kept(t, yields)
	all := Change{Hold: c.Hold, Revise: slices.Concat(c.Revise, yields), Release: c.Release}
	next, short := w.try(all)
	if err := l.Apply(all); err != nil || short != nil {
		t.Fatalf("SqueezeSuffices: %v, the twin says %v", err, short)
	}
	w.held = next
}

// kept checks what holds of all that gives way, for whomever: nobody critical, no fact, nothing below its floor, nothing that rises.
func (w *twin) kept(t *rapid.T, yields []proto.Reservation) {
	for _, y := range yields {
		was := w.held[y.ID]
		if was.Class == proto.Critical || was.Forced || y.ID == "r7" {
			t.Fatalf("%s gives way: class %s, forced %v", y.ID, was.Class, was.Forced)
		}
		if y.Envelope.End() != was.Envelope.End() {
			t.Fatalf("%s ends at %s, not at %s", y.ID, y.Envelope.End(), was.Envelope.End())
		}
		var times []timeline.Time
		for _, g := range slices.Concat(was.Envelope, y.Envelope) {
			times = append(times, g.Start, g.End-1)
		}
		for _, at := range times {
			for _, k := range tightKinds {
				a, b := amountAt(was, at, k), amountAt(y, at, k)
				if floor := was.Floor[k]; b.firm < min(a.firm, floor) || b.sum() < min(a.sum(), floor) {
					t.Fatalf("NeverBelowFloor: %s keeps %+v of %+v %s at %s, its floor is %d", y.ID, b, a, k, at, floor)
				}
				if b.firm > a.firm || b.mean > a.mean || b.own > a.own || b.common > a.common {
					t.Fatalf("%s rises from %+v to %+v %s at %s", y.ID, a, b, k, at)
				}
			}
		}
	}
}

// remedies ends the shortages of a host, if facts made some, as the ledger proposes.
func (w *twin) remedies(t *rapid.T, l *Ledger) {
	host := rapid.SampledFrom(hostNames).Draw(t, "host")
	before := snapshot(l)
	m := l.Remedies(host, func(r proto.Reservation) bool { return r.ID != "r7" })
	unchanged(t, "Remedies", before, l)
	if proposed := len(m.Says) > 0; proposed != (w.short(host, nil, w.on(host)) != nil) {
		t.Fatalf("proposed for %s: %q, short: %v", host, m.Says, l.Short(host))
	}
	if len(m.Says) == 0 || !rapid.Bool().Draw(t, "do it") {
		return
	}
	w.kept(t, m.Yield.Revise)
	c := Change{Revise: m.Yield.Revise}
	for _, r := range m.Move {
		c.Release = append(c.Release, r.ID)
	}
	next, short := w.try(c)
	if err := l.Apply(c); err != nil || short != nil {
		t.Fatalf("what would end shortages is refused: %v, the twin says %v", err, short)
	}
	w.held = next
	slices.SortFunc(m.Left, func(a, b proto.Shortfall) int { return cmp.Compare(a.Span.Start, b.Span.Start) })
	if left := w.short(host, nil, w.on(host)); (left == nil) != (len(m.Left) == 0) || left != nil && left.Span.Start != m.Left[0].Span.Start {
		t.Fatalf("%v is left on %s, %v was said to be", left, host, m.Left)
	}
}
