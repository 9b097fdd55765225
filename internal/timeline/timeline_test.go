package timeline

import (
	"errors"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func cpu(n int64) resource.Vector { return resource.Vector{resource.CPU: n} }

// profiles draws profiles of up to 20 steps with gaps, within [0, 1000).
func profiles() *rapid.Generator[Profile] {
	return rapid.Custom(func(t *rapid.T) Profile {
		var p Profile
		at := Time(0)
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			at += Time(rapid.SampledFrom([]int{0, 0, 0, 7}).Draw(t, "gap"))
			end := at + Time(rapid.IntRange(1, 40).Draw(t, "length"))
			v := resource.Vector{rapid.Int64Range(0, 5).Draw(t, "cpu"), rapid.Int64Range(0, 3).Draw(t, "memory")}
			p = append(p, Step{Span{at, end}, v})
			at = end
		}
		return p
	})
}

func TestCombineAgreesWithEveryInstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := profiles().Draw(t, "p"), profiles().Draw(t, "q")
		sum, largest := p.Add(q), p.Max(q)
		for name, r := range map[string]Profile{"sum": sum, "max": largest} {
			if err := r.Valid(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for at := Time(0); at < 1000; at++ {
			a, inA := p.At(at)
			b, inB := q.At(at)
			if got, in := sum.At(at); got != a.Add(b) || in != (inA || inB) {
				t.Fatalf("sum at %d: %v %v, want %v", at, got, in, a.Add(b))
			}
			if got, _ := largest.At(at); got != a.Max(b) {
				t.Fatalf("max at %d: %v, want %v", at, got, a.Max(b))
			}
		}
	})
}

// plainly merges as Cover does, and looks at every merge anew each time.
func plainly(p Profile, n int) Profile {
	out, peak := fillGaps(p).Join(), p.MaxOver(p.Span())
	for len(out) > n {
		best := 0
		for i := range len(out) - 1 {
			if mergeWaste(out[i], out[i+1], peak) < mergeWaste(out[best], out[best+1], peak) {
				best = i
			}
		}
		out[best] = Step{Span{out[best].Start, out[best+1].End}, out[best].Amount.Max(out[best+1].Amount)}
		out = append(out[:best+1], out[best+2:]...)
	}
	return out
}

func TestCoverMergesWhatWastesLeastEachTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, n := profiles().Draw(t, "p"), rapid.IntRange(1, 24).Draw(t, "n")
		if diff := cmp.Diff(plainly(p, n), p.Cover(n)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestCoverIsNeverBelowAndNeverLonger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := profiles().Draw(t, "p")
		n := rapid.IntRange(1, 24).Draw(t, "n")
		c := p.Cover(n)
		if len(c) > n {
			t.Fatalf("%d steps, want at most %d", len(c), n)
		}
		if err := c.Valid(); err != nil {
			t.Fatal(err)
		}
		if c.Span() != p.Span() {
			t.Fatalf("covers %v, want %v", c.Span(), p.Span())
		}
		for _, s := range p {
			for at := s.Start; at < s.End; at++ {
				if got, _ := c.At(at); !s.Amount.Fits(got) {
					t.Fatalf("at %d: %v is below %v", at, got, s.Amount)
				}
			}
		}
		if len(p.Join()) <= n && len(p) > 0 && len(fillGaps(p)) == len(p) {
			if diff := cmp.Diff(p.Join(), c); diff != "" {
				t.Fatalf("a profile that is short enough changed:\n%s", diff)
			}
		}
	})
}

func TestResampleHoldsTheLargestAmountOfEachStep(t *testing.T) {
	p := Profile{{Span{5, 12}, cpu(3)}, {Span{12, 25}, cpu(1)}}
	want := Profile{{Span{0, 10}, cpu(3)}, {Span{10, 20}, cpu(3)}, {Span{20, 30}, cpu(1)}}
	if diff := cmp.Diff(want, p.Resample(10*time.Millisecond)); diff != "" {
		t.Fatal(diff)
	}
}

func TestIntegrateCountsAmountTimesSeconds(t *testing.T) {
	p := Profile{{Span{0, 2000}, cpu(500)}, {Span{3000, 4000}, cpu(100)}}
	if got := p.Integrate(Span{1000, 3500})[resource.CPU]; got != 550 {
		t.Fatalf("%v, want 550", got)
	}
}

func TestValidNamesTheFault(t *testing.T) {
	for fault, p := range map[StepFault]Profile{
		FaultEmpty:    {{Span{0, 4}, cpu(1)}, {Span{5, 5}, cpu(1)}},
		FaultReversed: {{Span{0, 4}, cpu(1)}, {Span{5, 3}, cpu(1)}},
		FaultOverlap:  {{Span{0, 5}, cpu(1)}, {Span{4, 6}, cpu(1)}},
		FaultOrder:    {{Span{5, 9}, cpu(1)}, {Span{0, 5}, cpu(1)}},
		FaultAmount:   {{Span{-9, 5}, cpu(1)}, {Span{5, 6}, cpu(-1)}},
	} {
		var s *StepError
		if err := p.Valid(); !errors.As(err, &s) || s.Step != 1 || s.Fault != fault || s.Span != p[1].Span {
			t.Errorf("%s: %v", fault, err)
		}
	}
}

func TestTimesRoundToTheGridOnBothSidesOfTheEpoch(t *testing.T) {
	d := 10 * time.Millisecond
	for _, c := range []struct{ at, floor, ceil Time }{{0, 0, 0}, {1, 0, 10}, {10, 10, 10}, {-1, -10, 0}, {Forever, Forever - Forever%10, Forever}} {
		if f, u := c.at.Floor(d), c.at.Ceil(d); f != c.floor || u != c.ceil {
			t.Errorf("%d: floor %d ceil %d, want %d %d", c.at, f, u, c.floor, c.ceil)
		}
	}
	if Forever.Add(time.Hour) != Forever {
		t.Error("Forever moved")
	}
}
