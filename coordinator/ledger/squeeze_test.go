package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
)

func anybody(proto.Reservation) bool { return true }

// classed returns a reservation of a class that holds n from now on.
func classed(id, host string, class proto.Class, n, floor int64) proto.Reservation {
	r := hold(id, host, n, now, timeline.Forever)
	r.Class, r.Floor = class, resource.Uniform(floor)
	return r
}

func TestSqueezeTakesFromTheLowestClassDownToFloorsOnly(t *testing.T) {
	l := newLedger(t, "a")
	err := l.Hold(classed("crit", "a", proto.Critical, 30, 0), classed("best", "a", proto.BestEffort, 30, 10), classed("std", "a", proto.Standard, 40, 15))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		by    proto.Class
		n     int64
		keeps map[string]int64 // nil where it is not enough
	}{
		{proto.Critical, 5, map[string]int64{"best": 25}},
		{proto.Critical, 20, map[string]int64{"best": 10}},
		{proto.Critical, 30, map[string]int64{"best": 10, "std": 30}},
		{proto.Critical, 45, map[string]int64{"best": 10, "std": 15}},
		{proto.Critical, 46, nil},
		{proto.Standard, 20, map[string]int64{"best": 10}},
		{proto.Standard, 21, nil},
		{proto.BestEffort, 1, nil},
	} {
		change := Change{Hold: []proto.Reservation{classed("new", "a", c.by, c.n, 0)}}
		got, err := l.Squeeze(change, c.by, anybody)
		if c.keeps == nil {
			var s *proto.Shortfall
			if !errors.As(err, &s) {
				t.Errorf("%s %d: %v, want the shortfall that is left", c.by, c.n, err)
			}
			continue
		}
		keeps := map[string]int64{}
		for _, y := range got.Revise {
			keeps[y.ID] = y.Envelope[0].Firm[resource.CPU]
		}
		if diff := cmp.Diff(c.keeps, keeps); diff != "" || err != nil {
			t.Errorf("%s %d: %v\n%s", c.by, c.n, err, diff)
		}
		if err := l.Fits(with(change, got.Revise)); err != nil {
			t.Errorf("%s %d: what was proposed does not fit: %v", c.by, c.n, err)
		}
	}
}

func TestSqueezeTakesOnlyWhereItIsShort(t *testing.T) {
	l := newLedger(t, "a")
	if err := l.Hold(classed("best", "a", proto.BestEffort, 80, 10)); err != nil {
		t.Fatal(err)
	}
	start := timeline.Time(now).Floor(l.grid.Step) + 3_600_000
	change := Change{Hold: []proto.Reservation{hold("new", "a", 50, start+1000, start+301_000)}}
	got, err := l.Squeeze(change, proto.Standard, anybody)
	if err != nil {
		t.Fatal(err)
	}
	segment := func(from, to timeline.Time, n int64) proto.Segment {
		return proto.Segment{Span: timeline.Span{Start: from, End: to}, Firm: resource.Uniform(n)}
	}
	want := proto.Envelope{segment(now, start, 80), segment(start, start+600_000, 50), segment(start+600_000, timeline.Forever, 80)}
	if diff := cmp.Diff(want, got.Revise[0].Envelope); diff != "" {
		t.Fatal(diff)
	}
	// Three eighths of each of eight resources, for ten minutes.
	if want := int64(600_000 * 3 / 8 * 8); got.Harm != want {
		t.Errorf("harm %d, want %d", got.Harm, want)
	}
	if say := "reservation best (besteffort) gives way by up to 30m of cpu in " + want[1].Span.String() + "; its floor is 10m"; got.Says[0] != say {
		t.Errorf("says %q, want %q", got.Says[0], say)
	}
}

