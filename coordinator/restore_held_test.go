package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// What docs/operations.md says of an instance that was moved after the backup: it alone is held, and is adopted where it runs.
func TestAfterARestoreTheInstanceInConflictAloneIsHeld(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	cfg, made, m, c := alone(t)
	eventually(t, "it answers", func() error { _, err := status(c); return err })
	ctx, i := context.Background(), adopted(t, m)
	apply := func(name, host string, n int64) proto.Instance {
		t.Helper()
		err := m.do(ctx, "test", &proto.InstanceApply{
			Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: host, Type: "small", Class: proto.Critical, Mode: proto.Observe},
			Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(n)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		its, _ := m.tables.View().Instance(name)
		return its
	}
	j := apply("j", "b", 20)
	if err := m.do(ctx, "test", &proto.InstanceAdopted{Instance: "j", Fence: j.Fence}); err != nil {
		t.Fatal(err)
	}
	text := saved(t, c)
	m.end(t)
	if _, err := Restore(cfg, bytes.NewReader(text), Restoring{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	m = start(t, cfg)
	c = connect(t, made, m)

	// Meanwhile i had moved from a to b.
	moved := proto.Holding{Instance: "i", Incarnation: 1, Fence: i.Fence + 2, State: proto.FenceRetired}
	// As long as a coordinator of an earlier version is there, which could not hold it alone, the whole host waits.
	older := proto.Coordinator{Name: "older", RPCAddr: "192.0.2.1:7646", Commands: slices.DeleteFunc(proto.KnownCommands(), func(k proto.KnownType) bool { return k.Type == proto.CmdInstanceForget })}
	if err := m.do(ctx, "test", &proto.CoordinatorPut{Coordinator: older}); err != nil {
		t.Fatal(err)
	}
	if _, err := hello(t, m, "a", 1, moved); err != nil {
		t.Fatal(err)
	}
	if h, _ := m.tables.View().Host("a"); h.Incarnation == m.tables.View().Fleet().Incarnation || len(h.Conflicts) != 1 || !h.Conflicts[0].Blocks || h.Conflicts[0].Holds {
		t.Errorf("beside an older coordinator: %+v", h)
	}
	if err := m.do(ctx, "test", &proto.CoordinatorRemove{Name: "older"}); err != nil {
		t.Fatal(err)
	}
	source := startHolder(t, "a", proto.Holding{}, []proto.Holding{moved}, nil, m)
	moved.State, moved.Running, moved.Granted = proto.FenceOwner, true, resource.Uniform(30)
	target := startHolder(t, "b", proto.Holding{Instance: "j", Incarnation: 1, Fence: j.Fence, State: proto.FenceOwner, Running: true}, []proto.Holding{moved}, nil, m)
	eventually(t, "it is held, and both hosts count as having reported", func() error {
		s, err := status(c)
		if err == nil && (len(s.Unreported) > 0 || len(s.InDoubt) != 1 || s.InDoubt[0].Instance != "i" || !slices.Equal(s.Conflicts, []string{"a", "b"})) {
			err = fmt.Errorf("not reported %q, in doubt %+v, conflicts %q", s.Unreported, s.InDoubt, s.Conflicts)
		}
		return err
	})
	if err := move(ctx, m, i); err == nil || !strings.Contains(err.Error(), "instance i is held") {
		t.Errorf("it is moved: %v", err)
	}

	// b gets its document, which has j, and gives nobody what i takes there.
	eventually(t, "b has a document", func() error {
		target.mu.Lock()
		d := target.document
		target.mu.Unlock()
		if d.Version.Incarnation != m.tables.View().Fleet().Incarnation || len(d.Instances) != 1 || d.Instances[0].Instance != "j" {
			return fmt.Errorf("incarnation %d, %d instances", d.Version.Incarnation, len(d.Instances))
		}
		its, _ := m.tables.View().ReservationOf("j", "b")
		now := timeline.Of(time.Now())
		free, _ := d.Headroom.At(now)
		promised, _ := planner.Promised(its.Envelope).At(now)
		if free[resource.CPU] != 100-30-promised[resource.CPU] {
			return fmt.Errorf("%d of 100 are free, with %d promised and 30 held", free[resource.CPU], promised[resource.CPU])
		}
		return nil
	})
	view := m.tables.View()
	for host, may := range map[string]bool{"a": true, "b": true, "c": false} { // the owner by the tables, who has it, and nobody
		if mayReport(view, host, "i") != may {
			t.Errorf("samples of i from %s are taken: %v", host, !may)
		}
	}

	// Its other instance is moved as ever.
	now := timeline.Of(time.Now())
	err := m.do(ctx, "test", &proto.MigrationStart{
		ID: "m",
		Plan: proto.Plan{
			Instance: "j", Source: "b", Target: "a", FromType: "small", ToType: "small", Fence: j.Fence, MadeAt: now, Rate: 80_000_000,
			Phases:  []proto.PlanPhase{{Phase: proto.PhaseWarm, Span: timeline.Span{Start: now, End: now.Add(time.Millisecond)}}},
			Profile: []proto.PlanStep{{Span: timeline.Span{Start: now, End: now.Add(time.Hour)}, Allocation: resource.Uniform(7)}},
		},
		Reservation: proto.Reservation{ID: "m/target", Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(20)}}, Until: now.Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	settled(t, c)
	for _, agent := range []*mover{source, target} {
		agent.mu.Lock()
		for id := range agent.begun {
			if strings.Contains(id, "/i/") {
				t.Errorf("%s was asked for %s", agent.host, id)
			}
		}
		agent.mu.Unlock()
	}

	// The operator believes the agents.
	if err := c.Call(ctx, "POST", "/v1/instances/i/forget", v1.ForgetInstance{Fence: i.Fence + 1}, nil); err == nil {
		t.Error("it was forgotten by a decision on another fence")
	}
	if err := c.Call(ctx, "POST", "/v1/instances/i/forget", v1.ForgetInstance{Fence: i.Fence, Reason: "moved after the backup"}, nil); err != nil {
		t.Fatal(err)
	}
	var found v1.InstanceDetail
	if err := c.Call(ctx, "GET", "/v1/instances/i", nil, &found); err == nil || !strings.Contains(err.Error(), "by its agent it runs on b") {
		t.Errorf("it is shown: %v", err)
	}
	apply("i", "b", 40)
	eventually(t, "it is adopted on b, and in doubt no more", func() error {
		its, _ := m.tables.View().Instance("i")
		s, err := status(c)
		if err == nil && (its.Owner != "b" || its.State != proto.InstanceRunning || len(s.InDoubt) > 0 || len(s.Conflicts) > 0) {
			err = errors.New("it is " + string(its.State) + " on " + its.Owner)
		}
		return err
	})
	if target.asked(proto.OpAdopt) == 0 {
		t.Error("b's agent was not asked to adopt it")
	}
}
