package limit

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func TestWhatIsSetIsNeverAboveTheEnvelopeOrUselesslySmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := resource.Kind(rapid.IntRange(0, resource.Kinds-1).Draw(t, "kind"))
		amount := rapid.Int64Range(0, resource.Unlimited).Draw(t, "amount")
		envelope := rapid.Int64Range(0, resource.Unlimited).Draw(t, "envelope")
		got := Settable(k, amount, envelope)
		if got > max(envelope, least[k]) || got < least[k] {
			t.Fatalf("%s: %d of an envelope of %d", k, got, envelope)
		}
		if amount <= envelope && amount >= least[k] && got != amount {
			t.Fatalf("%s: %d became %d", k, amount, got)
		}
	})
}

func TestHigherClassesYieldToLowerOnesNever(t *testing.T) {
	classes := []proto.Class{proto.Critical, proto.Standard, proto.BestEffort}
	for i := range classes[1:] {
		if CPUWeight(classes[i]) <= CPUWeight(classes[i+1]) || ProtectedShare(classes[i]) <= ProtectedShare(classes[i+1]) {
			t.Errorf("%s is not above %s", classes[i], classes[i+1])
		}
	}
}

func TestMemoryMarginGrowsWithinItsBounds(t *testing.T) {
	for high, want := range map[int64]int64{0: 16 << 20, 100 << 20: 16 << 20, 256 << 20: 32 << 20, 64 << 30: 256 << 20} {
		if got := MemoryMargin(high); got != want {
			t.Errorf("%d: %d, want %d", high, got, want)
		}
	}
}
