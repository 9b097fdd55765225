package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// mover is a host's agent: it keeps a session with whichever coordinator is there, carries each operation out once, at once or when the test lets
// it, and answers whoever asks for it again. Its record of ownership is followed as far as operations go well.
type mover struct {
	host  string
	addrs []string
	creds *pki.Credentials
	held  map[proto.OperationKind]*held

	mu      sync.Mutex
	session *wire.Session
	record  proto.Holding
	begun   map[string]*deed // by identifier of the operation
	wrong   []string
}

// held is an operation that waits for the test.
type held struct {
	once          sync.Once
	arrived, open chan struct{}
}

// deed is an operation that was begun.
type deed struct {
	kind   proto.OperationKind
	asked  int           // how often it was asked for
	done   chan struct{} // closed when result is there
	result proto.OperationResult
}

// startMover starts the agent of a host, which ends with the test. The first operation of each kind in hold waits for the test.
func startMover(t *testing.T, host string, record proto.Holding, hold []proto.OperationKind, all ...*member) *mover {
	t.Helper()
	node, err := all[0].ca.Issue(pki.Agent, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a := &mover{host: host, record: record, held: map[proto.OperationKind]*held{}, begun: map[string]*deed{}}
	if a.creds, err = node.Credentials(); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		a.addrs = append(a.addrs, m.cfg.RPC.Address())
	}
	for _, k := range hold {
		a.held[k] = &held{arrived: make(chan struct{}), open: make(chan struct{})}
	}
	ctx, stop := context.WithCancel(context.Background())
	var life sync.WaitGroup
	life.Go(func() { a.live(ctx, &life) })
	t.Cleanup(func() {
		stop()
		life.Wait()
		for _, what := range a.wrong {
			t.Errorf("%s: %s", host, what)
		}
	})
	return a
}

