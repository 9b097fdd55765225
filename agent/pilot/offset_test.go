package pilot

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"pgregory.net/rapid"
)

func TestOffsetIsWrongByNoMoreThanItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ahead := timeline.Time(rapid.Int64Range(-60_000, 60_000).Draw(t, "ahead"))
		var o Offset
		for at := timeline.Time(1_700_000_000_000); rapid.Bool().Draw(t, "more"); at += 60_000 {
			there := timeline.Time(rapid.Int64Range(0, 5000).Draw(t, "there"))
			back := timeline.Time(rapid.Int64Range(0, 5000).Draw(t, "back"))
			o = o.Observe(at, at+there+ahead, at+there+back)
		}
		got, wrongBy := o.Estimate()
		if o == (Offset{}) {
			if got != 0 || !o.Trusted() || o.Correct(7) != 7 {
				t.Fatal("an offset without exchanges corrects")
			}
			return
		}
		if off := got - ahead.Sub(0); max(off, -off) > wrongBy {
			t.Fatalf("%s ahead, estimated %s, said to be wrong by at most %s", ahead.Sub(0), got, wrongBy)
		}
	})
}

func TestShortestRoundTripCountsUntilItIsOld(t *testing.T) {
	o := Offset{}.Observe(0, 1005, 10).Observe(1000, 7000, 9000)
	if got, _ := o.Estimate(); got != time.Second {
		t.Fatalf("%s ahead, want 1s, from the quick exchange", got)
	}
	const day = 86_400_000
	o = o.Observe(day, day+1500, day+1000)
	if got, _ := o.Estimate(); got != time.Second { // 500 ms are less than the 8.6 s that a day may have brought, and it is 1 s, too
		t.Fatalf("%s ahead, want 1s", got)
	}
	o = o.Observe(day, day+1500+2000, day+1000)
	o = o.Observe(day+1000, day+1000+2005, day+1010)
	if got, wrongBy := o.Estimate(); got != 2*time.Second || wrongBy != 6*time.Millisecond {
		t.Fatalf("%s ahead, wrong by %s, want 2s and 6ms: clocks drift", got, wrongBy)
	}
}

func TestClocksTooFarApartAreNotCorrectedAndNotTrusted(t *testing.T) {
	near := Offset{}.Observe(0, 30_000, 0)
	if !near.Trusted() || near.Correct(5) != 30_005 {
		t.Errorf("30 s: trusted %v, 5 becomes %d", near.Trusted(), near.Correct(5))
	}
	for _, ahead := range []timeline.Time{30_001, -30_001, -3_600_000} {
		if o := (Offset{}).Observe(0, ahead, 0); o.Trusted() || o.Correct(5) != 5 {
			t.Errorf("%s: trusted, or 5 becomes %d", ahead.Sub(0), o.Correct(5))
		}
	}
	if o := (Offset{}).Observe(10, 99, 9); o != (Offset{}) {
		t.Error("an answer from before the question was taken")
	}
}
