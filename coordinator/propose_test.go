package coordinator

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/proto"
)

// TestNothingIsProposedThatACoordinatorDoesNotKnow holds, with one coordinator whose program is older: what came later is refused, by its command or by what is in it.
func TestNothingIsProposedThatACoordinatorDoesNotKnow(t *testing.T) {
	c := newCoordinator(Config{Name: "c1"}, Process{Log: slog.New(slog.DiscardHandler)})
	c.tables = newTables(func(proto.Command, proto.Result, metrics.Ended) {})
	older := slices.DeleteFunc(proto.KnownCommands(), func(k proto.KnownType) bool {
		return slices.Contains([]proto.CommandType{proto.CmdPlanPut, proto.CmdAdmit, proto.CmdMigrationLearned}, k.Type)
	})
	for i := range older {
		older[i].Version = 1
	}
	index := uint64(0)
	apply := func(body proto.Body) {
		t.Helper()
		index++
		cmd, err := proto.NewCommand(NewID(), "test", body)
		if err != nil {
			t.Fatal(err)
		}
		if r := c.tables.Apply(index, cmd); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	known := func(body proto.Body) string {
		t.Helper()
		cmd, err := proto.NewCommand(NewID(), "test", body)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.knownToAll(cmd, body); err != nil {
			return err.Error()
		}
		return ""
	}
	placed := &proto.InstanceApply{Spec: proto.InstanceSpec{Name: "i", Placement: &proto.Placement{Kernel: "6.1"}}}
	signals := &proto.InstanceApply{Spec: proto.InstanceSpec{Name: "i", Signals: []proto.Signal{{Name: "s"}}}}
	said := proto.Plan{Figures: &proto.Figures{}, Bias: &proto.Bias{Moves: 5}, Considered: []proto.Considered{{Host: "a", Violates: "cordoned"}}}
	scored := proto.HostFacts{Name: "a", CPUScore: 5}
	started, returned := &proto.MigrationStart{Plan: said}, &proto.MigrationReturn{Plan: said}
	apply(&proto.FleetInit{Fleet: "demo", GridStep: 60_000, Policy: proto.DefaultPolicy()})
	apply(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", Commands: proto.KnownCommands()}})
	apply(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c2", Commands: older}})
	for _, body := range []proto.Body{&proto.PlanPut{}, &proto.Admit{}, &proto.PolicyPut{}, placed, signals, started, returned, &proto.MigrationStart{Plan: proto.Plan{Probation: 1}}, &proto.HostRegister{Facts: scored}} {
		if said := known(body); !strings.Contains(said, "install the same version") {
			t.Errorf("%s is proposed: %q", body.Command(), said)
		}
	}
	for _, body := range []proto.Body{&proto.Tick{}, &proto.ReservationChange{}, &proto.InstanceApply{Spec: proto.InstanceSpec{Name: "i"}}, &proto.MigrationStart{Plan: said.Plain()}, &proto.MigrationReturn{Plan: said.Plain()}, &proto.HostRegister{Facts: c.stated(scored)}} {
		if said := known(body); said != "" {
			t.Errorf("%s is not proposed: %s", body.Command(), said)
		}
	}
	apply(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c2", Commands: proto.KnownCommands()}})
	for _, body := range []proto.Body{&proto.PlanPut{}, &proto.Admit{}, &proto.PolicyPut{}, placed, signals, started, returned, &proto.MigrationStart{Plan: proto.Plan{Probation: 1}}, &proto.HostRegister{Facts: c.stated(scored)}} {
		if said := known(body); said != "" {
			t.Errorf("%s is not proposed: %s", body.Command(), said)
		}
	}
	if got := c.stated(scored).CPUScore; got != 5 {
		t.Errorf("where all know of speeds %d is stated", got)
	}
}
