package migrate

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// The leader is restarted again and again while one migration goes on, as often as coordinators are in a rolling restart.
func TestAMigrationIsCompletedThroughARollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.elect()
		f.adopt()
		f.move("m", "b", "large")
		for range 3 {
			time.Sleep(3 * time.Second)
			if m := f.migration("m"); !m.Active() {
				t.Errorf("it ended before the restarts did: %s", m.Outcome)
			}
			f.depose(false)
		}
		if f.ended("m", 5*time.Minute) {
			if m := f.migration("m"); m.Outcome != proto.OutcomeCompleted {
				t.Errorf("it was %s: %s", m.Outcome, m.Reason)
			}
		}
		f.settled()
		f.report(t, "rolling restart")
	})
}
