package migrate

import (
	"testing"
	"testing/synctest"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// A target is limited from its first moment; one of what is paused, or only observed, never is.
func TestATargetIsPreparedWithoutLimitsWhereNothingIsToBeLimited(t *testing.T) {
	for name, c := range map[string]struct {
		bodies  []proto.Body
		limited bool
	}{
		"enforced":               {nil, true},
		"source's host paused":   {[]proto.Body{&proto.Pause{Host: "a", Paused: true}}, true},
		"observed":               {[]proto.Body{&proto.InstanceMode{Instance: "i", Mode: proto.Observe}}, false},
		"instance paused":        {[]proto.Body{&proto.Pause{Instance: "i", Paused: true}}, false},
		"target's host paused":   {[]proto.Body{&proto.Pause{Host: "b", Paused: true}}, false},
		"fleet paused":           {[]proto.Body{&proto.Pause{Paused: true}}, false},
		"fleet paused, no more":  {[]proto.Body{&proto.Pause{Paused: true}, &proto.Pause{}}, true},
		"paused on the target":   {[]proto.Body{&proto.HostRegister{Incarnation: 1, Facts: proto.HostFacts{Name: "b", MachineID: "b", Capacity: resource.Uniform(100), Allocatable: resource.Uniform(100), PausedAt: 1}}}, false},
		"paused on the source's": {[]proto.Body{&proto.HostRegister{Incarnation: 1, Facts: proto.HostFacts{Name: "a", MachineID: "a", Capacity: resource.Uniform(100), Allocatable: resource.Uniform(100), PausedAt: 1}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				defer f.report(t, name)
				f.elect()
				f.adopt()
				for _, b := range append([]proto.Body{&proto.InstanceMode{Instance: "i", Mode: proto.Enforce}}, c.bodies...) {
					f.must(b)
				}
				i, _ := f.view().Instance("i")
				s := scene{view: f.view(), i: i, m: proto.Migration{ID: "m", Source: "a", Target: "b", FromType: "small", ToType: "large"}}
				op, err := (&walker{}).operation(s, order{kind: proto.OpPrepareTarget, host: "b"}, proto.OperationRecord{ID: "o"})
				if err != nil {
					t.Fatal(err)
				}
				want := resource.Vector{}
				if c.limited {
					want = resource.Uniform(80) // as the document will say
				}
				if op.Max != want {
					t.Errorf("prepared with %v, want %v", op.Max, want)
				}
			})
		})
	}
}
