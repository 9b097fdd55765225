package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// FuzzLedger drives a ledger and its twin, as TestNoOversell does, with what the fuzzer makes up.
func FuzzLedger(f *testing.F) {
	for seed := range byte(4) {
		b := make([]byte, 64<<10)
		_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
		f.Add(b)
	}
	f.Fuzz(rapid.MakeFuzz(noOversell))
}

// drawn returns a ledger with random hosts and whatever of some random reservations it takes, beside its twin.
func drawn(t *rapid.T) (*Ledger, *twin) {
	w := &twin{
		z: rapid.Int64Range(0, 4000).Draw(t, "z"), now: 1_000_000*second + second*timeline.Time(rapid.IntRange(0, 70).Draw(t, "now")),
		caps: map[string]Capacity{}, held: map[string]proto.Reservation{},
	}
	l, err := New(Grid{10 * time.Second}, w.z, w.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range hostNames {
		w.setHost(t, l, capacities(name).Draw(t, name))
	}
	for _, r := range rapid.SliceOfN(lapsing(w.now), 0, 12).Draw(t, "reservations") {
		if _, there := w.held[r.ID]; !there && l.Hold(r) == nil {
			w.held[r.ID] = r
		}
	}
	return l, w
}

// lapsing are reservations of which some lapse before their envelope ends, or after.
func lapsing(now timeline.Time) *rapid.Generator[proto.Reservation] {
	return rapid.Custom(func(t *rapid.T) proto.Reservation {
		r := reservations(now).Draw(t, "reservation")
		if rapid.Bool().Draw(t, "lapses") {
			r.Until = now + second*timeline.Time(rapid.IntRange(1, 9000).Draw(t, "until"))
		}
		return r
	})
}

// TestReservationsEnd: Expire releases what has come to its end and is not kept, and nothing else; what it leaves has an end that
// is still to come, or is kept, or is open; and when everything has ended that can, that is all there is.
func TestReservationsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, w := drawn(t)
		kept := map[string]bool{}
		for id := range w.held {
			if rapid.IntRange(0, 4).Draw(t, "keep "+id) == 0 {
				kept[id] = true
			}
		}
		keep := func(r proto.Reservation) bool { return kept[r.ID] }
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			w.now += second * timeline.Time(rapid.IntRange(0, 5000).Draw(t, "by"))
			l.Roll(w.now)
			gone := l.Expire(w.now, keep)
			if !slices.IsSortedFunc(gone, func(a, b proto.Reservation) int { return cmp.Compare(a.ID, b.ID) }) {
				t.Fatalf("not sorted: %v", gone)
			}
			for _, r := range gone {
				if r.End() > w.now || kept[r.ID] || !reflect.DeepEqual(w.held[r.ID], r) {
					t.Fatalf("%s was released: it ends at %s, now is %s, kept %v", r.ID, r.End(), w.now, kept[r.ID])
				}
				delete(w.held, r.ID)
			}
			for r := range l.Reservations() {
				if r.End() <= w.now && !kept[r.ID] {
					t.Fatalf("%s is there at %s and ended at %s", r.ID, w.now, r.End())
				}
			}
			if again := l.Expire(w.now, keep); len(again) > 0 {
				t.Fatalf("released twice: %v", again)
			}
			w.compare(t, l)
		}
		gone := l.Expire(timeline.Forever-1, func(proto.Reservation) bool { return false })
		if l.Len()+len(gone) != len(w.held) {
			t.Fatalf("%d of %d gone, %d left", len(gone), len(w.held), l.Len())
		}
		for r := range l.Reservations() {
			if !r.Envelope.Open() || r.Until != 0 {
				t.Fatalf("%s outlived its end: %s", r.ID, r.End())
			}
		}
	})
}

