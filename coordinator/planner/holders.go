package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// mostHolders is how many holders a refusal names.
const mostHolders = 3

// heldBy says who holds what a host is short of, those with the most first: whoever is refused looks there for what can be moved, or learns that it
// is the system's own use. It is empty where nobody holds any.
func heldBy(l *ledger.Ledger, s *proto.Shortfall) string {
	held := map[string]int64{}
	for _, r := range l.On(s.Host) {
		if n := r.Envelope.Expected().MaxOver(s.Span)[s.Resource]; n > 0 {
			who := r.Instance
			if who == "" { // a hold, or what a transfer takes
				who = "reservation " + r.ID
			}
			held[who] += n
		}
	}
	if len(held) == 0 {
		return ""
	}
	names := slices.SortedFunc(maps.Keys(held), func(a, b string) int { return cmp.Or(cmp.Compare(held[b], held[a]), cmp.Compare(a, b)) })
	parts := make([]string, 0, mostHolders+1)
	for _, name := range names[:min(mostHolders, len(names))] {
		who := name
		if name == proto.SystemInstance {
			who = "the host's own system"
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", who, resource.Format(s.Resource, held[name])))
	}
	if more := len(names) - mostHolders; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return "; it is held by " + strings.Join(parts, ", ")
}
