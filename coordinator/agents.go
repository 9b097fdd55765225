package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/history"
	"github.com/glidepath/glidepath/coordinator/leader"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// agentMethods returns what agents may call. An agent speaks only of its own host: its name is that of its certificate,
// whatever it says in the message.
func (c *Coordinator) agentMethods() *wire.Mux {
	m := wire.NewMux()
	m.Require(c.admit)
	rpc.Handle(m, proto.MethodHello, c.serveHello)
	rpc.Handle(m, proto.MethodSamples, c.serveSamples)
	rpc.Handle(m, proto.MethodPermit, c.servePermit)
	rpc.Handle(m, proto.MethodRenew, c.serveRenew)
	m.AllowExpired(proto.MethodRenew)
	return m
}

// coordinatorMethods returns what coordinators may call.
func (c *Coordinator) coordinatorMethods() *wire.Mux {
	m := wire.NewMux()
	m.Require(c.admit)
	rpc.Handle(m, proto.MethodPropose, c.servePropose)
	rpc.Handle(m, proto.MethodRelay, c.serveRelay)
	rpc.Handle(m, proto.MethodCopy, c.serveCopy)
	rpc.Handle(m, proto.MethodGrant, c.serveGrant)
	rpc.Handle(m, proto.MethodForecast, c.homes.Forecast)
	rpc.Handle(m, proto.MethodHistory, c.serveHistory)
	rpc.Handle(m, proto.MethodImport, c.serveImport)
	rpc.Handle(m, proto.MethodAbove, c.serveAbove)
	rpc.Handle(m, proto.MethodScores, c.homes.Scores)
	rpc.Handle(m, proto.MethodHostTasks, c.homes.HostTasks)
	rpc.Handle(m, proto.MethodMoving, c.serveProgress)
	rpc.Handle(m, proto.MethodPresence, c.servePresence)
	rpc.Handle(m, proto.MethodMember, c.serveMember)
	rpc.Handle(m, proto.MethodTransfer, c.serveTransfer)
	rpc.Handle(m, proto.MethodReport, c.serveReport)
	rpc.Handle(m, proto.MethodRenew, c.serveRenew)
	m.AllowExpired(proto.MethodRenew)
	return m
}

// serveHello registers a host's facts and says who its home is.
func (c *Coordinator) serveHello(ctx context.Context, peer wire.Peer, h proto.Hello) (proto.HelloReply, error) {
	received := timeline.Of(time.Now())
	if h.Facts.Name != peer.Name {
		return proto.HelloReply{}, wire.Errorf(wire.Unauthorized, "the certificate is of host %s: it can't speak for %q", peer.Name, h.Facts.Name)
	}
	view := c.tables.View()
	fleet := view.Fleet()
	if fleet.ID == "" {
		return proto.HelloReply{}, wire.Errorf(wire.Unavailable, "this coordinator has not caught up with the fleet yet: try again")
	}
	if h.Document.Incarnation > fleet.Incarnation {
		// The fleet was restored elsewhere since, and this coordinator is of its former life.
		c.log.Error("an agent follows a later incarnation of the control plane: this coordinator must not run any more", "host", peer.Name, "incarnation", h.Document.Incarnation, "own", fleet.Incarnation)
		return proto.HelloReply{}, wire.Errorf(wire.Unavailable, "host %s follows incarnation %d of the control plane, this is %d: ask another coordinator", peer.Name, h.Document.Incarnation, fleet.Incarnation)
	}
	h.Facts = c.stated(h.Facts)
	known, exists := view.Host(peer.Name)
	reported := c.reported(view, known, h)
	reported.Identity = peer.Key()
	if !exists || known.Incarnation != reported.Incarnation || known.Identity != reported.Identity || factsDiffer(known.Facts, h.Facts) || !slices.Equal(known.Conflicts, reported.Conflicts) {
		if err := c.do(ctx, peer.String(), reported); err != nil {
			return proto.HelloReply{}, err
		}
		view = c.tables.View()
		known, _ = view.Host(peer.Name)
	}
	if known.Home == "" {
		if err := c.assignHome(ctx, known.Facts.Name); err != nil {
			return proto.HelloReply{}, err
		}
		view = c.tables.View()
		known, _ = view.Host(peer.Name)
	}
	reply := proto.HelloReply{
		Version: proto.Version, Fleet: fleet.ID, Incarnation: fleet.Incarnation,
		Home: known.Home, ReceivedAt: received, GridStep: fleet.GridStep, Coordinators: rpcAddrs(view),
	}
	if home, ok := view.Coordinator(known.Home); ok {
		reply.HomeAddr = home.RPCAddr
	}
	return reply, nil
}

