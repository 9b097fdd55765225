package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/allow"
	"github.com/glidepath/glidepath/agent/collect"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/instance"
	"github.com/glidepath/glidepath/agent/instance/service"
	"github.com/glidepath/glidepath/agent/pilot"
	"github.com/glidepath/glidepath/agent/session"
	"github.com/glidepath/glidepath/agent/signals"
	"github.com/glidepath/glidepath/agent/tasks"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// Run is the agent's life: it returns when ctx ends, which is no error, or when the agent can't go on.
//
// What it does to instances outlives it. Limits, drop-ins, programs and addresses stay as they are when it ends, and the next
// life takes them over, so that a restart or an upgrade is not felt.
func Run(ctx context.Context, cfg Config, log *slog.Logger, version string) (err error) {
	if err := errors.Join(cfg.Validate(), cfg.makeDirs()); err != nil {
		return err
	}
	closers := &stack{}
	defer func() { err = errors.Join(err, closers.close()) }()

	// Who this is, and that it is alone. The certificate says the name: it is what the fleet knows the host by.
	lock, err := durable.LockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	closers.add(lock.Unlock)
	identity := pki.NewDir(durable.OS{}, cfg.path(pkiDir))
	creds, err := credentials(identity)
	if err != nil {
		return err
	}
	name := creds.Identity().Name
	log = log.With("host", name)

	// What it knows, and may do.
	fences, err := fence.Open(durable.OS{}, cfg.FenceDir())
	if err != nil {
		return err
	}
	allowed, err := allow.Load(cfg.AllowFile)
	if err != nil {
		return err
	}
	documents, err := session.OpenDocuments(durable.OS{}, cfg.path(documentFile), func(stored, incoming proto.Document) error {
		return pilot.Accept(name, stored, incoming)
	})
	if err != nil {
		return err
	}
	bufferBytes, err := cfg.BufferBytes()
	if err != nil {
		return err
	}
	buffer, err := session.OpenBuffer(durable.OS{}, cfg.path(bufferDir), bufferBytes, cfg.BufferFor.Std())
	if err != nil {
		return err
	}
	clock := newClock()
	closers.add(func() error { return buffer.Flush(clock.now()) })

	said, err := newSaidHere(cfg, log.With("component", "pause"))
	if err != nil {
		return err
	}

	// The host, and what sets things on it. Closing the enforcer and the bus changes no limit.
	limits := enforce.Default()
	here, err := newHost(ctx, cfg, name, version, limits.CgroupRoot, fences.List, said.since)
	if err != nil {
		return err
	}
	iface := here.last.Load().Interface
	bus, err := systemd.Dial(ctx)
	if err != nil {
		return err
	}
	closers.add(bus.Close)
	if limits.OwnCgroup, err = enforce.OwnCgroup(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	asked := mayRun(self, cfg)
	limits.MayRun, limits.Device = strings.Join(asked, " "), iface
	enforcer := enforce.Open(limits, bus)
	closers.add(enforcer.Close)
	if _, here.missing, err = enforcer.Probe(); err != nil {
		return err
	}

	// The session, the drivers and the operations need each other: the session brings operations, drivers ask over it for permits.
	client := &lateCaller{}
	driver := service.New(service.Config{
		Host: name, DataDir: cfg.path(driverDir), KeepDir: cfg.keepDir(), Root: "/", CgroupRoot: limits.CgroupRoot, Interface: iface,
		Guard: ownCommand(self, "guard", cfg), MayRun: asks(asked),
		Files: durable.OS{}, Fence: fences, Allow: allowed, Systemd: service.Host{Bus: bus}, Limits: unlessPaused{enforcer, said.paused},
		Addresses: address.New(iface, cfg.RunDir), Permits: permits{client}, Log: log.With("component", "service"),
	})

	// Instances' data: out as the source of a migration, in as its target.
	work := &activity{}
	sync := func() string { return helper(self, "sync") }
	units := newUnitRunner(bus.RunTransient, sync)
	closers.add(units.Close)
	moving := transfer.Environment{
		Runner: counted{units, work}, Program: sync, Rsync: "/usr/bin/rsync",
		StateDir: cfg.path(transferDir), Stall: transfer.DefaultStall, Linger: transfer.DefaultLinger, Log: log.With("component", "transfer"),
	}
	sender, err := transfer.NewSender(moving)
	if err != nil {
		return fmt.Errorf("directory of transfers: %w", err)
	}
	receiver, err := transfer.NewReceiver(moving)
	if err != nil {
		return fmt.Errorf("directory of transfers: %w", err)
	}
	gate := &gate{receiver: receiver, dir: cfg.path(admittedDir), record: fences.Get, log: log.With("component", "transfer")}
	courier := &courier{
		sender: sender, record: fences.Get, allow: allowed.Path, armed: map[string]*final{}, begun: map[string]*begun{}, leaving: map[*final]struct{}{}, log: log.With("component", "transfer"),
		dial: func(ctx context.Context, to proto.Peer) (net.Conn, error) {
			conn, _, err := wire.Dial(ctx, to.SyncAddr, wire.Sync, creds, pki.Want{Kind: pki.Agent, Name: to.Host})
			if err != nil {
				return nil, err // not a nil *tls.Conn in an interface
			}
			return conn, nil
		},
	}
	closers.add(courier.Close)
	board := newBoard()
	metrics := newMetrics(version, cfg.MetricsInstances, board)
	poked := make(chan struct{}, 1)
	contact := newContact()
	poke := func() {
		select {
		case poked <- struct{}{}: // who may run what has changed, perhaps
		default:
		}
	}
	operator := &operator{
		drivers: map[string]instance.Driver{"service": driver}, source: courier, target: gate, release: units.Release, record: fences.Get, now: clock.now,
		began: func(instance string) (ended func()) {
			done, over := work.begin(), contact.begin(instance)
			return func() { over(); done() }
		},
		ended: func(op proto.Operation, r proto.OperationResult) {
			metrics.operated(op, r)
			poke()
		},
	}
	operations, interrupted, err := session.OpenOperations(durable.OS{}, cfg.path(operationsFile), operator.handle, log.With("component", "operations"))
	if err != nil {
		return err
	}
	// Before the bus and the enforcer that they work with are closed, and after the session that brings them has ended.
	closers.add(operations.Close)
	coordinators, err := cfg.knownCoordinators()
	if err != nil {
		return err
	}
	scheduled := tasks.Open(tasks.Config{Timers: bus, Root: "/", FS: durable.OS{}, File: cfg.path(tasksFile), Log: log.With("component", "tasks")})
	scraper := signals.New(signals.Config{
		Now: clock.now, Wanted: func() []proto.InstanceSpec {
			document, _ := documents.Current()
			return withSignals(document, fences.Get)
		},
		Allow: allowed.Signal, Meter: metrics.scraped, Log: log.With("component", "signals"),
	})
	serve := services{
		documents: documents, signals: scraper.States, operations: operations, holdings: driver.Holdings, readBack: enforcer.ReadBack, retention: driver.Retention,
		tasks: scheduled.Tasks, board: board, documented: metrics.documented,
	}
	dial := func(ctx context.Context, addr string) (net.Conn, wire.Peer, error) {
		conn, peer, err := wire.Dial(ctx, addr, wire.RPC, creds, pki.Want{Kind: pki.Coordinator})
		if err != nil {
			return nil, peer, err // not a nil *tls.Conn in an interface
		}
		return conn, peer, nil
	}
	link := session.NewClient(session.ClientConfig{
		Addrs: coordinators, Dial: dial, Mux: serve.mux(), Buffer: buffer, Host: name, Boot: rand.Text(), Log: log.With("component", "session"),
		Hello: func(ctx context.Context) (proto.Hello, error) {
			facts, err := here.look(ctx)
			if err != nil {
				return proto.Hello{}, err
			}
			holdings, err := driver.Holdings(ctx)
			facts.Missing = append(facts.Missing, clock.missing()...)
			document, _ := documents.Current()
			return proto.Hello{Version: proto.Version, Facts: facts, Document: document.Version, Instances: holdings, SentAt: clock.own()}, err
		},
		Answer: func(r proto.HelloReply, sent time.Time, took time.Duration) (outdated bool) {
			_, was := clock.ahead()
			clock.answered(r, sent, took)
			ahead, trusted := clock.ahead()
			if !trusted {
				log.Warn("this host's clock is wrong, or the coordinators' is: no instance is moved from or to it until it is set right", "coordinators_ahead", ahead)
			}
			return was != trusted
		},
		Learn: func(addrs []string) {
			if err := cfg.learnCoordinators(addrs); err != nil {
				log.Error("the coordinators are known until the next restart only", "error", err)
			}
		},
		Gone: func(ctx context.Context, why error) {
			log.Error("this host does not belong to the fleet any more; what it owned is stopped", "error", why)
			if err := driver.GiveUp(context.WithoutCancel(ctx)); err != nil {
				log.Error("not all that this host owned could be stopped; it is tried again", "error", err)
			}
			poke()
		},
	})
	client.Caller = link
	metrics.space = func() (int64, int64, error) { return durable.Space(cfg.DataDir) }
	metrics.connected, metrics.waiting, metrics.dropped, metrics.ahead, metrics.now = link.Connected, buffer.Waiting, buffer.Dropped, clock.ahead, clock.now
	renewer := &pki.Renewer{Credentials: creds, Renew: renewal(link, creds, dial, cfg.knownCoordinators), Save: identity.SaveCert, Log: log.With("component", "pki")}
	sampler := collect.New(collect.Config{Cgroups: limits.CgroupRoot, Interface: iface, Net: traffic{enforcer}})
	loop := newLoop(loopConfig{
		now: clock.now, document: said.followed(documents.Current), changed: documents.Changed(), poked: poked, record: fences.Get, cgroup: bus.ControlGroup,
		host: here.limits, limits: enforcer, sampler: sampler, put: filled(scraper, buffer.Put), working: work.since(), alive: heartbeat(),
		board: board, meter: metrics, log: log.With("component", "loop"),
	})

	said.changed = func() {
		poke()
		link.Restate() // so that operators see it
	}
	metrics.paused = func() (document, here bool) {
		d, _ := documents.Current()
		return d.Paused, said.paused()
	}

	// Ports, before anybody is told that the agent is ready.
	var ports net.ListenConfig
	bulk, err := ports.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for other agents: %w", err)
	}
	server := wire.NewServer(wire.ServerOptions{Credentials: creds, Log: log.With("component", "wire")})
	server.Handle(wire.Sync, wire.Mutual, func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
		if peer.Kind != pki.Agent {
			return fmt.Errorf("%s sends no instances' data", peer.Identity)
		}
		err := receiver.Serve(ctx, conn, peer.Name)
		if errors.Is(err, transfer.ErrGivenUp) {
			log.Debug("a final round that was prepared is not run", "error", err)
			return nil
		}
		return err
	})
	refuser := &refuser{refused: driver.Refused, source: gate.Source, close: gate.Close, log: log.With("component", "direct")}
	server.Handle(wire.RPC, wire.Mutual, refuser.serve)
	direct := &direct{
		records: fences.List, silence: contact.silence, ask: asking(creds), log: log.With("component", "direct"),
		thaw: func(ctx context.Context, instance, migration string, refused fence.Token) error {
			defer poke()
			forgot := courier.Forget(migration)
			return errors.Join(driver.ThawRefused(ctx, instance, migration, refused), forgot)
		},
	}

	// First the host is brought in line with the records, towards less running, and gets the addresses back that it owns. What an earlier life had run
	// may take long to end: it waits, but what it may still write to is touched only after.
	if err := driver.Recover(ctx); err != nil {
		return errors.Join(err, bulk.Close())
	}
	if err := bus.ClearTransient(ctx, "glidepath-*.service"); err != nil {
		log.Warn("not everything that an earlier life of the agent had run could be put away", "error", err)
	}
	if err := gate.Recover(); err != nil {
		return errors.Join(err, bulk.Close())
	}

	// All loops end with ctx, in any order: none of them undoes anything at its end. What they use is closed after the last.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return loop.run(ctx) })
	group.Go(func() error { return said.run(ctx) })
	group.Go(func() error { return driver.Run(ctx) })
	group.Go(func() error { return scraper.Run(ctx) })
	group.Go(func() error { return link.Run(ctx) })
	group.Go(func() error { return direct.run(ctx) })
	group.Go(func() error { return renewer.Run(ctx) })
	group.Go(func() error { return scheduled.Run(ctx) })
	group.Go(func() error { return server.Serve(ctx, bulk) })
	here.cpu.measure = measuring(self)
	group.Go(func() error {
		switch err := here.cpu.find(ctx, here.last.Load()); {
		case err == nil:
			link.Restate()
		case ctx.Err() == nil:
			log.Warn("how fast this host's CPU is was not found out: forecasts for it are less sure", "error", err) // nothing that instances depend on
		}
		return nil
	})
	if cfg.Metrics != "" {
		listener, err := ports.Listen(ctx, "tcp", cfg.Metrics)
		if err != nil {
			log.Error("no metrics", "error", err) // nothing that instances depend on
		} else {
			group.Go(func() error { return metrics.serve(ctx, listener) })
		}
	}
	if err := operations.Resume(interrupted); err != nil {
		log.Error("an interrupted operation can't be finished; the coordinators ask for it again", "error", err)
	}
	log.Info("agent is running", "version", version, "instances", len(fences.List()), "interface", iface, "listen", cfg.Listen)
	notify(daemon.SdNotifyReady)
	<-ctx.Done()
	notify(daemon.SdNotifyStopping)
	return group.Wait()
}

// notify tells systemd; without one nobody listens.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// heartbeat returns what tells systemd's watchdog that the loop is alive.
func heartbeat() func() {
	if every, err := daemon.SdWatchdogEnabled(false); err != nil || every == 0 {
		return func() {}
	}
	return func() { notify(daemon.SdNotifyWatchdog) }
}

// stack is what has to be closed at the end, the last first.
type stack struct{ closers []func() error }

func (s *stack) add(f func() error) { s.closers = append(s.closers, f) }

func (s *stack) close() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	return err
}
