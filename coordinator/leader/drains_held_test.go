package leader

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/proto"
)

func TestAHostThatRunsWhatIsHeldIsNotEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i")
		h, _ := w.view().Host("host-a")
		report := &proto.HostRegister{Facts: h.Facts, Incarnation: 1, Conflicts: []proto.Conflict{{Instance: "x", What: "host-a holds it as owner", Holds: true, There: true}}}
		w.must(report)
		w.drain(proto.DrainGoesOn, 0)
		w.lead(2 * probation)
		w.want(proto.DrainGoesOn, 1, proto.PlanDone)
		if n, _ := w.view().Notice(proto.NoticeID(proto.NoticeBlocked, "host-a")); n.ClearedAt != 0 || !strings.Contains(n.Says, "x runs there by its agent") {
			t.Errorf("it is told %q, cleared at %s", n.Says, n.ClearedAt)
		}
		report.Conflicts = nil
		w.must(report)
		w.lead(time.Minute)
		if got := w.state(); got != proto.DrainDone {
			t.Errorf("once it is gone the host is %s", got)
		}
	})
}
