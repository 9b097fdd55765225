package proto

import (
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

func TestWhatIsInTheWayIsSaidWithTheResourceAndHowSureThatIs(t *testing.T) {
	many := strings.Split("a b c d e f g h i j", " ")
	for name, c := range map[string]struct {
		blocked Blocked
		want    []string
	}{
		"one": {Blocked{Instances: []string{"i"}, Proof: BlockedSmallest}, []string{"instance i finds no other place (no smaller set"}},
		"short": {
			Blocked{Instances: []string{"i", "j"}, Proof: BlockedMinimal, Host: "host-c", Resource: resource.CPU, Missing: 300, Span: timeline.Span{Start: 0, End: 300_000}},
			[]string{"instances i, j find no other place", "host-c comes closest, and lacks 300m of cpu in", "each of them is in the way"},
		},
		"many": {Blocked{Instances: many, Proof: BlockedNotFound}, []string{"a, b, c, d, e, f, g, h and 2 more find", "not proven"}},
	} {
		for _, want := range c.want {
			if got := c.blocked.Words(); !strings.Contains(got, want) {
				t.Errorf("%s: %q does not say %q", name, got, want)
			}
		}
	}
}
