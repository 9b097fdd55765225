package state

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const start timeline.Time = 1_700_000_000_000

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// world is a state and the next request.
type world struct {
	t    failer
	s    *State
	now  timeline.Time
	next int
	log  []proto.Command
}

func (w *world) send(c proto.Command) (proto.Result, []Change) {
	w.t.Helper()
	before := w.s.View()
	w.log = append(w.log, c)
	r, changes := w.s.Apply(c)
	after := w.s.View()
	for _, v := range append(Check(after), CheckStep(before, after)...) {
		w.t.Fatalf("after %s (%s): %s: %s", c.Type, r.Code, v.Invariant, v.What)
	}
	if diff := Difference(before, after); !slices.Equal(diff, changes) {
		w.t.Fatalf("%s (%s) changed %v; the difference is %v", c.Type, r.Code, changes, diff)
	}
	return r, changes
}

func (w *world) command(body proto.Body) proto.Command {
	w.t.Helper()
	w.next++
	c, err := proto.NewCommand(fmt.Sprintf("request-%d", w.next), "tester", body)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	c.At = w.now
	return c
}

// do applies a command and answers what came of it.
func (w *world) do(body proto.Body) proto.Result {
	w.t.Helper()
	r, _ := w.send(w.command(body))
	return r
}

// must applies a command that has to be done.
func (w *world) must(body proto.Body) proto.Result {
	w.t.Helper()
	r := w.do(body)
	if !r.OK() {
		w.t.Fatalf("%s: %s: %s", body.Command(), r.Code, r.Message)
	}
	return r
}

// want applies a command that has to come to the code.
func (w *world) want(code proto.ResultCode, body proto.Body) proto.Result {
	w.t.Helper()
	r := w.do(body)
	if r.Code != code {
		w.t.Fatalf("%s: %s (%s), want %s", body.Command(), r.Code, r.Message, code)
	}
	return r
}

func (w *world) instance(name string) proto.Instance {
	w.t.Helper()
	i, ok := w.s.View().Instance(name)
	if !ok {
		w.t.Fatalf("there is no instance %s", name)
	}
	return i
}

// fence is the one that the instance is under.
func (w *world) fence(name string) uint64 {
	w.t.Helper()
	return w.instance(name).Fence
}

func (w *world) migration(id string) proto.Migration {
	w.t.Helper()
	m, ok := w.s.View().Migration(id)
	if !ok {
		w.t.Fatalf("there is no migration %s", id)
	}
	return m
}

func export(t failer, v *View) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := v.Export(&b); err != nil {
		t.Fatalf("%v", err)
	}
	return b.Bytes()
}

func facts(name string, n int64) proto.HostFacts {
	return proto.HostFacts{Name: name, MachineID: "machine-" + name, Capacity: resource.Uniform(n), Allocatable: resource.Uniform(n)}
}

func open(n int64) proto.Envelope {
	return proto.Envelope{{Span: timeline.Span{Start: start, End: timeline.Forever}, Firm: resource.Uniform(n)}}
}

func spec(name, host string) proto.InstanceSpec {
	return proto.InstanceSpec{
		Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service", Data: []string{"/var/lib/" + name}},
		Host: host, Type: "small", Class: proto.Critical, Mode: proto.Enforce,
	}
}

// newWorld makes a fleet: hosts a, b and c of 100, types small (50) and large (80), coordinators c1 and c2.
func newWorld(t failer) *world {
	t.Helper()
	w := &world{t: t, s: New(), now: start}
	w.must(&proto.FleetInit{Fleet: "demo", GridStep: 10_000, Policy: proto.DefaultPolicy()})
	for _, name := range []string{"c1", "c2"} {
		w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: name, Commands: proto.KnownCommands()}})
	}
	for _, name := range []string{"a", "b", "c"} {
		w.must(&proto.HostRegister{Facts: facts(name, 100), Incarnation: 1})
		w.must(&proto.HostHome{Host: name, Home: "c1", Standby: "c2"})
		w.must(&proto.HostSystem{Host: name, Envelope: open(5)})
	}
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(50)}})
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "large", Max: resource.Uniform(80)}})
	return w
}

// adopt makes an instance that runs on the host with n of everything.
func (w *world) adopt(name, host string, n int64) {
	w.t.Helper()
	f := w.must(&proto.InstanceApply{Spec: spec(name, host), Envelope: open(n)}).Fence
	w.must(&proto.InstanceAdopted{Instance: name, Fence: f})
}

