package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// fleet is real tables, executors that lead one after the other, and hosts as models.
type fleet struct {
	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup

	mu       sync.Mutex
	tables   *state.State
	shown    *state.View
	changed  chan struct{}
	agents   map[string]*agent
	leader   *seat
	quorum   bool
	acked    int // writes that clients got an answer to
	problems []string
	story    []string
	began    time.Time

	calm    bool                         // at most one trouble comes
	repeats int                          // results that were asked for again
	ran     []ranHook                    // hooks of instances that were begun
	count   int                          // boundaries that were passed: before and after each proposal and operation
	hooks   map[int]func()               // by boundary
	after   map[proto.CommandType]func() // by what was committed; f.mu is held
}

// ranHook is a run of an instance's hooks on a host.
type ranHook struct {
	migration string
	point     proto.HookPoint
	side      proto.HookSide
	host      string
	serving   string // hosts that served clients when it began
	call      proto.HookCall
	target    proto.FenceState // as what the target held the instance then
	at        time.Time
}

// seat is a coordinator while it leads.
type seat struct {
	f       *fleet
	exec    *Executor
	cancel  context.CancelFunc
	done    chan struct{}
	dead    bool // killed: nothing leaves it
	deposed bool // it can't commit any more, and does not know it yet
}

const (
	warmTime      = 5 * time.Second
	probationTime = 5 * time.Second
)

// newFleet makes hosts a, b and c, and instance i, adopted on a. It must be called in a bubble and closed there.
func newFleet() *fleet {
	f := &fleet{tables: state.New(), changed: make(chan struct{}), agents: map[string]*agent{}, quorum: true, hooks: map[int]func(){}, after: map[proto.CommandType]func(){}, began: time.Now()}
	f.ctx, f.stop = context.WithCancel(context.Background())
	p := proto.DefaultPolicy()
	p.Probation = probationTime.Milliseconds()
	f.must(&proto.FleetInit{Fleet: "demo", GridStep: 10_000, Policy: p})
	f.must(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(50)}})
	f.must(&proto.TypePut{Type: proto.InstanceType{Name: "large", Max: resource.Uniform(80)}})
	for _, name := range []string{"a", "b", "c"} {
		f.must(&proto.HostRegister{Facts: proto.HostFacts{Name: name, MachineID: name, Capacity: resource.Uniform(100), Allocatable: resource.Uniform(100), SyncAddr: name + ":7647"}, Incarnation: 1})
		a := &agent{
			f: f, name: name, begun: map[string]proto.Operation{}, results: map[string]proto.OperationResult{},
			faults: map[proto.OperationKind][]*proto.Fault{}, slow: map[proto.OperationKind]time.Duration{proto.OpSyncRound: 2 * time.Second, proto.OpStart: 1500 * time.Millisecond},
		}
		f.agents[name] = a
		f.mu.Lock()
		a.wake(false)
		f.mu.Unlock()
	}
	f.all.Go(f.watch)
	return f
}

func (f *fleet) note(format string, args ...any) {
	f.story = append(f.story, fmt.Sprintf("%8.1fs %s", time.Since(f.began).Seconds(), fmt.Sprintf(format, args...)))
}

func (f *fleet) problem(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if len(f.problems) < 20 {
		f.note("PROBLEM %s", what)
		f.problems = append(f.problems, what)
	}
}

// watch holds OneOwner at all times, and writes wherever clients are served.
func (f *fleet) watch() {
	for sleep(f.ctx, 100*time.Millisecond) {
		f.mu.Lock()
		var running []string
		for _, a := range f.agents {
			if a.running {
				running = append(running, a.name)
			}
			if a.running && a.announced {
				a.written++
				f.acked++
			}
		}
		if len(running) > 1 {
			slices.Sort(running)
			f.problem("OneOwner: it runs on %s", strings.Join(running, " and "))
		}
		f.mu.Unlock()
	}
}