// stated returns facts without what a coordinator of an older version would leave out of its tables. The agent states them again each minute.
func (c *Coordinator) stated(f proto.HostFacts) proto.HostFacts {
	if !c.tables.Knows(proto.CmdMigrationLearned, 1) {
		f.CPUScore = 0
	}
	return f
}

// reported returns what is stated of a host whose agent says hello. The first time in an incarnation what it holds is compared with the tables; where
// they can't both be right the host does not count as having reported, and is not operated.
func (c *Coordinator) reported(view *state.View, known proto.Host, h proto.Hello) *proto.HostRegister {
	out := &proto.HostRegister{Facts: h.Facts, Incarnation: view.Fleet().Incarnation}
	if known.Incarnation == out.Incarnation {
		out.Conflicts = known.Conflicts // they don't block, and tell what was found
		return out
	}
	out.Conflicts = view.Contradictions(h.Facts.Name, h.Instances)
	for _, conflict := range out.Conflicts {
		if conflict.Blocks {
			out.Incarnation = known.Incarnation
		}
		c.log.Error("what a host reports and what the tables say can't both be right", "host", h.Facts.Name, "instance", conflict.Instance, "what", conflict.What, "operated", !conflict.Blocks)
	}
	return out
}

// factsDiffer reports whether facts differ in what the ledger or an operator decides by. Free space moves all the time:
// a tenth is a difference.
func factsDiffer(a, b proto.HostFacts) bool {
	if d := a.DiskFree - b.DiskFree; max(d, -d) > max(a.DiskFree, b.DiskFree)/10 {
		return true
	}
	a.DiskFree, b.DiskFree = 0, 0
	encodedA, errA := proto.Marshal(a)
	encodedB, errB := proto.Marshal(b)
	return errA != nil || errB != nil || !slices.Equal(encodedA, encodedB)
}

func rpcAddrs(view *state.View) []string {
	var addrs []string
	for c := range view.Coordinators() {
		addrs = append(addrs, c.RPCAddr)
	}
	slices.Sort(addrs)
	return addrs
}

// serveSamples stores a host's windows here and at the standby, before they are acknowledged.
func (c *Coordinator) serveSamples(ctx context.Context, peer wire.Peer, s proto.Samples) (proto.SamplesReply, error) {
	s.Host = peer.Name
	view, host, err := c.homeView(ctx, peer.Name, foreverAgo)
	if err != nil {
		return proto.SamplesReply{}, err
	}
	stranger := func(w proto.Window) bool { return !mayReport(view, peer.Name, w.Instance) }
	if slices.ContainsFunc(s.Windows, stranger) {
		// What is dropped is gone: only if the tables are not behind.
		if view, host, err = c.homeView(ctx, peer.Name, caughtUpFor); err != nil {
			return proto.SamplesReply{}, err
		}
		before := len(s.Windows)
		if s.Windows = slices.DeleteFunc(s.Windows, stranger); len(s.Windows) < before {
			c.log.Warn("samples of instances that the host has nothing to do with are not taken", "host", peer.Name, "windows", before-len(s.Windows))
		}
	}
	s.Windows = c.dated(s)
	for i := range s.Windows {
		// Each host has a pseudo-instance of that name; in the history it is the host's.
		if s.Windows[i].Instance == proto.SystemInstance {
			s.Windows[i].Instance = proto.SystemReservation(peer.Name)
		}
		s.Windows[i].Signals = declared(view, s.Windows[i])
	}
	if err := c.store(ctx, s); err != nil {
		return proto.SamplesReply{}, err
	}
	if standby, ok := view.Coordinator(host.Standby); ok && host.Standby != c.cfg.Name {
		c.copyToStandby(ctx, standby, s)
	}
	c.homes.Observed(peer.Name, s.Windows)
	return proto.SamplesReply{Sequence: s.Sequence}, nil
}

