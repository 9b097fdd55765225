package migrate

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/proto"
)

func TestAMigrationFromStartToCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.elect()
		f.adopt()
		f.move("m", "b", "large")
		f.ended("m", time.Minute)
		f.settled()
		m := f.migration("m")
		if m.Outcome != proto.OutcomeCompleted {
			t.Errorf("outcome %q", m.Outcome)
		}
		var kinds []proto.OperationKind
		for _, o := range m.Operations {
			kinds = append(kinds, o.Kind)
			if o.Result == nil || o.Result.Error != nil || o.EndedAt == 0 {
				t.Errorf("%s has result %+v", o.ID, o.Result)
			}
		}
		want := []proto.OperationKind{
			proto.OpVerifySource, proto.OpVerifyTarget, proto.OpPrepareTarget, proto.OpSyncRound, proto.OpSyncRound,
			proto.OpFreeze, proto.OpFinalSync, proto.OpStart, proto.OpConfirm, proto.OpRetire,
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("operations %v", kinds)
		}
		if f.repeats > 0 {
			t.Errorf("%d results were asked for again", f.repeats)
		}
		if i, _ := f.view().Instance("i"); i.Owner != "b" || i.Spec.Type != "large" || i.Migration != "" {
			t.Errorf("%s on %s, moved by %q", i.Spec.Type, i.Owner, i.Migration)
		}
		f.report(t, "move")
	})
}
