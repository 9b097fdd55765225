package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/feeds"
	"github.com/glidepath/glidepath/coordinator/gossip"
	"github.com/glidepath/glidepath/coordinator/history"
	"github.com/glidepath/glidepath/coordinator/home"
	"github.com/glidepath/glidepath/coordinator/leader"
	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/coordinator/migrate"
	"github.com/glidepath/glidepath/coordinator/session"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// Coordinator is a running coordinator.
type Coordinator struct {
	cfg     Config
	version string
	log     *slog.Logger
	audit   *auth.Audit
	recent  func() []byte
	fsys    durable.FS

	dir       pki.Dir
	creds     *pki.Credentials
	ca        *pki.CA
	gossipKey []byte

	tables     *tables
	consensus  *consensus.Consensus
	pool       *gossip.Pool
	hub        *session.Hub
	peers      *session.Peers
	history    *history.Store
	cards      *home.Cards
	homes      *home.Homes
	migrations *migrate.Executor
	feeds      *feeds.Feeds
	metrics    *metrics.Metrics

	catching catching
}

// ErrNotFounded is wrapped when a coordinator belongs to no fleet yet.
var ErrNotFounded = errors.New("this coordinator belongs to no fleet yet: make one with glidepathd init, or join one with glidepathd join")

// Process is what a coordinator has of the program that runs it.
type Process struct {
	Version string
	Log     *slog.Logger
	Audit   io.Writer     // JSON lines: who asked for what change
	Recent  func() []byte // what was logged last, for a support bundle; nil: it is not kept
	Ready   func()        // called once it serves
}

// Run runs a coordinator until ctx ends. Everything that it started has ended when it returns.
func Run(ctx context.Context, cfg Config, process Process) error {
	return newCoordinator(cfg, process).run(ctx, process.Ready)
}

func newCoordinator(cfg Config, process Process) *Coordinator {
	return &Coordinator{cfg: cfg, version: process.Version, log: process.Log, audit: auth.NewAudit(slog.NewJSONHandler(process.Audit, nil)), recent: process.Recent, fsys: durable.OS{}, catching: catching{turn: make(chan struct{}, 1)}}
}

func (c *Coordinator) run(ctx context.Context, ready func()) (err error) {
	cfg, log := c.cfg, c.log
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	lock, err := durable.LockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if err := c.loadIdentity(); err != nil {
		return err
	}

	// What is opened here is closed in the reverse order, after everything that uses it has ended.
	if c.history, err = history.Open(filepath.Join(cfg.DataDir, historyDir), log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.history.Close()) }()
	if c.cards, err = home.OpenCards(c.fsys, filepath.Join(cfg.DataDir, scoresDir)); err != nil {
		return err
	}

	// Before the tables, which tell it of every command. It reads the other parts when it is scraped, and they are there by then.
	if c.metrics, err = metrics.New(metrics.Reads{
		Name: cfg.Name, Version: c.version, View: func() *state.View { return c.tables.View() },
		Raft: func() consensus.Stats { return c.consensus.Stats() }, Agents: func() int { return len(c.hub.Hosts()) },
		Space:  func() (int64, int64, error) { return durable.Space(cfg.DataDir) },
		Scores: func() []proto.ScoreSummary { return c.homes.Summaries() }, PerInstance: cfg.MetricsInstances,
	}, time.Now()); err != nil {
		return err
	}
	c.tables = newTables(c.metrics.Applied)
	c.creds.SetCheck(c.admitHandshake)
	link := consensus.NewLink(cfg.RPC.Address(), c.dialRaft)
	if c.consensus, err = consensus.Open(consensus.Config{
		Name: cfg.Name, Addr: cfg.RPC.Address(), Dir: filepath.Join(cfg.DataDir, raftDir), Machine: c.tables, Link: link, Log: log,
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.consensus.Close()) }()

	if c.pool, err = gossip.Open(gossip.Config{
		Self:  gossip.Member{Name: cfg.Name, RPCAddr: cfg.RPC.Address(), APIAddr: cfg.API.Address(), Program: c.version},
		Fleet: c.ca.Fleet(), Bind: cfg.Gossip.Listen, Advertise: cfg.Gossip.Address(), Keys: [][]byte{c.gossipKey}, Log: log,
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.pool.Close(context.Background())) }()

	c.peers = session.NewPeers(c.dialPeer, nil, log)
	defer func() { err = errors.Join(err, c.peers.Close()) }()

	c.wire()
	return c.serve(ctx, link, ready)
}