// declared returns the signals of a window that its instance has by its spec: an agent makes up no others.
func declared(view *state.View, w proto.Window) []proto.SignalSample {
	i, _ := view.Instance(w.Instance)
	return slices.DeleteFunc(w.Signals, func(s proto.SignalSample) bool {
		return !slices.ContainsFunc(i.Spec.Signals, func(d proto.Signal) bool { return d.Name == s.Name })
	})
}

// dated returns the windows of samples that are of a time that can be.
func (c *Coordinator) dated(s proto.Samples) []proto.Window {
	now := timeline.Of(time.Now())
	out := slices.DeleteFunc(s.Windows, func(w proto.Window) bool { return !history.Dated(w, now) })
	if dropped := len(s.Windows) - len(out); dropped > 0 {
		c.log.Warn("samples that are too old, or of a time to come, are not taken: look at the clocks of the host and of this coordinator", "host", s.Host, "windows", dropped)
	}
	return out
}

// homeView returns the tables, which are no further behind than catchUp makes sure of, and the record of a host whose home this is by them.
func (c *Coordinator) homeView(ctx context.Context, name string, recent time.Duration) (*state.View, proto.Host, error) {
	if err := c.catchUp(ctx, recent); err != nil {
		return nil, proto.Host{}, wire.Errorf(wire.Unavailable, "%w", err)
	}
	view := c.tables.View()
	host, ok := view.Host(name)
	if !ok || host.Home != c.cfg.Name {
		return nil, host, wire.Errorf(wire.Conflict, "%s is not the home of %s", c.cfg.Name, name)
	}
	return view, host, nil
}

// mayReport reports whether a host may speak of an instance: its own use, and instances that it owns or has a part in.
func mayReport(view *state.View, host, instance string) bool {
	if instance == proto.SystemInstance {
		return true
	}
	i, ok := view.Instance(instance)
	if !ok {
		return false
	}
	if i.Owner == host {
		return true
	}
	m, ok := view.Migration(i.Migration)
	return ok && (m.Source == host || m.Target == host)
}

func (c *Coordinator) store(ctx context.Context, s proto.Samples) error {
	late, err := c.history.Append(ctx, s.Windows)
	if late > 0 {
		c.log.Warn("samples came too late to be stored", "host", s.Host, "samples", late)
	}
	return err
}

// copyToStandby brings samples to the standby. One that is not there gets a gap, which the home's copy does not have.
func (c *Coordinator) copyToStandby(ctx context.Context, standby proto.Coordinator, s proto.Samples) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	p, err := c.peers.Get(ctx, standby.Name, standby.RPCAddr)
	if err == nil {
		_, err = rpc.Call[proto.SamplesReply](ctx, p, proto.MethodCopy, s)
	}
	if err != nil {
		c.log.Warn("the standby has no copy of some samples", "standby", standby.Name, "host", s.Host, "error", err)
	}
}

// copyTimeout bounds how long an agent waits for the standby to have its samples, too.
const copyTimeout = 2 * time.Second

