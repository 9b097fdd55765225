package migrate

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

func TestAdoptionTakesOverWhatItFound(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		i, _ := f.view().Instance("i")
		if i.State != proto.InstanceRunning || !slices.Equal(i.Companions, []string{"i.socket"}) || i.Fault != nil {
			t.Errorf("%+v", i)
		}
		f.settled()
	})
}

// refusedAdoption has a fleet whose host a does not allow the instance.
func refusedAdoption(t *testing.T, tell func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.elect()
		f.agents["a"].fail(proto.OpAdopt, proto.FaultNotAllowed, 100)
		f.must(&proto.InstanceApply{Spec: spec(), Envelope: open(40)})
		f.await("the fault is shown", time.Minute, func(v *state.View) bool {
			i, _ := v.Instance("i")
			return i.Fault != nil && i.Fault.Code == proto.FaultNotAllowed && i.State == proto.InstanceAdopting
		})
		tell(t, f)
		f.report(t, t.Name())
	})
}

// allow puts right what was in the way.
func (f *fleet) allow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.agents["a"].faults)
}

func (f *fleet) adopted(within time.Duration) {
	f.await("adopted", within, func(v *state.View) bool {
		i, _ := v.Instance("i")
		return i.State == proto.InstanceRunning && i.Fault == nil
	})
}

func TestARefusedAdoptionIsTriedAgainAtOnceWhenTheSpecChanges(t *testing.T) {
	refusedAdoption(t, func(_ *testing.T, f *fleet) {
		f.allow()
		s := spec()
		s.Health.TCP = 6379
		f.must(&proto.InstanceApply{Spec: s})
		f.adopted(2 * time.Second)
	})
}

func TestARefusedAdoptionIsTriedAgainAfterAWhileWithoutFillingTheLog(t *testing.T) {
	refusedAdoption(t, func(t *testing.T, f *fleet) {
		f.await("it settles", time.Minute, func(*state.View) bool { return true })
		before := f.view().Applied()
		time.Sleep(10 * time.Minute)
		if n := f.view().Applied() - before; n > 0 {
			t.Errorf("%d commands say the same fault again", n)
		}
		f.allow()
		f.adopted(faultAgain + 2*time.Second)
	})
}

func TestAnotherLeaderGoesOnAdopting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.elect()
		f.agents["a"].slow[proto.OpAdopt] = 5 * time.Second
		f.must(&proto.InstanceApply{Spec: spec(), Envelope: open(40)})
		time.Sleep(2 * time.Second)
		f.depose(false)
		f.adopted(6 * time.Second) // joined: it did not begin anew
		f.settled()
		f.report(t, t.Name())
	})
}

func TestReleaseForgetsTheInstanceWhenItsHostHasGivenItBack(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.move("m", "b", "large")
		f.ended("m", time.Minute)
		f.agents["b"].fail(proto.OpRelease, proto.FaultFailed, 1)
		f.must(&proto.InstanceRelease{Instance: "i"})
		f.await("the fault is shown", time.Minute, func(v *state.View) bool {
			i, _ := v.Instance("i")
			return i.Fault != nil && i.State == proto.InstanceReleasing
		})
		f.await("it is forgotten", time.Minute, func(v *state.View) bool {
			_, there := v.Instance("i")
			return !there
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		for name, a := range f.agents {
			if a.present || a.record.state != proto.FenceNone {
				t.Errorf("host %s is left %q, present %v", name, a.record.state, a.present)
			}
		}
		if !f.agents["b"].running {
			t.Error("it was stopped")
		}
	})
}

func TestAnInstanceThatComesBackUnderItsNameIsAdoptedAnew(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.must(&proto.InstanceRelease{Instance: "i"})
		f.await("it is forgotten", time.Minute, func(v *state.View) bool {
			_, there := v.Instance("i")
			return !there
		})
		f.adopt()
		f.mu.Lock()
		defer f.mu.Unlock()
		if a := f.agents["a"]; a.record.state != proto.FenceOwner {
			t.Errorf("its host holds it as %q: the answer to an earlier adoption was repeated", a.record.state)
		}
	})
}

func TestHostsTakeAnInstanceThatIsAdoptedAgainAlthoughTheyRememberItsFences(t *testing.T) {
	story(t, func(_ *testing.T, f *fleet) {
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseCopy)
		f.abort()
		f.ended("m", time.Minute)
		f.must(&proto.InstanceRelease{Instance: "i"})
		f.await("it is forgotten", time.Minute, func(v *state.View) bool {
			_, there := v.Instance("i")
			return !there
		})
		f.adopt()
		f.move("n", "b", "large")
		f.ended("n", time.Minute)
		f.settled()
	})
}