// wire makes the parts that have nothing to close.
func (c *Coordinator) wire() {
	c.migrations = migrate.New(migrate.Config{
		View: c.tables.View, Changed: c.tables.Changed, Propose: c.Propose, CallAgent: c.CallAgent,
		VerifyLeader: c.consensus.VerifyLeader, Handover: c.handover, Log: c.log.With("component", "migrate"),
	})
	c.homes = home.New(home.Config{
		Name: c.cfg.Name, View: c.tables.View, Changed: c.tables.Changed, Store: c.history, Signals: c.history.Signals, Propose: c.Propose,
		Call: func(ctx context.Context, host, method string, body []byte) ([]byte, error) {
			return c.callHere(ctx, host, method, body)
		},
		Online: func() []string { return c.hub.Hosts() }, Arrived: func() <-chan struct{} { return c.hub.Changed() }, Cards: c.cards, Windows: c.history.Windows, Copy: c.copyScores, Silent: c.silent,
		DataBytes: c.dataBytes, Meter: c.metrics, Log: c.log.With("component", "home"),
	})
	c.feeds = feeds.New(feeds.Config{
		View: c.tables.View, Propose: func(ctx context.Context, body proto.Body) error { return c.do(ctx, "leader", body) },
		Polled: c.metrics.Polled, Fetcher: feeds.NewFetcher(c.ownAddresses), Log: c.log.With("component", "feeds"),
	})
	c.hub = session.NewHub(c.agentMethods(), c.coordinatorMethods(), c.log)
	c.hub.Require(c.admit)
}

// serve runs everything until ctx ends or a part fails.
func (c *Coordinator) serve(ctx context.Context, link *consensus.Link, ready func()) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", c.cfg.RPC.Listen)
	if err != nil {
		return fmt.Errorf("listen for RPC: %w", err)
	}
	apiListener, err := lc.Listen(ctx, "tcp", c.cfg.API.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the API: %w", err), listener.Close())
	}
	server := wire.NewServer(wire.ServerOptions{Credentials: c.creds, Log: c.log})
	server.Handle(wire.Raft, wire.Mutual, func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
		if peer.Kind != pki.Coordinator {
			return fmt.Errorf("%s is no coordinator", peer.Identity)
		}
		return link.Handle(ctx, conn)
	})
	server.Handle(wire.RPC, wire.MutualOrExpired, func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
		return c.hub.Serve(ctx, conn, peer)
	})
	server.Handle(wire.Join, wire.Anonymous, func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
		return serveAnonymous(ctx, conn, peer, c.joinMethods(), c.log)
	})

	if err := c.beginCluster(); err != nil {
		return errors.Join(err, listener.Close(), apiListener.Close())
	}
	// Whoever stops this coordinator ends stop. What it does goes on until it has handed over.
	stop := ctx
	ctx, end := context.WithCancel(context.WithoutCancel(stop))
	defer end()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(ctx, listener) })
	g.Go(func() error { return c.api().Serve(ctx, apiListener) })
	g.Go(func() error { return c.history.Run(ctx) })
	g.Go(func() error { return c.homes.Run(ctx) })
	g.Go(func() error { return c.keepGossip(ctx) })
	g.Go(func() error { return c.keepRegistered(ctx) })
	g.Go(func() error { return c.renewer().Run(ctx) })
	g.Go(func() error {
		return leader.Run(ctx, c.consensus.Leadership(), c.consensus.Barrier, c.loops(), c.log.With("component", "leader"))
	})
	g.Go(func() error {
		defer end()
		select {
		case <-c.consensus.Stopped():
			return c.consensus.Err()
		case <-stop.Done():
		case <-ctx.Done():
		}
		c.handLeadershipOver()
		return nil
	})
	g.Go(func() error {
		c.tables.founded(ctx)
		ready()
		return nil
	})
	c.log.Info("coordinator is up", "name", c.cfg.Name, "rpc", c.cfg.RPC.Address(), "api", c.cfg.API.Address(), "version", c.version)
	return g.Wait()
}

