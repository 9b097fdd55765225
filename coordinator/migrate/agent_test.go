package migrate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// agent is a host as a model: its ownership record, what runs and is announced there, and what lies on its disk. Fields
// that are not said to be durable are gone when it is killed. All are guarded by fleet.mu.
type agent struct {
	f    *fleet
	name string

	record    record                     // durable
	begun     map[string]proto.Operation // durable: operations without a result
	results   map[string]proto.OperationResult
	running   bool // a process: outlives the agent, not the host
	announced bool
	written   int  // durable: writes that are in its copy of the data
	present   bool // durable: something of an instance is on the host: drop-in, data

	cut    bool // from the coordinators and the other host
	mute   bool // does not ask for permits
	deaf   bool // does not say what it holds
	down   bool
	life   context.Context
	end    context.CancelFunc
	lives  sync.WaitGroup
	active map[string]*action
	turn   chan struct{}
	beside chan struct{} // the place that hooks run at

	full   bool                                   // has no room for a second copy of the data
	faults map[proto.OperationKind][]*proto.Fault // that the next operations of a kind end in
	slow   map[proto.OperationKind]time.Duration  // how long operations of a kind take
	stuck  proto.OperationKind                    // a kind of transfer that does not move
}

type action struct {
	op       proto.Operation
	cancel   context.CancelFunc
	done     chan struct{}
	result   *proto.OperationResult // nil when the agent was killed
	progress proto.Progress
}

// lessRunning are the operations that an agent finishes on its own when it comes back.
func lessRunning(op proto.Operation) bool {
	k := op.Kind
	return k == proto.OpFreeze || k == proto.OpRefuse || k == proto.OpCleanTarget || k == proto.OpRetire || k == proto.OpHook && op.Hook.LessRunning()
}

// wake begins a life of the agent. f.mu is held.
func (a *agent) wake(rebooted bool) {
	a.down = false
	a.life, a.end = context.WithCancel(a.f.ctx)
	a.active, a.turn, a.beside = map[string]*action{}, make(chan struct{}, 1), make(chan struct{}, 1)
	if rebooted || !time.Now().Before(a.record.permit) {
		a.record = a.record.expire()
	}
	a.running = a.record.state == proto.FenceOwner || a.record.state == proto.FenceStarting && a.running
	a.announced = a.record.state == proto.FenceOwner
	life := a.life
	a.lives.Go(func() { a.keepPermit(life) })
	for id, op := range a.begun {
		if lessRunning(op) {
			a.begin(op)
		} else {
			delete(a.begun, id)
		}
	}
}

// kill ends the agent's life as kill -9 does; with the host its processes die, too. It comes back after a while.
func (a *agent) kill(host bool, back time.Duration) {
	a.f.mu.Lock()
	if a.down {
		a.f.mu.Unlock()
		return
	}
	a.down = true
	a.end()
	if host {
		a.running, a.announced = false, false
	}
	a.f.mu.Unlock()
	a.f.all.Go(func() {
		if !sleep(a.f.ctx, back) {
			return
		}
		a.lives.Wait()
		a.f.mu.Lock()
		defer a.f.mu.Unlock()
		a.wake(host)
	})
}

// fail makes the next operations of a kind end in a fault.
func (a *agent) fail(k proto.OperationKind, code string, times int) {
	for range times {
		a.faults[k] = append(a.faults[k], &proto.Fault{Code: code, What: "by test"})
	}
}

func (a *agent) reached() bool { return !a.cut && !a.down }