// serveCopy stores what the home of a host stored.
func (c *Coordinator) serveCopy(ctx context.Context, peer wire.Peer, s proto.Samples) (proto.SamplesReply, error) {
	host, ok := c.tables.View().Host(s.Host)
	if !ok || host.Home != peer.Name || host.Standby != c.cfg.Name {
		return proto.SamplesReply{}, wire.Errorf(wire.Conflict, "%s is not the standby of %s, or %s not its home", c.cfg.Name, s.Host, peer.Name)
	}
	s.Windows = c.dated(s)
	return proto.SamplesReply{Sequence: s.Sequence}, c.store(ctx, s)
}

// serveRenew signs a new certificate for the identity that the session has.
func (c *Coordinator) serveRenew(_ context.Context, peer wire.Peer, r proto.RenewRequest) (proto.RenewReply, error) {
	view := c.tables.View()
	var known bool
	switch peer.Kind {
	case pki.Agent:
		_, known = view.Host(peer.Name)
	case pki.Coordinator:
		_, known = view.Coordinator(peer.Name)
	}
	if !known {
		return proto.RenewReply{}, wire.Errorf(wire.Refused, "%s does not belong to the fleet any more: join again", peer.Identity)
	}
	cert, err := c.ca.Sign(r.CSR, peer.Identity, time.Now())
	if err != nil {
		return proto.RenewReply{}, wire.Errorf(wire.Invalid, "renew the certificate of %s: %w", peer.Identity, err)
	}
	return proto.RenewReply{Certificate: cert, CA: c.ca.CertPEM()}, nil
}

// CallAgent calls a method of a host's agent: over its session here, by way of its home, or of whoever stands in for the home while that is away.
func (c *Coordinator) CallAgent(ctx context.Context, host, method string, body []byte) ([]byte, error) {
	if s, err := c.hub.Agent(host); err == nil {
		return s.Call(ctx, method, body)
	}
	view := c.tables.View()
	h, ok := view.Host(host)
	if !ok {
		return nil, wire.Errorf(wire.NotFound, "there is no host %s", host)
	}
	alive := c.alive()
	order := slices.DeleteFunc(slices.Clone(alive), func(name string) bool { return name == h.Home || name == c.cfg.Name })
	if slices.Contains(alive, h.Home) {
		order = slices.Insert(order, 0, h.Home)
	} else {
		order = append(order, h.Home) // gossip may be wrong
	}
	var why error
	for _, name := range order {
		reply, err := c.relay(ctx, view, name, proto.Relay{Host: host, Method: method, Body: body})
		if wire.CodeOf(err) != wire.Unavailable {
			return reply, err
		}
		if name == h.Home {
			why = err
		}
	}
	return nil, why
}

// relay calls an agent by way of another coordinator.
func (c *Coordinator) relay(ctx context.Context, view *state.View, by string, r proto.Relay) ([]byte, error) {
	to, ok := view.Coordinator(by)
	if !ok || by == c.cfg.Name {
		return nil, wire.Errorf(wire.Unavailable, "the agent of %s has no session with its home: is it running, and does it reach the coordinators?", r.Host)
	}
	s, err := c.peers.Get(ctx, to.Name, to.RPCAddr)
	if err != nil {
		return nil, err
	}
	reply, err := rpc.Call[proto.RelayReply](ctx, s, proto.MethodRelay, r)
	return reply.Body, err
}

// serveRelay calls an agent for another coordinator.
func (c *Coordinator) serveRelay(ctx context.Context, _ wire.Peer, r proto.Relay) (proto.RelayReply, error) {
	s, err := c.hub.Agent(r.Host)
	if err != nil {
		return proto.RelayReply{}, err
	}
	body, err := s.Call(ctx, r.Method, r.Body)
	return proto.RelayReply{Body: body}, err
}

// assignHome gives a new host its home and standby.
func (c *Coordinator) assignHome(ctx context.Context, host string) error {
	home, standby := leader.Choose(host, c.alive())
	return c.do(ctx, "coordinator "+c.cfg.Name, &proto.HostHome{Host: host, Home: home, Standby: standby})
}