// plan is a plan for an instance as it is now, to a target and the type large.
func (w *world) plan(instance, target string) proto.Plan {
	i := w.instance(instance)
	return proto.Plan{Instance: instance, Source: i.Owner, Target: target, FromType: i.Spec.Type, ToType: "large", Fence: i.Fence, MadeAt: w.now}
}

func (w *world) startOf(id, instance, target string, n int64) *proto.MigrationStart {
	return &proto.MigrationStart{ID: id, Plan: w.plan(instance, target), Reservation: proto.Reservation{
		ID: id + "/target", Envelope: open(n), Until: w.now + 3_600_000,
	}}
}

// copying begins a migration and takes it to where it can be frozen.
func (w *world) copying(id, instance, target string, n int64) {
	w.t.Helper()
	w.must(w.startOf(id, instance, target, n))
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhasePrepare, To: proto.PhaseCopy})
}

// settled takes a migration to where it can be completed or returned.
func (w *world) settled(id, instance, target string, n int64) {
	w.t.Helper()
	w.copying(id, instance, target, n)
	f := w.must(&proto.MigrationFreeze{Migration: id, Fence: w.instance(instance).Fence}).Fence
	f = w.must(&proto.MigrationCommit{Migration: id, Fence: f}).Fence
	w.must(&proto.MigrationConfirm{Migration: id, Fence: f, Until: w.now + 600_000})
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhaseWarm, To: proto.PhaseSettle})
}

func TestAFleetIsMadeOnce(t *testing.T) {
	w := &world{t: t, s: New(), now: start}
	w.want(proto.ResultRefused, &proto.HostRegister{Facts: facts("a", 1)})
	init := &proto.FleetInit{Fleet: "demo", GridStep: 10_000, Policy: proto.DefaultPolicy()}
	w.must(init)
	w.want(proto.ResultConflict, init)
	bad := proto.DefaultPolicy()
	bad.Ratio[resource.CPU] = 0
	w.want(proto.ResultInvalid, &proto.PolicyPut{Policy: bad})
	w.must(&proto.PolicyPut{Policy: proto.DefaultPolicy(), Revision: 1})
	w.want(proto.ResultStale, &proto.PolicyPut{Policy: proto.DefaultPolicy(), Revision: 1})
}

func TestAPolicyThatBreaksPromisesIsRefused(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 50)
	p := proto.DefaultPolicy()
	p.Ratio = resource.Uniform(540)
	r := w.want(proto.ResultRefused, &proto.PolicyPut{Policy: p})
	if r.Shortfall == nil || r.Shortfall.Host != "a" || r.Shortfall.Missing != 1 {
		t.Fatalf("%+v", r.Shortfall)
	}
	p.Ratio = resource.Uniform(550)
	w.must(&proto.PolicyPut{Policy: p})
}

func TestHostsAreForgottenOnlyWhenTheyHoldNothing(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 10)
	w.want(proto.ResultRefused, &proto.HostForget{Host: "a"})
	w.must(&proto.HostForget{Host: "c"})
	if _, ok := w.s.View().Host("c"); ok || len(w.s.View().ReservationsOn("c")) > 0 {
		t.Fatal("something is left of host c")
	}
	w.want(proto.ResultNotFound, &proto.HostForget{Host: "c"})
	w.want(proto.ResultConflict, &proto.HostRegister{Facts: proto.HostFacts{Name: "a", MachineID: "another"}})
	w.must(&proto.InstanceRelease{Instance: "i"})
	w.must(&proto.InstanceRemove{Instance: "i", Fence: w.fence("i")})
	w.must(&proto.HostForget{Host: "a"})
}

func TestAnOperatorsWordBreaksNoPromise(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 50)
	w.want(proto.ResultRefused, &proto.HostSet{Host: "a", Override: resource.Uniform(54)})
	span := timeline.Span{Start: start + 1000, End: start + 2000}
	w.want(proto.ResultRefused, &proto.HostSet{Host: "a", Reduced: timeline.Flat(span, resource.Uniform(46))})
	w.must(&proto.HostSet{Host: "a", Override: resource.Uniform(55), Cordoned: true})
	// What an agent states is a fact: it is taken, and shown.
	w.must(&proto.HostRegister{Facts: facts("b", 4), Incarnation: 1})
	if w.s.View().Ledger().Short("b") == nil {
		t.Fatal("b has promised 5 of 4 and nothing shows it")
	}
	w.must(&proto.HostDebt{Host: "c", Debt: 40})
	w.want(proto.ResultRefused, &proto.InstanceApply{Spec: spec("j", "c"), Envelope: open(60)})
}

