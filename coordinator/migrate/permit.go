package migrate

import (
	"context"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

const (
	// permitLength is how long a permit lasts, by the agent's clock and from when it asked.
	permitLength = 15 * time.Second
	// permitOver is how long after the last permit was answered nobody can be running under it. It is longer than
	// permitLength by what two clocks may differ in their pace, and an agent may be late in stopping.
	permitOver = 20 * time.Second
	// permitFresh is how old the last permit may be when the target is confirmed, so that the word reaches it in time.
	permitFresh = 8 * time.Second
)

// Permit answers whether a target may go on running the instance that is starting there. A host that may not is refused
// for good; what can't be told now is an error of code not_leader or unavailable, after which the agent asks again.
func (e *Executor) Permit(_ context.Context, p proto.HostPermit) (proto.PermitReply, error) {
	if !e.leads() {
		return proto.PermitReply{}, wire.NotLeaderError("")
	}
	// Whoever asked did so before this: however late the answer, its permit counts from then, when no other leader
	// could have been elected yet.
	if err := e.cfg.VerifyLeader(); err != nil {
		return proto.PermitReply{}, wire.Errorf(wire.Unavailable, "no permit for instance %s: a majority of the coordinators must reach the leader: %w", p.Request.Instance, err)
	}
	// Under the lock: an abort that is applied after this look finds the permit in granted.
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.leading {
		return proto.PermitReply{}, wire.NotLeaderError("")
	}
	view := e.cfg.View()
	r := p.Request
	if own := view.Fleet().Incarnation; r.Incarnation != own {
		return proto.PermitReply{}, wire.Errorf(wire.Unavailable, "instance %s was decided on in incarnation %d of the control plane, this is %d", r.Instance, r.Incarnation, own)
	}
	m, _ := view.Migration(r.Migration)
	i, _ := view.Instance(r.Instance)
	if r.Fence > i.Fence && i.Fence > 0 {
		return proto.PermitReply{}, wire.Errorf(wire.Unavailable, "fence %d of instance %s is not known here yet", r.Fence, r.Instance)
	}
	if why := mayStart(m, i, p); why != "" {
		return proto.PermitReply{Reason: why}, nil
	}
	e.granted[m.ID] = time.Now()
	return proto.PermitReply{Milliseconds: permitLength.Milliseconds()}, nil
}

// mayStart returns why the host may not run the instance under the commit that it names; "" if it may. It may until its
// own confirmation has reached it, which it does not ask after.
func mayStart(m proto.Migration, i proto.Instance, p proto.HostPermit) string {
	r := p.Request
	switch {
	case m.ID == "" || m.Instance != r.Instance || i.Name() != r.Instance:
		return fmt.Sprintf("there is no migration %s of instance %s", r.Migration, r.Instance)
	case !m.Active():
		return fmt.Sprintf("migration %s has ended: %s", m.ID, m.Outcome)
	case m.Phase == proto.PhaseUndo:
		return fmt.Sprintf("migration %s is being undone: %s", m.ID, m.Reason)
	case m.Target != p.Host || i.Owner != p.Host:
		return fmt.Sprintf("instance %s is to run on %s", r.Instance, i.Owner)
	case i.State != proto.InstanceStarting && i.State != proto.InstanceRunning:
		return fmt.Sprintf("instance %s is %s", r.Instance, i.State)
	case committed(m) != r.Fence:
		return fmt.Sprintf("instance %s was committed to %s under fence %d, not %d", r.Instance, m.Target, committed(m), r.Fence)
	}
	return ""
}

// committed returns the fence under which a migration's target may run the instance; 0 when it may not.
func committed(m proto.Migration) uint64 {
	for _, d := range m.Decisions {
		if d.Kind == proto.DecideCommit {
			return d.Fence
		}
	}
	return 0
}

func (e *Executor) leads() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leading
}

// lastPermit returns when a migration's target was last given a permit by this leader; zero if it was not.
func (e *Executor) lastPermit(migration string) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.granted[migration]
}

// permitsOver returns when no permit of a migration can hold any more, if none is given from now on. What the leader
// before this one gave is not known; it gave none after this one began.
func (e *Executor) permitsOver(migration string) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.since
	if g := e.granted[migration]; g.After(last) {
		last = g
	}
	return last.Add(permitOver)
}
