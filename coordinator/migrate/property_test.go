package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/proto"
)

// TestAnythingMayHappen moves an instance while troubles of all kinds come one after the other, operations fail and take
// their time. Whatever happens one host runs the instance at any time, and in the end one serves and nothing is left.
func TestAnythingMayHappen(t *testing.T) {
	names := slices.Sorted(maps.Keys(troubles))
	kinds := append(slices.Clone(begun), proto.OpConfirm, proto.OpThaw, proto.OpRefuse, proto.OpCleanTarget, proto.OpRetire)
	codes := []string{proto.FaultFailed, proto.FaultRefused, proto.FaultUnhealthy, proto.FaultStalled}
	outcomes := map[proto.Outcome]int{}
	rapid.Check(t, func(rt *rapid.T) {
		blows := map[int]string{}
		for range rapid.SampledFrom([]int{1, 1, 2, 4}).Draw(rt, "troubles") {
			blows[rapid.IntRange(1, 90).Draw(rt, "boundary")] = rapid.SampledFrom(names).Draw(rt, "trouble")
		}
		faults, slow := map[proto.OperationKind]string{}, map[proto.OperationKind]time.Duration{}
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(rt, "faults") {
			faults[rapid.SampledFrom(kinds).Draw(rt, "faulty")] = rapid.SampledFrom(codes).Draw(rt, "code")
		}
		for range rapid.IntRange(0, 2).Draw(rt, "slow ones") {
			slow[rapid.SampledFrom(kinds).Draw(rt, "slow")] = time.Duration(rapid.IntRange(1, 20).Draw(rt, "seconds")) * time.Second
		}
		w := walk(t, func(f *fleet) {
			for at, name := range blows {
				f.hooks[at] = func() {
					f.mu.Lock()
					f.note("TROUBLE %s", name)
					f.mu.Unlock()
					troubles[name](f)
				}
			}
			for _, host := range []string{"a", "b"} {
				for kind, code := range faults {
					f.agents[host].fail(kind, code, 1)
				}
				maps.Copy(f.agents[host].slow, slow)
			}
		})
		outcomes[w.outcome]++
		if len(w.problems) > 0 {
			rt.Fatalf("%s\n%s", strings.Join(w.problems, "\n"), strings.Join(w.story, "\n"))
		}
	})
	if outcomes[proto.OutcomeAborted] == 0 || outcomes[proto.OutcomeCompleted] == 0 {
		t.Errorf("outcomes %v: too few kinds to have tested anything", outcomes)
	}
	t.Log(fmt.Sprint(outcomes))
}