// live keeps a session until ctx ends.
func (a *mover) live(ctx context.Context, life *sync.WaitGroup) {
	mux := wire.NewMux()
	rpc.Handle(mux, proto.MethodHoldings, func(context.Context, wire.Peer, rpc.Empty) (proto.Holdings, error) {
		return proto.Holdings{Holdings: a.holdings()}, nil
	})
	rpc.Handle(mux, proto.MethodDocument, func(_ context.Context, _ wire.Peer, d proto.Document) (proto.DocumentVersion, error) {
		return d.Version, nil
	})
	rpc.Handle(mux, proto.MethodProgress, func(_ context.Context, _ wire.Peer, ref proto.OperationRef) (proto.Progress, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.begun[ref.ID] == nil {
			return proto.Progress{}, wire.Errorf(wire.NotFound, "operation %q does not run here", ref.ID)
		}
		return proto.Progress{ID: ref.ID}, nil
	})
	rpc.Handle(mux, proto.MethodOperate, func(called context.Context, _ wire.Peer, op proto.Operation) (proto.OperationResult, error) {
		a.mu.Lock()
		d := a.begun[op.ID]
		if d == nil && ctx.Err() == nil {
			d = &deed{kind: op.Kind, done: make(chan struct{})}
			a.begun[op.ID] = d
			life.Go(func() {
				defer close(d.done)
				d.result = a.carryOut(ctx, life, op)
			})
		}
		if d != nil {
			d.asked++
		}
		a.mu.Unlock()
		if d == nil {
			return proto.OperationResult{}, wire.Errorf(wire.Unavailable, "the agent is stopping")
		}
		select {
		case <-d.done:
			return d.result, nil
		case <-called.Done():
			return proto.OperationResult{}, context.Cause(called)
		}
	})
	for n := 0; ctx.Err() == nil; n++ {
		conn, _, err := wire.Dial(ctx, a.addrs[n%len(a.addrs)], wire.RPC, a.creds, pki.Want{Kind: pki.Coordinator})
		if err == nil {
			s := wire.NewSession(conn, true, wire.Options{Mux: mux})
			a.mu.Lock()
			a.session = s
			a.mu.Unlock()
			_, err = rpc.Call[proto.HelloReply](ctx, s, proto.MethodHello, proto.Hello{
				Version: proto.Version, Instances: a.holdings(),
				Facts: proto.HostFacts{Name: a.host, MachineID: a.host, Capacity: resource.Uniform(100), Allocatable: resource.Uniform(100)},
			})
			if err == nil {
				select {
				case <-s.Done():
				case <-ctx.Done():
				}
			}
			s.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (a *mover) holdings() []proto.Holding {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.record.State == proto.FenceNone {
		return nil
	}
	return []proto.Holding{a.record}
}

// carryOut does what an operation says. What a source holds when it is asked for its last round, and a target when it is confirmed, is checked.
func (a *mover) carryOut(ctx context.Context, life *sync.WaitGroup, op proto.Operation) proto.OperationResult {
	r := proto.OperationResult{ID: op.ID}
	become := func(s proto.FenceState) {
		a.record = proto.Holding{Instance: op.Instance, Incarnation: op.Incarnation, Fence: op.Fence, State: s, Migration: op.Migration, Running: s == proto.FenceOwner || s == proto.FenceStarting}
	}
	if op.Kind == proto.OpStart {
		a.mu.Lock()
		become(proto.FenceStarting)
		a.mu.Unlock()
		life.Go(func() { a.keepPermit(ctx, op) })
	}
	if h := a.held[op.Kind]; h != nil {
		h.once.Do(func() { close(h.arrived) })
		select {
		case <-h.open:
		case <-ctx.Done():
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch op.Kind {
	case proto.OpAdopt: // by a leader who has not seen yet that it is adopted
		r.Adopt = &proto.AdoptResult{Running: true}
	case proto.OpVerifySource:
		r.Source = &proto.SourceFacts{Unit: "i.service", DataBytes: 64 << 20}
	case proto.OpPrepareTarget:
		become(proto.FenceTarget)
	case proto.OpSyncRound:
		r.Round = &proto.RoundResult{Bytes: 1 << 20, Changed: 1 << 20, Total: 64 << 20}
	case proto.OpFreeze:
		become(proto.FenceFrozen)
	case proto.OpFinalSync:
		if a.record.State != proto.FenceFrozen {
			a.wrong = append(a.wrong, fmt.Sprintf("the last round is sent while it is %q", a.record.State))
		}
		r.Round = &proto.RoundResult{Bytes: 1, Changed: 1, Total: 64 << 20}
	case proto.OpStart:
		r.Start = &proto.StartResult{HealthyAfter: 1}
	case proto.OpConfirm:
		if a.record.State != proto.FenceStarting {
			a.wrong = append(a.wrong, fmt.Sprintf("it is confirmed while it is %q", a.record.State))
		}
		become(proto.FenceOwner)
	case proto.OpRetire:
		become(proto.FenceRetired)
	case proto.OpVerifyTarget:
	default:
		a.wrong = append(a.wrong, "it was asked for "+op.ID)
	}
	return r
}

// keepPermit asks for a permit every second for as long as the instance is starting, by way of whichever coordinator it has a session with.
func (a *mover) keepPermit(ctx context.Context, op proto.Operation) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		a.mu.Lock()
		starting, session := a.record.State == proto.FenceStarting, a.session
		a.mu.Unlock()
		if !starting {
			return
		}
		limited, cancel := context.WithTimeout(ctx, 3*time.Second)
		reply, err := rpc.Call[proto.PermitReply](limited, session, proto.MethodPermit, proto.PermitRequest{
			Instance: op.Instance, Migration: op.Migration, Incarnation: op.Incarnation, Fence: op.Fence,
		})
		cancel()
		if err == nil && reply.Milliseconds <= 0 {
			a.mu.Lock()
			a.wrong = append(a.wrong, "it was refused a permit: "+reply.Reason)
			a.mu.Unlock()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// asked returns how often operations of a kind were asked for.
func (a *mover) asked(k proto.OperationKind) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, d := range a.begun {
		if d.kind == k {
			n += d.asked
		}
	}
	return n
}

func arrives(t *testing.T, h *held, what proto.OperationKind) {
	t.Helper()
	select {
	case <-h.arrived:
	case <-time.After(time.Minute):
		t.Fatalf("%s is not asked for", what)
	}
}

// move starts migration m of the instance that adopted made, from a to b.
func move(ctx context.Context, by *member, i proto.Instance) error {
	now := timeline.Of(time.Now())
	open := proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(40)}}
	return by.do(ctx, "test", &proto.MigrationStart{
		ID: "m",
		Plan: proto.Plan{
			Instance: "i", Source: "a", Target: "b", FromType: "small", ToType: "small", Fence: i.Fence, MadeAt: now, Rate: 80_000_000,
			Phases:  []proto.PlanPhase{{Phase: proto.PhaseWarm, Span: timeline.Span{Start: now, End: now.Add(time.Millisecond)}}},
			Profile: []proto.PlanStep{{Span: timeline.Span{Start: now, End: now.Add(time.Hour)}, Allocation: resource.Uniform(7)}},
		},
		Reservation: proto.Reservation{ID: "m/target", Envelope: open, Until: now.Add(time.Hour)},
	})
}

// Each coordinator leads, is restarted while an operation runs, and is back before the next one goes: in prepare, copy and switch. The one that
// leads then asks for the operation again, by its name, and the migration goes on while the other is away.
func TestAMigrationGoesOnWhileEachCoordinatorIsRestarted(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	all, made, _ := three(t)
	c, ctx := connect(t, made, all...), context.Background()
	i := adopted(t, all[0])
	hold := []proto.OperationKind{proto.OpPrepareTarget, proto.OpSyncRound, proto.OpStart}
	source := startMover(t, "a", proto.Holding{Instance: "i", Incarnation: 1, Fence: i.Fence, State: proto.FenceOwner, Running: true}, hold, all...)
	target := startMover(t, "b", proto.Holding{}, hold, all...)
	agents := []*mover{target, source, target}
	if err := move(ctx, all[0], i); err != nil {
		t.Fatal(err)
	}

	phase := func(want proto.Phase) {
		t.Helper()
		eventually(t, "it comes to "+string(want), func() error {
			var m v1.MigrationStatus
			err := c.Call(ctx, "GET", "/v1/migrations/m", nil, &m)
			if err == nil && m.Phase != want {
				err = fmt.Errorf("it is in %s (%s %s)", m.Phase, m.Outcome, m.Reason)
			}
			return err
		})
	}
	arrives(t, target.held[hold[0]], hold[0])
	for n, m := range all {
		agent, h := agents[n], agents[n].held[hold[n]]
		eventually(t, m.cfg.Name+" leads", func() error {
			if m.consensus.IsLeader() {
				return nil
			}
			return errors.Join(errors.New("it does not"), c.Call(ctx, "POST", "/v1/raft/leader", v1.TransferRequest{To: m.cfg.Name}, nil))
		})
		before := agent.asked(hold[n])
		m.end(t)
		eventually(t, "another leader asks for what runs", func() error {
			if agent.asked(hold[n]) == before {
				return fmt.Errorf("%s was asked for %d times", hold[n], before)
			}
			return nil
		})
		close(h.open)
		if n+1 < len(hold) {
			arrives(t, agents[n+1].held[hold[n+1]], hold[n+1]) // with one of three away
		} else {
			phase(proto.PhaseSettle)
		}
		all[n] = start(t, m.cfg)
		voters(t, c, 3)
		eventually(t, m.cfg.Name+" has caught up", func() error {
			most := slices.MaxFunc(all, func(a, b *member) int { return int(a.tables.View().Applied()) - int(b.tables.View().Applied()) })
			if most.tables.View().Applied() > all[n].tables.View().Applied() {
				return errors.New("it has not")
			}
			return nil
		})
	}
	if err := c.Call(ctx, "POST", "/v1/migrations/m/complete", v1.CompleteRequest{Reason: "all is well"}, nil); err != nil {
		t.Fatal(err)
	}
	phase(proto.PhaseEnded)
	eventually(t, "all coordinators know", func() error {
		for _, member := range all {
			if m, _ := member.tables.View().Migration("m"); m.Outcome != proto.OutcomeCompleted {
				return fmt.Errorf("on %s it is %s: %s", member.cfg.Name, m.Outcome, m.Reason)
			}
		}
		return nil
	})
	// Whoever led asked for the same: none was begun anew.
	m, _ := all[0].tables.View().Migration("m")
	times := map[string]int{}
	for _, o := range m.Operations {
		what := fmt.Sprintf("%s %d", o.Kind, o.Round)
		if times[what]++; times[what] > 1 {
			t.Errorf("%s was begun again on %s", what, o.Host)
		}
	}
	if got := []proto.FenceState{source.holdings()[0].State, target.holdings()[0].State}; !slices.Equal(got, []proto.FenceState{proto.FenceRetired, proto.FenceOwner}) {
		t.Errorf("in the end the source and the target hold it as %q", got)
	}
}