// apply applies a command and checks the invariants of the tables. f.mu is held.
func (f *fleet) apply(id, by string, body proto.Body) proto.Result {
	c, err := proto.NewCommand(id, by, body)
	if err != nil {
		f.problem("%v", err)
		return proto.Result{Code: proto.ResultInvalid}
	}
	c.At = timeline.Of(time.Now())
	before := f.tables.View()
	r, _ := f.tables.Apply(c)
	after := f.tables.View()
	for _, v := range append(state.Check(after), state.CheckStep(before, after)...) {
		f.problem("after %s: %s: %s", c.Type, v.Invariant, v.What)
	}
	if c.Type != proto.CmdMigrationRecord {
		f.note("%s by %s: %s %s", c.Type, by, r.Code, r.Message)
	}
	if hook := f.after[c.Type]; hook != nil && r.OK() {
		delete(f.after, c.Type)
		hook()
	}
	f.shown = nil
	close(f.changed)
	f.changed = make(chan struct{})
	return r
}

// must applies a command of an operator.
func (f *fleet) must(body proto.Body) proto.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.apply(newID(), "operator", body)
	if !r.OK() {
		f.problem("%s: %s", body.Command(), r.Message)
	}
	return r
}

func (f *fleet) view() *state.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shown == nil {
		f.shown = f.tables.View()
	}
	return f.shown
}

func (f *fleet) onChange() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// elect makes another coordinator the leader.
func (f *fleet) elect() {
	s := &seat{f: f, done: make(chan struct{})}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(f.ctx)
	s.exec = New(Config{
		View: f.view, Changed: f.onChange, Propose: s.propose, CallAgent: s.call, VerifyLeader: s.verify,
		Handover: func(context.Context, string, string, string) error { return errors.New("not today") }, Log: slog.New(slog.DiscardHandler),
	})
	f.mu.Lock()
	f.leader = s
	f.mu.Unlock()
	go func() {
		defer close(s.done)
		if err := s.exec.Run(ctx); err != nil {
			f.mu.Lock()
			f.problem("run: %v", err)
			f.mu.Unlock()
		}
	}()
}

// depose takes the leadership from the leader. It may linger: it goes on calling agents for a second.
func (f *fleet) depose(linger bool) {
	f.mu.Lock()
	s := f.leader
	f.leader = nil
	f.mu.Unlock()
	if s == nil {
		return
	}
	f.mu.Lock()
	f.note("the leader is deposed, lingers: %v", linger)
	s.deposed, s.dead = true, !linger
	f.mu.Unlock()
	f.all.Go(func() {
		if linger {
			sleep(f.ctx, time.Second)
		}
		s.cancel()
		<-s.done
	})
	f.all.Go(func() {
		if sleep(f.ctx, 2*time.Second) {
			f.elect()
		}
	})
}

var errGone = wire.Errorf(wire.Unavailable, "this coordinator is gone")

// boundary lets happen what is to happen at this point of the walk.
func (s *seat) boundary() error {
	s.f.mu.Lock()
	s.f.count++
	hook := s.f.hooks[s.f.count]
	s.f.mu.Unlock()
	if hook != nil {
		hook()
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.dead {
		return errGone
	}
	return nil
}

func (s *seat) propose(ctx context.Context, id, by string, body proto.Body) (proto.Result, error) {
	if err := s.boundary(); err != nil {
		return proto.Result{}, err
	}
	sleep(ctx, 5*time.Millisecond)
	s.f.mu.Lock()
	if s.deposed || !s.f.quorum || ctx.Err() != nil {
		s.f.mu.Unlock()
		sleep(ctx, time.Second)
		return proto.Result{}, errGone
	}
	r := s.f.apply(id, by, body)
	s.f.mu.Unlock()
	return r, s.boundary()
}

func (s *seat) verify() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.deposed || !s.f.quorum {
		return errGone
	}
	return nil
}

func (s *seat) call(ctx context.Context, host, method string, body []byte) ([]byte, error) {
	if method == proto.MethodOperate {
		if err := s.boundary(); err != nil {
			return nil, err
		}
	}
	a := s.f.agents[host]
	sleep(ctx, 5*time.Millisecond)
	answer, err := a.serve(ctx, method, body)
	if err != nil {
		return nil, err
	}
	if method == proto.MethodOperate {
		if err := s.boundary(); err != nil {
			return nil, err
		}
	}
	return proto.Marshal(answer)
}

// adopt has instance i adopted on host a.
func (f *fleet) adopt() {
	f.must(&proto.InstanceApply{Spec: spec(), Envelope: open(40)})
	f.await("adopted", time.Minute, func(v *state.View) bool {
		i, _ := v.Instance("i")
		return i.State == proto.InstanceRunning
	})
}

