package ledger

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const now = 1_700_000_000_000

func newLedger(t testing.TB, hosts ...string) *Ledger {
	t.Helper()
	l, err := New(Grid{5 * time.Minute}, 2330, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range hosts {
		if err := l.SetHost(Capacity{Host: name, Allocatable: resource.Uniform(100), Ratio: resource.Uniform(1000)}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func hold(id, host string, n int64, from, to timeline.Time) proto.Reservation {
	return proto.Reservation{
		ID: id, Host: host, Class: proto.Standard, Purpose: proto.PurposeHold,
		Envelope: proto.Envelope{{Span: timeline.Span{Start: from, End: to}, Firm: resource.Uniform(n)}},
	}
}

func TestAHoldOverSeveralHostsIsAllOrNothing(t *testing.T) {
	l := newLedger(t, "a", "b")
	if err := l.Hold(hold("x", "b", 60, now, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	err := l.Hold(hold("y", "a", 60, now, timeline.Forever), hold("z", "b", 60, now+3_600_000, timeline.Forever))
	var s *proto.Shortfall
	if !errors.As(err, &s) {
		t.Fatalf("%v, want a shortfall", err)
	}
	start := timeline.Time(now + 3_600_000).Floor(5 * time.Minute)
	want := &proto.Shortfall{Host: "b", Span: timeline.Span{Start: start, End: start + 300_000}, Resource: resource.CPU, Missing: 20, Needed: 120, Limit: 100}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Fatal(diff)
	}
	if l.Len() != 1 || len(l.On("a")) != 0 {
		t.Fatal("a refused hold left something behind")
	}
}

func TestRefusalsNameTheirReason(t *testing.T) {
	l := newLedger(t, "a", "b")
	if err := l.Hold(hold("x", "a", 1, now, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	moved := hold("x", "b", 1, now, timeline.Forever)
	pooledMemory := hold("m", "a", 1, now, timeline.Forever)
	pooledMemory.Envelope[0].Mean[resource.Memory] = 1
	critical := hold("c", "a", 1, now, timeline.Forever)
	critical.Class, critical.Envelope[0].Own[resource.CPU] = proto.Critical, 1
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"unknown host":         {l.Hold(hold("y", "zz", 1, now, timeline.Forever)), ErrUnknownHost},
		"another with that ID": {l.Hold(hold("x", "a", 2, now, timeline.Forever)), ErrConflict},
		"unknown reservation":  {l.Release("nothing"), ErrUnknownReservation},
		"released twice":       {l.Release("x", "x"), ErrInvalid},
		"held twice":           {l.Hold(hold("y", "a", 1, now, now+1000), hold("y", "b", 1, now, now+1000)), ErrInvalid},
		"revised elsewhere":    {l.Revise(moved), ErrInvalid},
		"pooled memory":        {l.Hold(pooledMemory), ErrInvalid},
		"pooled critical":      {l.Hold(critical), ErrInvalid},
		"no envelope":          {l.Hold(proto.Reservation{ID: "e", Host: "a"}), ErrInvalid},
		"host in use":          {l.RemoveHost("a"), ErrInUse},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
}

func TestRollingPastTheWholeGridLosesNothing(t *testing.T) {
	l := newLedger(t, "a")
	far := timeline.Time(now + 30*24*3_600_000)
	if err := l.Hold(hold("x", "a", 70, far, far+3_600_000)); err != nil {
		t.Fatal(err)
	}
	for _, days := range []timeline.Time{1, 20, 29} {
		l.Roll(now + days*24*3_600_000)
		if err := l.Hold(hold("y", "a", 70, far, far+1000)); err == nil {
			t.Fatalf("after %d days the same capacity was promised twice", days)
		}
	}
	if err := l.Hold(hold("y", "a", 70, far+2*3_600_000, far+3*3_600_000)); err != nil {
		t.Fatalf("the tail is split into steps, yet %v", err)
	}
	l.Roll(now)
	if l.Start() != timeline.Time(now+29*24*3_600_000).Floor(5*time.Minute) {
		t.Fatal("the grid went back")
	}
}

func TestWhatAFactTakesIsShownAndOnlyMoreIsRefused(t *testing.T) {
	l := newLedger(t, "a")
	if err := l.Hold(hold("x", "a", 80, now, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	system := hold("@system@a", "a", 50, now, timeline.Forever)
	system.Forced = true
	if err := l.Hold(system); err != nil {
		t.Fatalf("a fact was refused: %v", err)
	}
	if s := l.Short("a"); s == nil || s.Missing != 30 {
		t.Fatalf("short by %v, want 30", s)
	}
	if err := l.Hold(hold("y", "a", 1, now, timeline.Forever)); err == nil {
		t.Fatal("a host that is short promised more")
	}
	if err := l.Revise(hold("x", "a", 70, now, timeline.Forever)); err != nil {
		t.Fatalf("giving back was refused: %v", err)
	}
	if err := l.Revise(hold("x", "a", 71, now, timeline.Forever)); err == nil {
		t.Fatal("a rise was admitted on a host that is short")
	}
	enforced := system
	enforced.Forced = false
	if err := l.Revise(enforced); err == nil {
		t.Fatal("what was never admitted became a promise without fitting")
	}
	if err := l.Revise(hold("x", "a", 50, now, timeline.Forever)); err != nil || l.Short("a") != nil {
		t.Fatalf("%v, still short by %v", err, l.Short("a"))
	}
}

func TestDebtAndReducedCapacityCountAgainstTheHost(t *testing.T) {
	l := newLedger(t)
	span := timeline.Span{Start: now + 3_600_000, End: now + 7_200_000}
	err := l.SetHost(Capacity{
		Host: "a", Allocatable: resource.Uniform(100), Ratio: resource.Vector{2000, 1000, 1000, 1000, 1000, 1000, 1000, 1000},
		Debt: 30, Reduced: timeline.Flat(span, resource.Vector{resource.CPU: 60}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at     timeline.Time
		amount resource.Vector
		fits   bool
	}{
		{now, resource.Vector{resource.CPU: 200}, true},
		{now, resource.Vector{resource.CPU: 201}, false},
		{now, resource.Vector{resource.Memory: 70}, true},
		{now, resource.Vector{resource.Memory: 71}, false},
		{span.Start, resource.Vector{resource.CPU: 80}, true},
		{span.Start, resource.Vector{resource.CPU: 81}, false},
	} {
		r := hold("x", "a", 0, c.at, c.at+1000)
		r.Envelope[0].Firm = c.amount
		if err := l.Fits(Change{Hold: []proto.Reservation{r}}); (err == nil) != c.fits {
			t.Errorf("%s at %s: %v", c.amount, c.at, err)
		}
	}
}

func TestPooledDemandNeedsLessThanItsPeaksTogether(t *testing.T) {
	l := newLedger(t, "a")
	admitted := 0
	for ; ; admitted++ {
		r := hold(string(rune('a'+admitted)), "a", 0, now, timeline.Forever)
		r.Envelope[0].Mean[resource.CPU], r.Envelope[0].Own[resource.CPU] = 5, 3 // peak 5 + 2.33 × 3 ≈ 12
		if l.Hold(r) != nil {
			break
		}
	}
	// 15·5 + 2.33·√(15·9) = 102.1 is too much, 14·5 + 2.33·√(14·9) = 96.2 is not; by peaks there would be room for 8.
	if admitted != 14 {
		t.Fatalf("%d admitted, want 14", admitted)
	}
}

func TestAReservationIsAloneOnSourceAndTarget(t *testing.T) {
	l := newLedger(t, "a", "b")
	source, target := hold("i@a", "a", 50, now, timeline.Forever), hold("i@b", "b", 50, now, timeline.Forever)
	source.Instance, target.Instance = "i", "i"
	if err := l.Hold(source, target); err != nil {
		t.Fatal(err)
	}
	if err := l.Release("i@a"); err != nil {
		t.Fatal(err)
	}
	if len(l.On("a")) != 0 || len(l.On("b")) != 1 {
		t.Fatal("releasing the source touched the target")
	}
}

func TestClonesShareNothingThatChanges(t *testing.T) {
	l := newLedger(t, "a", "b")
	r := hold("x", "a", 10, now, timeline.Forever)
	if err := l.Hold(r); err != nil {
		t.Fatal(err)
	}
	c := l.Clone()
	before := snapshot(c)
	if err := l.Hold(hold("y", "b", 10, now, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	if err := l.Revise(hold("x", "a", 20, now, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	l.Roll(now + 7_200_000)
	if diff := cmp.Diff(before, snapshot(c)); diff != "" {
		t.Fatal(diff)
	}
	if n := c.On("a")[0].Envelope[0].Firm[resource.CPU]; n != 10 {
		t.Fatalf("holds %d, want 10", n)
	}
}

func TestExtendMovesTheEndOnly(t *testing.T) {
	l := newLedger(t, "a")
	r := hold("x", "a", 10, now, timeline.Forever)
	r.Until = now + 1000
	if err := l.Hold(r); err != nil {
		t.Fatal(err)
	}
	if err := l.Extend("x", now+5000); err != nil {
		t.Fatal(err)
	}
	none := func(proto.Reservation) bool { return false }
	if gone := l.Expire(now+4999, none); len(gone) != 0 {
		t.Fatal("it lapsed before its end")
	}
	if gone := l.Expire(now+5000, none); len(gone) != 1 || l.Len() != 0 {
		t.Fatal("it did not lapse at its end")
	}
}

func TestRootsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := wide{rapid.Uint64Range(0, 1<<62-1).Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		if rapid.Bool().Draw(t, "near a square") {
			a = square(rapid.Uint64Range(0, 1<<63-1).Draw(t, "root"))
			if d := rapid.IntRange(-1, 1).Draw(t, "off"); d > 0 {
				a = a.add(wide{0, 1})
			} else if d < 0 && a != (wide{}) {
				a = a.sub(wide{0, 1})
			}
		}
		n := new(big.Int).Add(new(big.Int).Lsh(new(big.Int).SetUint64(a.hi), 64), new(big.Int).SetUint64(a.lo))
		want := new(big.Int).Sqrt(n)
		if new(big.Int).Mul(want, want).Cmp(n) < 0 {
			want.Add(want, big.NewInt(1))
		}
		if got := a.sqrtUp(); got != want.Uint64() {
			t.Fatalf("⌈√%s⌉ = %d, want %s", n, got, want)
		}
	})
}

func TestMarginsNeverOverflow(t *testing.T) {
	if m := margin(MaxZ, wide{1 << 61, math.MaxUint64}, 1<<61); m != maxMargin {
		t.Fatalf("%d, want %d", m, int64(maxMargin))
	}
	if m := margin(2330, wide{}, 0); m != 0 {
		t.Fatalf("%d, want 0", m)
	}
}

func TestAtMostIsWhatTheMarginSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Custom(func(t *rapid.T) int64 {
			return rapid.Int64Range(0, 1<<rapid.IntRange(0, 49).Draw(t, "bits")).Draw(t, "amount")
		})
		z, own, common := rapid.Int64Range(0, MaxZ).Draw(t, "z"), uint64(amount.Draw(t, "own")), uint64(amount.Draw(t, "common"))
		sum, v := amount.Draw(t, "sum"), square(own)
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			v = v.add(square(uint64(amount.Draw(t, "own"))))
		}
		need := sum + margin(z, v, common)
		for _, limit := range []int64{need - 1, need, need + 1, amount.Draw(t, "limit"), -1} {
			if limit = min(limit, resource.Unlimited-1); atMost(limit, sum, z, v, common) != (need <= limit) {
				t.Fatalf("%d + %d of a limit of %d", sum, need-sum, limit)
			}
		}
	})
}

func TestTheGridCoversAllTimeOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Grid{time.Duration(rapid.SampledFrom([]int{1, 10, 300, 3600}).Draw(t, "step")) * time.Second}
		l := g.at(timeline.Time(rapid.Int64Range(0, 1<<42).Draw(t, "now")))
		at := l.start()
		for i := l.first; i < numSteps; i++ {
			s := l.span(i)
			if s.Start != at || s.Empty() {
				t.Fatalf("step %d is %s after %s", i, s, at)
			}
			if l.index(s.Start) != i || l.index(s.End-1) != i {
				t.Fatalf("the ends of step %d lie in %d and %d", i, l.index(s.Start), l.index(s.End-1))
			}
			at = s.End
		}
		if at != timeline.Forever {
			t.Fatalf("ends at %s", at)
		}
	})
}

func TestHostsAndReservationsComeSorted(t *testing.T) {
	l := newLedger(t, "b", "c", "a")
	for _, id := range []string{"z", "m", "a"} {
		if err := l.Hold(hold(id, "b", 1, now, timeline.Forever)); err != nil {
			t.Fatal(err)
		}
	}
	if got := slices.Collect(l.Hosts()); !slices.IsSorted(got) {
		t.Fatal(got)
	}
	for i, r := range l.On("b") {
		if want := []string{"a", "m", "z"}[i]; r.ID != want {
			t.Fatalf("%s, want %s", r.ID, want)
		}
	}
}