// TestIdempotence: what is done twice is as if it were done once, and what is refused as if it had never been asked for. What is
// released is not there any more: to release it once more is refused, and changes nothing. Who gave way to a change does not give way
// to it again.
func TestIdempotence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, w := drawn(t)
		twice := func(what string, do func() error) {
			before := snapshot(l)
			if err := do(); err != nil {
				unchanged(t, what+", refused,", before, l)
				if again := do(); again == nil || again.Error() != err.Error() {
					t.Fatalf("%s is refused by %q and then by %v", what, err, again)
				}
				return
			}
			once := snapshot(l)
			if err := do(); err != nil {
				t.Fatalf("%s, done, is refused when it is repeated: %v", what, err)
			}
			unchanged(t, what+", repeated,", once, l)
		}
		var hold []proto.Reservation
		for _, r := range rapid.SliceOfN(lapsing(w.now), 1, 3).Draw(t, "held") {
			if !slices.ContainsFunc(hold, func(h proto.Reservation) bool { return h.ID == r.ID }) {
				hold = append(hold, r)
			}
		}
		twice("a hold", func() error { return l.Hold(hold...) })
		if ids := slices.Sorted(maps.Keys(w.held)); len(ids) > 0 {
			r := lapsing(w.now).Draw(t, "revised")
			r.ID = rapid.SampledFrom(ids).Draw(t, "id")
			r.Host, r.Forced = w.held[r.ID].Host, w.held[r.ID].Forced
			twice("a revision", func() error { return l.Revise(r) })
			until := w.now + second*timeline.Time(rapid.IntRange(0, 9000).Draw(t, "extended"))
			twice("an extension", func() error { return l.Extend(r.ID, until) })
		}
		claim := Change{}
		for i, r := range rapid.SliceOfN(lapsing(w.now), 1, 3).Draw(t, "claimed") {
			r.ID = fmt.Sprint("claim", i)
			claim.Hold = append(claim.Hold, r)
		}
		if y := squeezedTwice(t, l, claim); y != nil {
			twice("a change that others give way to", func() error { return l.Apply(with(claim, y)) })
			if again := squeezedTwice(t, l, claim); len(again) > 0 {
				t.Fatalf("what was made room for is made room for again, by %v", again)
			}
		}
		var there []string
		for r := range l.Reservations() {
			there = append(there, r.ID)
		}
		if len(there) > 0 {
			id := rapid.SampledFrom(there).Draw(t, "released")
			twice("a release with what is not there", func() error { return l.Release(id, "none") })
			if err := l.Release(id); err != nil {
				t.Fatal(err)
			}
			if _, left := l.Reservation(id); left {
				t.Fatalf("%s is released, and there", id)
			}
			twice("a release that was done", func() error {
				err := l.Release(id)
				if !errors.Is(err, ErrUnknownReservation) {
					t.Fatalf("%s is released twice: %v", id, err)
				}
				return err
			})
		}
		later := w.now + second*timeline.Time(rapid.IntRange(0, 5000).Draw(t, "later"))
		twice("rolling", func() error { l.Roll(later); return nil })
		twice("expiry", func() error { l.Expire(later, func(proto.Reservation) bool { return false }); return nil })
		c := capacities("a").Draw(t, "capacity")
		twice("a capacity", func() error { return l.SetHost(c) })
		z := rapid.Int64Range(0, 4000).Draw(t, "another z")
		twice("z", func() error { return l.SetZ(z) })
	})
}

// squeezedTwice returns who gives way to a change, asked twice, which changes nothing; nil where there is no room even so.
func squeezedTwice(t *rapid.T, l *Ledger, c Change) []proto.Reservation {
	before := snapshot(l)
	got, err := l.Squeeze(c, proto.Critical, anybody)
	again, other := l.Squeeze(c, proto.Critical, anybody)
	if diff := gocmp.Diff(got, again); diff != "" || (err == nil) != (other == nil) {
		t.Fatalf("asked twice it answers otherwise, %v and %v:\n%s", err, other, diff)
	}
	unchanged(t, "Squeeze", before, l)
	if err != nil {
		return nil
	}
	return slices.Concat([]proto.Reservation{}, got.Revise)
}

