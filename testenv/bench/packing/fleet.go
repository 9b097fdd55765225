package packing

import (
	"fmt"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// fleet is the replicated state of a fleet whose commands are applied here.
type fleet struct {
	s   *state.State
	now timeline.Time
	n   int
}

const typeName = "any"

// newFleet returns a fleet without hosts, with one type of instances.
func newFleet(now timeline.Time, p proto.Policy, most resource.Vector) (*fleet, error) {
	f := &fleet{s: state.New(), now: now}
	for _, body := range []proto.Body{
		&proto.FleetInit{Fleet: "f", GridStep: grid.Milliseconds(), Policy: p},
		&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", RPCAddr: "c1:7647", Commands: proto.KnownCommands()}},
		&proto.TypePut{Type: proto.InstanceType{Name: typeName, Max: most}},
	} {
		if err := f.must(body); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fleet) apply(body proto.Body) (proto.Result, error) {
	f.n++
	cmd, err := proto.NewCommand(fmt.Sprint("r", f.n), "replay", body)
	if err != nil {
		return proto.Result{}, err
	}
	cmd.At = f.now
	r, _ := f.s.Apply(cmd)
	return r, nil
}

func (f *fleet) must(body proto.Body) error {
	r, err := f.apply(body)
	if err == nil && !r.OK() {
		err = fmt.Errorf("%s: %s", body.Command(), r.Message)
	}
	return err
}

func (f *fleet) addHost(name string, v resource.Vector) error {
	return f.must(&proto.HostRegister{Incarnation: f.s.View().Fleet().Incarnation, Facts: proto.HostFacts{
		Name: name, MachineID: "m-" + name, BootID: "b", Capacity: v, Allocatable: v, Controllers: []string{"cpu", "io", "memory"}, Segment: "lan", SyncAddr: name + ":7647",
	}})
}

// run lets an instance run on a host.
func (f *fleet) run(name, host string, e proto.Envelope, floor resource.Vector) error {
	err := f.must(&proto.InstanceApply{Envelope: e, Floor: floor, Spec: proto.InstanceSpec{
		Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service", Data: []string{"/var/lib/" + name}},
		Host: host, Type: typeName, Class: proto.Standard, Mode: proto.Enforce,
	}})
	if err != nil {
		return err
	}
	i, _ := f.s.View().Instance(name)
	return f.must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence})
}
