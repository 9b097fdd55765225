package leader

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// roomy is what the hosts of these tests have of all but CPU.
const roomy = 100_000_000_000

// newFull is a fleet in which host-a is emptied and the others are full: what is on host-b and host-c has to change places first, for which there is no room but
// on host-d, and that has to be left again for what only goes there.
func newFull(t *testing.T) *drained {
	w := newDrained(t)
	zone := []proto.Label{{Key: "zone", Value: "d"}}
	for name, cpu := range map[string]int64{"host-a": 4000, "host-b": 1000, "host-c": 800, "host-d": 600} {
		has := resource.Uniform(roomy)
		has[resource.CPU] = cpu
		facts := proto.HostFacts{
			Name: name, MachineID: name, BootID: "b", Allocatable: has, Capacity: has, Controllers: []string{"cpu", "io", "memory"}, Segment: "lan", SyncAddr: name + ":7647",
		}
		if name == "host-d" {
			facts.Labels = zone
		}
		w.must(&proto.HostRegister{Incarnation: 1, Facts: facts})
	}
	w.run("large", "host-b", 700, nil)
	w.run("small", "host-c", 600, nil)
	w.run("first", "host-a", 400, nil)
	w.run("bound", "host-a", 590, zone)
	return w
}

// run has a host run an instance that takes so much CPU.
func (w *drained) run(name, host string, cpu int64, labels []proto.Label) {
	w.t.Helper()
	most, takes := resource.Uniform(resource.Unlimited), resource.Vector{resource.CPU: cpu}
	most[resource.CPU] = cpu
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: fmt.Sprint("cpu-", cpu), Max: most}})
	spec := proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: host, Type: fmt.Sprint("cpu-", cpu), Class: proto.Standard, Mode: proto.Enforce}
	if labels != nil {
		spec.Placement = &proto.Placement{Require: labels}
	}
	r := w.must(&proto.InstanceApply{Spec: spec, Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: takes}}})
	w.must(&proto.InstanceAdopted{Instance: name, Fence: r.Fence})
}

func TestInstancesOfFullHostsChangePlacesAndAreParkedOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFull(t)
		w.drain(proto.DrainGoesOn, 0)
		for range 40 { // each leader lasts for two minutes
			w.lead(2 * time.Minute)
		}
		w.want(proto.DrainDone, 5, proto.PlanDone)
		if got, want := w.moves(), []string{
			"bound host-d completed", "first host-b completed", "large host-c completed", "small host-b completed", "small host-d completed",
		}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		p := w.plan()
		if !slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return m.Instance == "small" && m.Target == "host-d" && m.Parked }) ||
			!slices.ContainsFunc(p.Says, func(s string) bool { return strings.Contains(s, "small moves more than once") }) {
			t.Errorf("it is not said that one of them is parked: %q", p.Says)
		}
		plans := 0
		for range w.view().Plans() {
			plans++
		}
		if plans != 1 || p.Blocked != nil {
			t.Errorf("it took %d plans, the last one blocked by %+v", plans, p.Blocked)
		}
	})
}

func TestWhatDoesNotMakeRoomIsGivenUpInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFull(t)
		w.fails["small"] = true
		w.drain(proto.DrainGoesOn, 0)
		w.lead(30 * time.Second)
		w.want(proto.DrainGoesOn, 1, proto.PlanRunning) // it rests
		w.lead(20 * time.Minute)
		w.want(proto.DrainBlocked, 3, proto.PlanBlocked)
		notice, told := w.view().Notice(proto.NoticeID(proto.NoticeBlocked, "host-a"))
		if !told || !strings.Contains(notice.Says, "3 moves of instance small away from host-c, where it is to make room, did not succeed") {
			t.Errorf("%+v", notice)
		}
		w.fails["small"] = false
		w.drain(proto.DrainGoesOn, 0)
		w.lead(80 * time.Minute)
		w.want(proto.DrainDone, 8, proto.PlanDone)
	})
}