func spec() proto.InstanceSpec {
	return proto.InstanceSpec{
		Name: "i", Driver: "service", Service: &proto.ServiceSpec{Unit: "i.service", Data: []string{"/var/lib/i"}},
		Host: "a", Type: "small", Class: proto.Critical, Mode: proto.Enforce,
	}
}

func open(n int64) proto.Envelope {
	return proto.Envelope{{Span: timeline.Span{Start: 0, End: timeline.Forever}, Firm: resource.Uniform(n)}}
}

// plan is a plan to move i to a host, as it is now.
func (f *fleet) plan(target, toType string) proto.Plan {
	i, _ := f.view().Instance("i")
	now := timeline.Of(time.Now())
	return proto.Plan{
		Instance: "i", Source: i.Owner, Target: target, FromType: i.Spec.Type, ToType: toType, Fence: i.Fence, MadeAt: now, Rate: 80_000_000,
		Phases:   []proto.PlanPhase{{Phase: proto.PhaseWarm, Span: timeline.Span{Start: now, End: now.Add(warmTime)}}},
		Profile:  []proto.PlanStep{{Span: timeline.Span{Start: now, End: now.Add(time.Hour)}, Allocation: resource.Uniform(7)}},
		Duration: 10_000, Downtime: 2_000, Bytes: 80 << 20, Rounds: 2,
	}
}

// move begins a migration of i.
func (f *fleet) move(id, target, toType string) {
	f.must(&proto.MigrationStart{ID: id, Plan: f.plan(target, toType), Reservation: proto.Reservation{
		ID: id + "/target", Envelope: open(45), Until: timeline.Of(time.Now()).Add(time.Hour),
	}})
}

func (f *fleet) migration(id string) proto.Migration {
	m, _ := f.view().Migration(id)
	return m
}

// await lets time pass until something holds.
func (f *fleet) await(what string, most time.Duration, holds func(*state.View) bool) bool {
	for end := time.Now().Add(most); !holds(f.view()); {
		if time.Now().After(end) {
			f.mu.Lock()
			f.problem("after %s it is not so: %s", most, what)
			f.mu.Unlock()
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
	return true
}

func (f *fleet) ended(id string, most time.Duration) bool {
	return f.await("migration "+id+" has ended", most, func(v *state.View) bool {
		m, _ := v.Migration(id)
		return m.Phase == proto.PhaseEnded
	})
}

// serving returns the hosts that serve clients, sorted.
func (f *fleet) serving() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var on []string
	for _, a := range f.agents {
		if a.running && a.announced {
			on = append(on, a.name)
		}
	}
	slices.Sort(on)
	return on
}

// settled holds what must be so when everything has ended: one host serves, nothing was lost, nothing is left elsewhere.
func (f *fleet) settled() {
	time.Sleep(15 * time.Second) // what was killed comes back
	on := f.serving()
	i, _ := f.view().Instance("i")
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(on) != 1 || on[0] != i.Owner {
		f.problem("OneOwner: %v serve at the end, %s is the owner", on, i.Owner)
		return
	}
	if got := f.agents[i.Owner].written; got != f.acked {
		f.problem("NothingLost: %d of %d writes are there at the end", got, f.acked)
	}
	for _, a := range f.agents {
		if a.name == i.Owner {
			continue
		}
		if s := a.record.state; a.present || a.written > 0 || s != proto.FenceNone && s != proto.FenceRetired {
			f.problem("NothingLeaks: host %s is left %q, present %v, %d writes", a.name, s, a.present, a.written)
		}
		if _, held := f.tables.View().ReservationOf("i", a.name); held {
			f.problem("NothingLeaks: a reservation is left on %s", a.name)
		}
	}
	if len(slices.Collect(f.tables.View().ActiveMigrations())) > 0 {
		f.problem("a migration is still active")
	}
}

// close ends everything and reports what was wrong.
func (f *fleet) close() []string {
	f.mu.Lock()
	leader := f.leader
	f.mu.Unlock()
	f.stop()
	if leader != nil {
		<-leader.done
	}
	f.all.Wait()
	for _, a := range f.agents {
		a.lives.Wait()
	}
	return f.problems
}

// report fails the test with the whole story if anything was wrong.
func (f *fleet) report(t testing.TB, context string) {
	t.Helper()
	if problems := f.close(); len(problems) > 0 {
		t.Errorf("%s:\n%s\n%s", context, strings.Join(problems, "\n"), strings.Join(f.story, "\n"))
	}
}