// serve answers a call from the coordinators.
func (a *agent) serve(ctx context.Context, method string, body []byte) (any, error) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	if a.cut {
		a.f.mu.Unlock()
		<-ctx.Done()
		a.f.mu.Lock()
		return nil, context.Cause(ctx)
	}
	if a.down {
		return nil, wire.Errorf(wire.Unavailable, "the agent of %s has no session", a.name)
	}
	switch method {
	case proto.MethodOperate:
		var op proto.Operation
		if err := proto.Unmarshal(body, &op); err != nil {
			return nil, wire.Errorf(wire.Invalid, "%w", err)
		}
		return a.operate(ctx, op)
	case proto.MethodProgress, proto.MethodCancel:
		var ref proto.OperationRef
		if err := proto.Unmarshal(body, &ref); err != nil {
			return nil, wire.Errorf(wire.Invalid, "%w", err)
		}
		act := a.active[ref.ID]
		switch {
		case method == proto.MethodCancel && act != nil:
			act.cancel()
		case method == proto.MethodProgress && act == nil:
			return nil, wire.Errorf(wire.NotFound, "operation %q does not run here", ref.ID)
		case method == proto.MethodProgress:
			return act.progress, nil
		}
		return struct{}{}, nil
	case proto.MethodHoldings:
		if a.deaf {
			return nil, wire.Errorf(wire.Unavailable, "the agent of %s is too busy", a.name)
		}
		var h proto.Holdings
		if a.record.state != proto.FenceNone {
			h.Holdings = []proto.Holding{{
				Instance: "i", Incarnation: a.record.token.incarnation, Fence: a.record.token.fence, State: a.record.state,
				Running: a.running, Migration: a.record.migration,
			}}
		}
		return h, nil
	}
	return nil, wire.Errorf(wire.NotFound, "no method %s", method)
}

