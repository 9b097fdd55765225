package migrate

import (
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
		t.Log(kinds, Report(m), f.count)
		f.report(t, "move")
	})
}