func TestAHomeIsReplacedByCompareAndSet(t *testing.T) {
	w := newWorld(t)
	w.want(proto.ResultStale, &proto.HostHome{Host: "a", From: "c2", Home: "c1"})
	w.want(proto.ResultInvalid, &proto.HostHome{Host: "a", From: "c1", Home: "c2", Standby: "c2"})
	w.want(proto.ResultRefused, &proto.CoordinatorRemove{Name: "c1"})
	for _, h := range []string{"a", "b", "c"} {
		w.must(&proto.HostHome{Host: h, From: "c1", Home: "c2", Standby: "c1"})
	}
	w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", Identity: "old key"}})
	w.must(&proto.CoordinatorRemove{Name: "c1"})
	if h, _ := w.s.View().Host("a"); h.Home != "c2" || h.Standby != "" {
		t.Fatalf("home %q, standby %q", h.Home, h.Standby)
	}
	w.want(proto.ResultRefused, &proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", Identity: "old key"}})
	w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", Identity: "new key"}})
	if f := w.s.View().Fleet(); !slices.Equal(f.Removed, []string{"old key"}) {
		t.Errorf("removed: %q", f.Removed)
	}
}

func TestTypesAndApplicationsInUseStay(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.AppPut{Application: proto.Application{Name: "redis", Class: proto.Critical}})
	s := spec("i", "a")
	s.Application = "redis"
	w.must(&proto.InstanceApply{Spec: s, Envelope: open(10)})
	w.want(proto.ResultRefused, &proto.AppRemove{Name: "redis"})
	w.want(proto.ResultRefused, &proto.TypeRemove{Name: "small"})
	w.want(proto.ResultRefused, &proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(49)}})
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(51)}})
	w.must(&proto.TypeRemove{Name: "large"})
}

func TestAJoinTokenIsUsedOnceByWhomItIsFor(t *testing.T) {
	w := newWorld(t)
	hash := sha256.Sum256([]byte("secret"))
	token := proto.Token{ID: "t1", Kind: proto.TokenJoin, Role: proto.RoleAgent, Name: "d", Hash: hash[:], ExpiresAt: start + 1000}
	w.must(&proto.TokenCreate{Token: token})
	w.want(proto.ResultConflict, &proto.TokenCreate{Token: token})
	w.want(proto.ResultRefused, &proto.TokenUse{ID: "t1", Role: proto.RoleCoordinator, Name: "d"})
	w.want(proto.ResultRefused, &proto.TokenUse{ID: "t1", Role: proto.RoleAgent, Name: "e"})
	w.must(&proto.TokenUse{ID: "t1", Role: proto.RoleAgent, Name: "d"})
	w.want(proto.ResultConflict, &proto.TokenUse{ID: "t1", Role: proto.RoleAgent, Name: "d"})

	token.ID, token.Name = "t2", ""
	w.must(&proto.TokenCreate{Token: token})
	w.now += 1000
	w.want(proto.ResultRefused, &proto.TokenUse{ID: "t2", Role: proto.RoleAgent, Name: "d"})
	token.ID, token.ExpiresAt = "t3", timeline.Forever
	w.must(&proto.TokenCreate{Token: token})
	w.must(&proto.TokenRevoke{ID: "t3"})
	w.want(proto.ResultRefused, &proto.TokenUse{ID: "t3", Role: proto.RoleAgent, Name: "d"})
	token.ID, token.Role = "t4", proto.RoleAdmin
	w.want(proto.ResultInvalid, &proto.TokenCreate{Token: token})
}

func TestEventsAreKeptSorted(t *testing.T) {
	w := newWorld(t)
	e := proto.Event{ID: "sale", Kind: "campaign", Span: timeline.Span{Start: start, End: start + 1000}, Instances: []string{"z", "a", "z"}}
	w.must(&proto.EventPut{Event: e})
	if got, _ := w.s.View().Event("sale"); len(got.Instances) != 2 || got.Instances[0] != "a" {
		t.Fatal(got.Instances)
	}
	e.Span.End = timeline.Forever
	w.want(proto.ResultInvalid, &proto.EventPut{Event: e})
	w.must(&proto.EventRemove{ID: "sale"})
	w.want(proto.ResultNotFound, &proto.EventRemove{ID: "sale"})
}