// handLeadershipOver gives the leadership away before the others notice that this coordinator is gone. It returns when the next leader is heard of:
// that one may need this one's vote.
func (c *Coordinator) handLeadershipOver() {
	if !c.consensus.IsLeader() {
		return
	}
	err := c.transfer("")
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), memberTime)
		defer cancel()
		err = c.until(ctx, func() error {
			if name, _ := c.consensus.Leader(); name == "" || name == c.cfg.Name {
				return errors.New("nobody has taken it yet")
			}
			return nil
		})
	}
	if err != nil {
		c.log.Info("the leadership was not handed over", "error", err)
	}
}

// loops are what this coordinator does while it leads.
func (c *Coordinator) loops() []leader.Loop {
	homes := &leader.Homes{
		View: c.tables.View, Alive: c.alive,
		Assign: func(ctx context.Context, body *proto.HostHome) error {
			c.log.Info("host gets another home", "host", body.Host, "from", body.From, "home", body.Home, "standby", body.Standby)
			return c.do(ctx, "leader", body)
		},
	}
	return []leader.Loop{
		{Name: "found", Run: func(ctx context.Context) error {
			if err := c.found(ctx); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}},
		{Name: "voters", Run: every(voterCheck, func(context.Context) error { return c.reconcileVoters() })},
		{Name: "homes", Run: homes.Run},
		{Name: "tick", Run: every(tickEvery, func(ctx context.Context) error { return c.tick(ctx) })},
		{Name: "migrations", Run: c.migrations.Run},
		{Name: "calendars", Run: c.feeds.Run},
		{Name: "prune", Run: (&leader.Prune{View: c.tables.View, Propose: func(ctx context.Context, body proto.Body) error { return c.do(ctx, "leader", body) }}).Run},
		{Name: "notices", Run: (&leader.Notices{View: c.tables.View, Clear: func(ctx context.Context, body *proto.NoticePut) error { return c.do(ctx, "leader", body) }}).Run},
		{Name: "plans", Run: c.plans().Run},
		{Name: "drains", Run: c.drains().Run},
		{Name: "rebalance", Run: c.rebalance().Run},
		{Name: "doubts", Run: (&leader.Doubts{View: c.tables.View, Log: c.log.With("component", "leader")}).Run},
	}
}

// How often the leader looks after the Raft configuration and moves the ledger's grid.
const (
	voterCheck = 2 * time.Second
	tickEvery  = 30 * time.Second
)

// tick moves the ledger's grid to now and drops what has lapsed.
func (c *Coordinator) tick(ctx context.Context) error {
	if c.tables.View().Fleet().ID == "" {
		return nil
	}
	return c.do(ctx, "leader", &proto.Tick{})
}

// every returns a loop that calls f at once and then at intervals.
func every(d time.Duration, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}

// alive returns the coordinators that gossip sees, this one included.
func (c *Coordinator) alive() []string {
	var names []string
	for _, m := range c.pool.Members() {
		if m.Alive {
			names = append(names, m.Name)
		}
	}
	return names
}

// loadIdentity reads who this coordinator is.
func (c *Coordinator) loadIdentity() error {
	c.dir = pki.NewDir(c.fsys, filepath.Join(c.cfg.DataDir, pkiDir))
	node, err := c.dir.LoadNode()
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFounded
	}
	if err != nil {
		return err
	}
	if c.creds, err = node.Credentials(); err != nil {
		return err
	}
	if id := c.creds.Identity(); id.Name != c.cfg.Name || id.Kind != pki.Coordinator {
		return fmt.Errorf("name: the configuration says %q, but the certificate in %s is of %s: put the name back", c.cfg.Name, c.cfg.DataDir, id)
	}
	if c.ca, err = c.dir.LoadCA(); err != nil {
		return err
	}
	c.gossipKey, err = durable.ReadFile(c.fsys, filepath.Join(c.cfg.DataDir, gossipKeyFile), maxSmallFile)
	return err
}