// operate joins an operation, begins it, or repeats its result. f.mu is held.
func (a *agent) operate(ctx context.Context, op proto.Operation) (any, error) {
	if r, ended := a.results[op.ID]; ended {
		a.f.repeats++
		return r, nil
	}
	act := a.active[op.ID]
	if act == nil {
		act = a.begin(op)
	}
	a.f.mu.Unlock()
	defer a.f.mu.Lock()
	select {
	case <-act.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	a.f.mu.Lock()
	lost := a.cut || act.result == nil
	a.f.mu.Unlock()
	if lost {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return *act.result, nil
}

// begin starts an operation; one of them runs at a time. f.mu is held.
func (a *agent) begin(op proto.Operation) *action {
	ctx, cancel := context.WithCancel(a.life)
	act := &action{op: op, cancel: cancel, done: make(chan struct{}), progress: proto.Progress{ID: op.ID, Stage: string(op.Kind)}}
	a.active[op.ID] = act
	a.begun[op.ID] = op
	turn, life := a.turn, a.life
	if op.Kind == proto.OpHook {
		turn = a.beside
	}
	a.lives.Go(func() {
		defer cancel()
		defer close(act.done)
		select {
		case turn <- struct{}{}:
		case <-life.Done():
			return
		}
		defer func() { <-turn }()
		result, err := a.do(ctx, act)
		a.f.mu.Lock()
		defer a.f.mu.Unlock()
		if life.Err() != nil {
			return // killed: nobody hears of it
		}
		result.ID, result.Error = op.ID, err
		act.result = &result
		a.results[op.ID] = result
		delete(a.begun, op.ID)
		delete(a.active, op.ID)
	})
	return act
}

// takes lets time pass; it returns a fault when the operation is cut short.
func (a *agent) takes(ctx context.Context, d time.Duration) *proto.Fault {
	if !sleep(ctx, d) {
		return &proto.Fault{Code: proto.FaultFailed, What: "it was stopped"}
	}
	return nil
}

// do carries an operation out. Each takes a while between its record and its effect, in which anything may happen.
func (a *agent) do(ctx context.Context, act *action) (r proto.OperationResult, fault *proto.Fault) {
	op := act.op
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	wait := func(d time.Duration) {
		a.f.mu.Unlock()
		defer a.f.mu.Lock()
		if f := a.takes(ctx, d); fault == nil {
			fault = f
		}
	}
	a.f.note("%s begins %s", a.name, op.ID)
	defer func() { a.f.note("%s ends %s: %v", a.name, op.ID, fault) }()
	if op.Kind == proto.OpHook {
		return r, a.hook(ctx, op)
	}
	if list := a.faults[op.Kind]; len(list) > 0 {
		a.faults[op.Kind] = list[1:]
		fault = list[0]
	}
	length := 300 * time.Millisecond
	if d, ok := a.slow[op.Kind]; ok {
		length = d
	}
	switch op.Kind {
	case proto.OpVerifySource:
		wait(length)
		if fault == nil && a.record.state != proto.FenceOwner {
			fault = refused()
		}
		return proto.OperationResult{Source: &proto.SourceFacts{Unit: "i.service", DataBytes: 64 << 20}}, fault
	case proto.OpVerifyTarget:
		wait(length)
		if s := a.record.state; fault == nil && s != proto.FenceNone && s != proto.FenceRetired && s != proto.FenceRefused {
			fault = refused()
		}
		return r, fault
	case proto.OpSyncRound, proto.OpFinalSync:
		return a.sync(ctx, act, length, fault)
	case proto.OpStart:
		return a.start(ctx, act, length, fault)
	case proto.OpThaw:
		if fault == nil {
			a.record, fault = a.record.change(op, time.Now())
		}
		if fault == nil {
			if wait(length); fault == nil {
				a.running, a.announced = true, true
			}
		}
		return r, fault
	}
	if op.Kind == proto.OpRetire && op.Facts != nil && a.full && a.record.state == proto.FenceFrozen {
		wait(length)
		return r, &proto.Fault{Code: proto.FaultRefused, What: "it has no room for both"}
	}
	// The others make their record first. A fault that was asked for comes after it, in the middle of the work.
	next, no := a.record.change(op, time.Now())
	if no != nil {
		return r, no
	}
	a.record = next
	if wait(length); fault != nil {
		return r, fault
	}
	switch op.Kind {
	case proto.OpAdopt:
		a.running, a.announced, a.present = true, true, true
		r.Adopt = &proto.AdoptResult{Companions: []string{"i.socket"}, Running: true}
	case proto.OpPrepareTarget:
		a.present = true
	case proto.OpFreeze, proto.OpRefuse:
		a.running, a.announced = false, false
	case proto.OpConfirm:
		a.running, a.announced = true, true
	case proto.OpRetire:
		a.running, a.announced, a.present, a.written = false, false, false, 0
	case proto.OpCleanTarget:
		if a.record.state == proto.FenceNone || a.record.state == proto.FenceRetired {
			a.running, a.announced, a.present, a.written = false, false, false, 0
		}
	case proto.OpRelease:
		a.present = false
	}
	return r, nil
}

// hook runs the instance's hooks of a point: it notes them, with who serves clients then. Faults and slowness are asked for by the point. f.mu is held.
func (a *agent) hook(ctx context.Context, op proto.Operation) (fault *proto.Fault) {
	c := op.Hook
	key := proto.OperationKind(c.Point)
	if (token{op.Incarnation, op.Fence}).compare(a.record.token) < 0 || a.record.state == proto.FenceNone {
		return refused()
	}
	if got := op.Spec.Hooks.Run(c.Point, c.Side); len(got) == 0 {
		a.f.problem("host %s was asked for hooks that there are none of: %+v", a.name, *c)
	}
	var on []string
	for _, other := range a.f.agents {
		if other.running && other.announced {
			on = append(on, other.name)
		}
	}
	a.f.ran = append(a.f.ran, ranHook{op.Migration, c.Point, c.Side, a.name, strings.Join(on, " "), *c, a.f.agents[c.Target].record.state, time.Now()})
	if list := a.faults[key]; len(list) > 0 {
		a.faults[key] = list[1:]
		fault = list[0]
	}
	a.f.mu.Unlock()
	defer a.f.mu.Lock()
	if f := a.takes(ctx, max(a.slow[key], 100*time.Millisecond)); f != nil {
		return f
	}
	return fault
}

// sync sends a round to the target. It waits for a target that is not there. f.mu is held.
func (a *agent) sync(ctx context.Context, act *action, length time.Duration, fault *proto.Fault) (r proto.OperationResult, _ *proto.Fault) {
	op := act.op
	want := proto.FenceOwner
	if op.Kind == proto.OpFinalSync {
		want = proto.FenceFrozen
	}
	if a.record.state != want || (token{op.Incarnation, op.Fence}).compare(a.record.token) < 0 {
		return r, refused()
	}
	peer := a.f.agents[op.Peer.Host]
	for left := length; left > 0; {
		a.f.mu.Unlock()
		f := a.takes(ctx, 100*time.Millisecond)
		a.f.mu.Lock()
		if f != nil {
			return r, f
		}
		if a.reached() && peer.reached() && a.stuck != op.Kind {
			left -= 100 * time.Millisecond
			act.progress.Bytes += 1 << 20
		}
	}
	if fault != nil {
		return r, fault
	}
	if peer.record.state != proto.FenceTarget || peer.record.migration != op.Migration {
		return r, &proto.Fault{Code: proto.FaultFailed, What: "the target does not receive"}
	}
	peer.written = a.written
	changed := int64(64<<20) >> (2 * min(op.Round, 4))
	r.Round = &proto.RoundResult{Bytes: changed, Changed: changed, Total: 64 << 20}
	return r, nil
}

// start runs the instance under a permit. f.mu is held.
func (a *agent) start(ctx context.Context, act *action, length time.Duration, fault *proto.Fault) (r proto.OperationResult, _ *proto.Fault) {
	op := act.op
	asked := time.Now()
	permit := asked.Add(time.Second)
	if a.record.state == proto.FenceTarget {
		if _, no := a.record.start(op, permit, asked); no != nil {
			return r, no
		}
		reply, err := a.ask(ctx, op.Incarnation, op.Fence, op.Migration)
		if err != nil {
			return r, &proto.Fault{Code: proto.FaultFailed, What: "no permit: " + err.Error()}
		}
		permit = asked.Add(time.Duration(reply.Milliseconds) * time.Millisecond)
	}
	next, no := a.record.start(op, permit, time.Now())
	if no != nil {
		return r, no
	}
	a.record = next
	a.running = true
	for left := length; left > 0; left -= 100 * time.Millisecond {
		a.f.mu.Unlock()
		f := a.takes(ctx, 100*time.Millisecond)
		a.f.mu.Lock()
		if f != nil {
			return r, f
		}
		if s := a.record.state; s != proto.FenceStarting && s != proto.FenceOwner {
			return r, refused()
		}
	}
	if fault != nil {
		return r, fault
	}
	r.Start = &proto.StartResult{HealthyAfter: length.Milliseconds()}
	return r, nil
}

// ask asks the leader for a permit. f.mu is held.
func (a *agent) ask(ctx context.Context, incarnation, fence uint64, migration string) (proto.PermitReply, error) {
	leader, there := a.f.leader, a.reached() && !a.mute
	a.f.mu.Unlock()
	defer a.f.mu.Lock()
	if !there || leader == nil {
		sleep(ctx, 3*time.Second)
		return proto.PermitReply{}, fmt.Errorf("no coordinator is reached")
	}
	return leader.exec.Permit(ctx, proto.HostPermit{Host: a.name, Request: proto.PermitRequest{
		Instance: "i", Migration: migration, Incarnation: incarnation, Fence: fence,
	}})
}

// keepPermit renews the permit of what is starting, and stops it when it is over. What runs although it may not, because
// stopping it failed, is stopped again after a while.
func (a *agent) keepPermit(life context.Context) {
	next := time.Time{}
	for n := 0; sleep(life, 500*time.Millisecond); n++ {
		a.f.mu.Lock()
		if s := a.record.state; n%10 == 9 && s != proto.FenceOwner && s != proto.FenceStarting && s != proto.FenceNone && len(a.active) == 0 {
			a.running, a.announced = false, false
		}
		if r := a.record; r.state == proto.FenceStarting {
			asked := time.Now()
			switch {
			case !asked.Before(r.permit):
				a.expire("its permit is over")
			case !asked.Before(next):
				reply, err := a.ask(life, r.token.incarnation, r.token.fence, r.migration)
				switch {
				case a.record.token != r.token || a.record.state != r.state || err != nil:
				case reply.Milliseconds <= 0:
					a.expire(reply.Reason)
				default:
					next = asked.Add(5 * time.Second)
					a.record.permit = asked.Add(time.Duration(reply.Milliseconds) * time.Millisecond)
				}
			}
		} else {
			next = time.Time{}
		}
		a.f.mu.Unlock()
	}
}

func (a *agent) expire(why string) {
	a.f.note("%s stops: %s", a.name, why)
	a.record = a.record.expire()
	a.running, a.announced = false, false
}