func TestSqueezeTakesThePooledPartBeforeTheFirmOne(t *testing.T) {
	l := newLedger(t, "a")
	r := classed("best", "a", proto.BestEffort, 40, 10)
	r.Envelope[0].Mean[resource.CPU], r.Envelope[0].Own[resource.CPU] = 20, 10
	if err := l.Hold(r); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int64]part{
		30:  {firm: 40, mean: 13, own: 6},  // 40 + 13 + ⌈2.33 × 6⌉ are 67
		60:  {firm: 40, mean: 0, own: 0},   // all of the pooled part
		75:  {firm: 25, mean: 0, own: 0},   // and some of the firm one
		90:  {firm: 10, mean: 0, own: 0},   // down to the floor
		100: {firm: -1, mean: -1, own: -1}, // not enough
	} {
		claim := hold("new", "a", 0, now, timeline.Forever)
		claim.Envelope[0].Firm[resource.CPU] = n
		got, err := l.Squeeze(Change{Hold: []proto.Reservation{claim}}, proto.Standard, anybody)
		if want.firm < 0 {
			if err == nil {
				t.Errorf("%d: room was found", n)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d: %v", n, err)
		} else if p := partOf(&got.Revise[0].Envelope[0], int(resource.CPU)); p != want {
			t.Errorf("%d: keeps %+v, want %+v", n, p, want)
		}
	}
}

// A claim of 40 spikes would cut a flat envelope into 81 segments.
func TestWhatGivesWayHasNoMoreSegmentsThanItMay(t *testing.T) {
	l := newLedger(t, "a")
	start := timeline.Time(now).Floor(l.grid.Step)
	best := classed("best", "a", proto.BestEffort, 50, 10)
	best.Envelope[0].End = start + 3*3_600_000
	rest := best.Envelope[0]
	rest.Span, rest.Firm = timeline.Span{Start: best.Envelope[0].End, End: timeline.Forever}, resource.Uniform(5)
	best.Envelope = append(best.Envelope, rest) // below its floor
	if err := l.Hold(best); err != nil {
		t.Fatal(err)
	}
	var c Change
	for i := range timeline.Time(34) {
		from := start + 600_000*i
		c.Hold = append(c.Hold, hold(fmt.Sprintf("new-%02d", i), "a", 60+int64(i)%20, from, from+300_000))
	}
	got, err := l.Squeeze(c, proto.Standard, anybody)
	if err != nil {
		t.Fatal(err)
	}
	y := got.Revise[0]
	if len(y.Envelope) > proto.MaxSegments || len(y.Envelope) < proto.MaxSegments-1 {
		t.Errorf("%d segments, want %d or one less", len(y.Envelope), proto.MaxSegments)
	}
	if err := l.CheckYields(c, got.Revise); err != nil {
		t.Error(err)
	}
	if n := y.Envelope[len(y.Envelope)-1].Firm[resource.CPU]; n != 5 {
		t.Errorf("%d is kept where nothing is claimed, want 5", n)
	}
}