// beginCluster makes a cluster of this coordinator alone, if it is the one that founds the fleet.
func (c *Coordinator) beginCluster() error {
	if _, err := os.Stat(filepath.Join(c.cfg.DataDir, foundingFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	servers, err := c.consensus.Servers()
	if err != nil || len(servers) > 0 {
		return err
	}
	return c.consensus.Bootstrap(c.cfg.Name, c.cfg.RPC.Address())
}

// keepGossip joins the pool, and again whenever this coordinator finds itself alone.
func (c *Coordinator) keepGossip(ctx context.Context) error {
	return every(gossipCheck, func(context.Context) error {
		if len(c.pool.Members()) > 1 {
			return nil
		}
		addrs := slices.Clone(c.cfg.Join)
		addrs = append(addrs, c.learned()...)
		for other := range c.tables.View().Coordinators() {
			if other.Name != c.cfg.Name && other.GossipAddr != "" {
				addrs = append(addrs, other.GossipAddr)
			}
		}
		if err := c.pool.Join(addrs); err != nil {
			c.log.Debug("no other coordinator is found by gossip", "error", err)
		}
		return nil
	})(ctx)
}

const gossipCheck = 2 * time.Second

// keepRegistered states this coordinator's record until it is as it should be, and again when that changes.
func (c *Coordinator) keepRegistered(ctx context.Context) error {
	for {
		changed := c.tables.Changed()
		if c.tables.View().Fleet().ID != "" {
			if err := c.register(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("this coordinator's record could not be stated", "error", err)
			}
			if err := c.holdPurge(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("it could not be noted whether this is the fleet's last coordinator", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(voterCheck):
		}
		// Bursts of changes are looked at once.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// dialRaft connects to a coordinator for Raft.
func (c *Coordinator) dialRaft(ctx context.Context, addr string) (net.Conn, error) {
	conn, _, err := wire.Dial(ctx, addr, wire.Raft, c.creds, pki.Want{Kind: pki.Coordinator})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// dialPeer connects to a coordinator for RPC.
func (c *Coordinator) dialPeer(ctx context.Context, name, addr string) (net.Conn, wire.Peer, error) {
	conn, peer, err := wire.Dial(ctx, addr, wire.RPC, c.creds, pki.Want{Kind: pki.Coordinator, Name: name})
	if err != nil {
		return nil, peer, err
	}
	return conn, peer, nil
}

// callHere calls a method of an agent that has its session here.
func (c *Coordinator) callHere(ctx context.Context, host, method string, body []byte) ([]byte, error) {
	s, err := c.hub.Agent(host)
	if err != nil {
		return nil, err
	}
	return s.Call(ctx, method, body)
}

// joinMethods is what a process without a certificate may call.
func (c *Coordinator) joinMethods() *wire.Mux {
	m := wire.NewMux()
	rpc.Handle(m, proto.MethodJoin, c.serveJoin)
	return m
}

// serveAnonymous serves a session of a process that has no certificate yet.
func serveAnonymous(ctx context.Context, conn net.Conn, peer wire.Peer, mux *wire.Mux, log *slog.Logger) error {
	s := wire.NewSession(conn, false, wire.Options{Peer: peer, Mux: mux, MaxMessage: joinMessage, MaxStreams: 1, Log: log})
	defer s.Close()
	select {
	case <-ctx.Done():
		return nil
	case <-s.Done():
		return s.Err()
	}
}

// joinMessage bounds what a process without a certificate may send, in bytes.
const joinMessage = 16 << 10

// renewer renews this coordinator's certificate: it has the CA itself.
func (c *Coordinator) renewer() *pki.Renewer {
	return &pki.Renewer{
		Credentials: c.creds, Save: c.dir.SaveCert, Log: c.log,
		Renew: func(_ context.Context, csr []byte) (cert, ca []byte, err error) {
			cert, err = c.ca.Sign(csr, c.creds.Identity(), time.Now())
			return cert, c.ca.CertPEM(), err
		},
	}
}
