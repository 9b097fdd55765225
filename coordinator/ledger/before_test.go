package ledger

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// TestMemoryYieldsBeforeItIsClaimed holds that Before is what a dumb look at every grid step says: the memory that is claimed until then fits beside all that is held, with
// nobody yielding; and that what is put off is never claimed before.
func TestMemoryYieldsBeforeItIsClaimed(t *testing.T) {
	refused, passed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		const step = 5 * time.Minute
		first := timeline.Time(now).Floor(step)
		l, err := New(Grid{step}, 2330, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.SetHost(Capacity{Host: "a", Allocatable: resource.Uniform(100), Ratio: resource.Uniform(1000)}); err != nil {
			t.Fatal(err)
		}
		at := func(name string) timeline.Time {
			return first.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, name)) * 30 * time.Second)
		}
		// Small numbers are drawn most: much is claimed soon, and it is looked far ahead.
		memory := func(id string, class proto.Class, most int64) proto.Reservation {
			r := classed(id, "a", class, 0, 0)
			start, cut := at("start"), at("cut")
			r.Envelope = nil
			for _, s := range []timeline.Span{{Start: start, End: cut}, {Start: max(start, cut), End: timeline.Forever}} {
				if !s.Empty() {
					r.Envelope = append(r.Envelope, proto.Segment{Span: s, Firm: resource.Vector{resource.Memory: most * (10 - rapid.Int64Range(0, 10).Draw(t, "tenths left out")) / 10}})
				}
			}
			return r
		}
		var held []proto.Reservation
		for i := range 3 - rapid.IntRange(0, 3).Draw(t, "fewer held") {
			held = append(held, memory(fmt.Sprint("low", i), proto.BestEffort, 33))
		}
		if err := l.Hold(held...); err != nil {
			t.Fatal(err)
		}
		claims := []proto.Reservation{memory("claim", proto.Critical, 130), memory("other", proto.Standard, rapid.SampledFrom([]int64{0, 20, 50}).Draw(t, "most"))}
		until := first.Add(20*time.Minute - at("before").Sub(first))
		fits := true
		for step0 := first; step0 < until; step0 = step0.Add(step) {
			grid := timeline.Span{Start: step0, End: step0.Add(step)}
			needed := int64(0)
			for _, r := range held {
				needed += r.Envelope.Firm().MaxOver(grid)[resource.Memory]
			}
			for _, r := range claims {
				needed += r.Envelope.Firm().MaxOver(grid.Intersect(timeline.Span{Start: first, End: until}))[resource.Memory]
			}
			fits = fits && needed <= 100
		}
		c := Change{Hold: claims}
		if err := l.Before(c, until); (err == nil) != fits {
			t.Fatalf("before %s: %v, and a look at every step says %v", until, err, fits)
		}
		if fits {
			passed++
		} else {
			refused++
		}
		for i := range c.Hold {
			was := c.Hold[i].Envelope
			c.Hold[i].Envelope = PutOff(was, until)
			for _, s := range was {
				for _, at := range []timeline.Time{s.Start, until - 1, until, s.End - 1} {
					want := was.At(at)
					if at < until {
						want.Firm[resource.Memory] = 0
					}
					if got := c.Hold[i].Envelope.At(at).Firm; got != want.Firm {
						t.Fatalf("put off until %s, %v of it at %s, and %v before", until, got, at, want.Firm)
					}
				}
			}
		}
		if err := l.Before(c, until); err != nil {
			t.Fatalf("put off until %s, and it does not fit before: %v", until, err)
		}
	})
	if refused == 0 || passed == 0 {
		t.Errorf("%d fit before and %d do not: nothing was tried", passed, refused)
	}
}

// What a revision had it goes on having: only what is more is claimed.
func TestARevisionClaimsOnlyWhatIsMore(t *testing.T) {
	l := newLedger(t, "a")
	std := classed("std", "a", proto.Standard, 40, 0)
	if err := l.Hold(std, classed("best", "a", proto.BestEffort, 50, 0)); err != nil {
		t.Fatal(err)
	}
	for n, ok := range map[int64]bool{40: true, 50: true, 51: false} {
		std.Envelope = classed("std", "a", proto.Standard, n, 0).Envelope
		if err := l.Before(Change{Revise: []proto.Reservation{std}}, now+30_000); (err == nil) != ok {
			t.Errorf("%d: %v", n, err)
		}
	}
	std.Envelope = classed("std", "a", proto.Standard, 90, 0).Envelope
	if err := l.Before(Change{Revise: []proto.Reservation{std}, Release: []string{"best"}}, now+30_000); err != nil {
		t.Errorf("what is released is not there any more: %v", err)
	}
}