func TestOnWhatIsNotToGiveWayNobodyCounts(t *testing.T) {
	was := classed("best", "a", proto.BestEffort, 50, 20)
	was.Instance, was.Purpose = "batch", proto.PurposeInstance
	l := newLedger(t, "a", "b")
	if err := l.Hold(was); err != nil {
		t.Fatal(err)
	}
	claim := Change{Hold: []proto.Reservation{classed("new", "a", proto.Standard, 60, 0)}}
	yield := func(f func(*proto.Reservation)) proto.Reservation {
		y := was
		y.Envelope = slices.Clone(was.Envelope)
		y.Envelope[0].Firm = resource.Uniform(40)
		f(&y)
		return y
	}
	cpu := func(n int64) func(*proto.Reservation) {
		return func(y *proto.Reservation) { y.Envelope[0].Firm[resource.CPU] = n }
	}
	for name, c := range map[string]struct {
		change Change
		yield  proto.Reservation
		why    string // "" where it is right
	}{
		"as it should":      {claim, yield(func(*proto.Reservation) {}), ""},
		"to its floor":      {claim, yield(cpu(20)), ""},
		"below its floor":   {claim, yield(cpu(19)), "below its floor"},
		"a rise":            {claim, yield(cpu(51)), "would rise"},
		"another floor":     {claim, yield(func(y *proto.Reservation) { y.Floor = resource.Vector{} }), "more than its envelope"},
		"another end":       {claim, yield(func(y *proto.Reservation) { y.Envelope[0].End = now + 1000 }), "end at another time"},
		"unknown":           {claim, yield(func(y *proto.Reservation) { y.ID = "who" }), "no such reservation"},
		"to nobody":         {Change{}, yield(func(*proto.Reservation) {}), "nobody claims more"},
		"to somebody there": {Change{Hold: []proto.Reservation{classed("new", "b", proto.Standard, 60, 0)}}, yield(func(*proto.Reservation) {}), "nobody claims more"},
		"to its own class":  {Change{Hold: []proto.Reservation{classed("new", "a", proto.BestEffort, 60, 0)}}, yield(func(*proto.Reservation) {}), "not above it"},
		"to the lower of two": {
			Change{Hold: []proto.Reservation{claim.Hold[0], classed("low", "a", proto.BestEffort, 1, 0)}}, yield(func(*proto.Reservation) {}), "not above it",
		},
	} {
		err := l.CheckYields(c.change, []proto.Reservation{c.yield})
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
	for name, r := range map[string]proto.Reservation{
		"critical": classed("x", "a", proto.Critical, 1, 0), "a fact": {Class: proto.BestEffort, Purpose: proto.PurposeInstance, Forced: true},
		"the system": {Class: proto.Standard, Purpose: proto.PurposeSystem}, "of a migration": {Class: proto.BestEffort, Purpose: proto.PurposeMigration},
	} {
		if err := MayYield(r, proto.Critical); !errors.Is(err, ErrYield) {
			t.Errorf("%s: %v, want that it does not give way", name, err)
		}
	}
}

func BenchmarkSqueeze(b *testing.B) {
	l := newLedger(b)
	if err := l.SetHost(Capacity{Host: "a", Allocatable: resource.Uniform(1 << 40), Ratio: resource.Uniform(1000)}); err != nil {
		b.Fatal(err)
	}
	for i := range 50 {
		r := typical(i, fmt.Sprintf("r%02d", i), "a")
		r.Class = []proto.Class{proto.BestEffort, proto.Standard}[i%2]
		if err := l.Hold(r); err != nil {
			b.Fatal(err)
		}
	}
	needs := l.Steps("a")[0].Needed
	if err := l.SetHost(Capacity{Host: "a", Allocatable: needs, Ratio: resource.Uniform(1000)}); err != nil {
		b.Fatal(err)
	}
	claim := typical(51, "new", "a")
	claim.Class = proto.Critical
	for i := range claim.Envelope {
		s := &claim.Envelope[i]
		s.Firm, s.Mean, s.Own, s.Common = resource.Uniform(20_000), resource.Vector{}, resource.Vector{}, resource.Vector{}
	}
	for b.Loop() {
		if _, err := l.Squeeze(Change{Hold: []proto.Reservation{claim}}, proto.Critical, anybody); err != nil {
			b.Fatal(err)
		}
	}
}

// TestManyYieldsAreCheckedInTimeThatGrowsWithThem holds that who claims on a host is not looked for again for each that yields there.
func TestManyYieldsAreCheckedInTimeThatGrowsWithThem(t *testing.T) {
	allocs := func(n int) float64 {
		l := newLedger(t, "a")
		var c Change
		var yields []proto.Reservation
		for i := range n {
			low, high := classed(fmt.Sprint("low", i), "a", proto.BestEffort, 1, 0), classed(fmt.Sprint("high", i), "a", proto.Standard, 1, 0)
			if err := l.Hold(low, high); err != nil {
				t.Fatal(err)
			}
			high.Envelope, low.Envelope = classed("", "a", "", 2, 0).Envelope, classed("", "a", "", 0, 0).Envelope
			c.Revise, yields = append(c.Revise, high), append(yields, low)
		}
		if err := l.CheckYields(c, yields); err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(5, func() { _ = l.CheckYields(c, yields) })
	}
	if few, many := allocs(8), allocs(32); many > 6*few {
		t.Errorf("%v allocations for 8 yields, %v for 32", few, many)
	}
}