// TestRollPromisesNothingNew: no step of the later grid needs more than the one that it was a part of, or less than is held at any
// instant of it; what fitted before fits; nothing that is reserved is lost; and rolling in many steps is rolling in one.
func TestRollPromisesNothingNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, w := drawn(t)
		at := l.Clone()
		var times []timeline.Time
		for range rapid.IntRange(1, 6).Draw(t, "rolls") {
			w.now += second * timeline.Time(rapid.SampledFrom([]int{1, 9, 10, 30, 55, 600, 3000, 9000}).Draw(t, "by"))
			times = append(times, w.now)
		}
		probe := reservations(w.now).Draw(t, "probe")
		probe.ID, probe.Forced = "probe", false
		for i := range probe.Envelope { // not before the later time: that would be asked for in vain
			probe.Envelope[i].Start = max(probe.Envelope[i].Start, w.now)
		}
		probe.Envelope = slices.DeleteFunc(probe.Envelope, func(s proto.Segment) bool { return s.Empty() })
		for _, now := range times {
			at.Roll(now)
		}
		once := l.Clone()
		once.Roll(w.now)
		if diff := gocmp.Diff(snapshot(once), snapshot(at)); diff != "" {
			t.Fatalf("rolling in one step and in %d:\n%s", len(times), diff)
		}
		if diff := gocmp.Diff(slices.Collect(l.Reservations()), slices.Collect(at.Reservations())); diff != "" {
			t.Fatalf("reservations were lost, or made:\n%s", diff)
		}
		for _, host := range hostNames {
			before, after := l.Steps(host), at.Steps(host)
			for _, s := range after {
				i := slices.IndexFunc(before, func(b Step) bool { return b.Contains(s.Start) })
				if b := before[i]; s.End > b.End || !s.Needed.Fits(b.Needed) || !b.Limit.Fits(s.Limit) {
					t.Fatalf("%s at %s: %s of %s, but %s: %s of %s", host, s.Span, s.Needed, s.Limit, b.Span, b.Needed, b.Limit)
				}
				for _, instant := range []timeline.Time{s.Start, min(s.Start+7*second, s.End-1), s.End - 1} {
					for k := range resource.Kinds {
						if n := needed(w.on(host), timeline.Span{Start: instant, End: instant + 1}, k, w.z); n > s.Needed[k] {
							t.Fatalf("%s needs %d of %s at %s, the step holds %d", host, n, resource.Kind(k), instant, s.Needed[k])
						}
					}
				}
			}
			if l.Short(host) == nil && at.Short(host) != nil {
				t.Fatalf("%s became short: %v", host, at.Short(host))
			}
			if len(probe.Envelope) == 0 || l.Short(host) != nil {
				continue
			}
			probe.Host = host
			c := Change{Hold: []proto.Reservation{probe}}
			if err := at.Fits(c); l.Fits(c) == nil && err != nil {
				t.Fatalf("it fitted on %s before: %v", host, err)
			}
		}
	})
}

// TestSquaresOfAnySizeAreExact: deviations as large as amounts may be, whose squares do not fit 64 bits, count to the last unit,
// come out again with their reservations, and move with the grid.
func TestSquaresOfAnySizeAreExact(t *testing.T) {
	sizes := rapid.SampledFrom([]int64{0, 1, 3_000_000_000, 1 << 40, resource.Unlimited})
	rapid.Check(t, func(t *rapid.T) {
		w := &twin{z: rapid.Int64Range(0, 4000).Draw(t, "z"), now: 1_000_000 * second, held: map[string]proto.Reservation{}}
		l, err := New(Grid{10 * time.Second}, w.z, w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.caps = map[string]Capacity{}
		w.setHost(t, l, Capacity{Host: "a", Allocatable: resource.Uniform(resource.Unlimited), Ratio: resource.Uniform(1000)})
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) {
				r := reservations(w.now).Draw(t, "reservation")
				r.Host, r.Class, r.Forced = "a", proto.Standard, false
				for i := range r.Envelope {
					r.Envelope[i].Own[resource.NetTx], r.Envelope[i].Common[resource.NetTx] = sizes.Draw(t, "own"), sizes.Draw(t, "common")
				}
				if _, there := w.held[r.ID]; there {
					return
				}
				if err := l.Hold(r); err != nil {
					t.Fatal(err) // nothing there has a limit
				}
				w.held[r.ID] = r
			},
			"release": func(t *rapid.T) {
				if ids := slices.Sorted(maps.Keys(w.held)); len(ids) > 0 {
					id := rapid.SampledFrom(ids).Draw(t, "id")
					if err := l.Release(id); err != nil {
						t.Fatal(err)
					}
					delete(w.held, id)
				}
			},
			"roll": func(t *rapid.T) {
				w.now += second * timeline.Time(rapid.SampledFrom([]int{10, 60, 3000}).Draw(t, "by"))
				l.Roll(w.now)
			},
			"clone": func(*rapid.T) { l = l.Clone() },
			"": func(t *rapid.T) {
				for _, s := range l.Steps("a") {
					if want := needed(w.on("a"), s.Span, int(resource.NetTx), w.z); s.Needed[resource.NetTx] != want {
						t.Fatalf("needs %d at %s, want %d", s.Needed[resource.NetTx], s.Span, want)
					}
				}
			},
		})
	})
}
