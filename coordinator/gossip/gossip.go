// Package gossip lets coordinators find each other and notice a loss early; it is never a source of truth.
package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/glidepath/glidepath/proto"
)

// Member is what the pool says of a coordinator. Every field but Alive is its own claim; what counts is what the
// replicated tables and certificates say.
type Member struct {
	Name    string `msgpack:"-" json:"name"`
	RPCAddr string `msgpack:"r" json:"rpc_address"`
	APIAddr string `msgpack:"a" json:"api_address"`
	Program string `msgpack:"p" json:"program_version"`
	Alive   bool   `msgpack:"-" json:"alive"`
}

// Config is what a pool needs.
type Config struct {
	Self      Member
	Fleet     string   // pools of different fleets on one network stay apart
	Bind      string   // host:port for UDP and TCP
	Advertise string   // host:port that others use; "" for Bind
	Keys      [][]byte // 16, 24 or 32 bytes each; the first encrypts, all decrypt. At least one
	Log       *slog.Logger

	transport memberlist.Transport // of tests
}

// Pool is a running membership of the gossip pool. Its methods may be called concurrently.
type Pool struct {
	list    *memberlist.Memberlist
	changed chan struct{}
	log     *slog.Logger
}

// leaveTimeout bounds how long a leaving member waits for the others to hear of it.
const leaveTimeout = 2 * time.Second

// Open joins nobody yet: it begins to listen. Close it.
func Open(cfg Config) (*Pool, error) {
	if len(cfg.Keys) == 0 {
		return nil, errors.New("gossip has no key: it is never sent in the clear")
	}
	keyring, err := memberlist.NewKeyring(cfg.Keys, cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	meta, err := proto.Marshal(cfg.Self)
	if err != nil {
		return nil, err
	}
	if len(meta) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("gossip: what this coordinator says of itself takes %d bytes, more than %d: use shorter addresses", len(meta), memberlist.MetaMaxSize)
	}
	p := &Pool{changed: make(chan struct{}, 1), log: cfg.Log}
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Keyring = cfg.Self.Name, cfg.Fleet, keyring
	c.Delegate, c.Events = delegate(meta), events{p}
	c.Logger = slog.NewLogLogger(levelled{cfg.Log.Handler()}, slog.LevelDebug)
	c.Transport = cfg.transport
	c.DeadNodeReclaimTime = 10 * time.Second // a coordinator that comes back with another address
	if c.BindAddr, c.BindPort, err = split(cfg.Bind); err != nil {
		return nil, fmt.Errorf("gossip address: %w", err)
	}
	c.AdvertisePort = c.BindPort
	if cfg.Advertise != "" {
		if c.AdvertiseAddr, c.AdvertisePort, err = split(cfg.Advertise); err != nil {
			return nil, fmt.Errorf("gossip address to advertise: %w", err)
		}
	}
	if p.list, err = memberlist.Create(c); err != nil {
		return nil, fmt.Errorf("gossip on %s: %w", cfg.Bind, err)
	}
	return p, nil
}

func split(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port from 0 to 65535", addr)
	}
	return host, port, nil
}

// Join asks the members at the addresses to let this one in. It is an error when none of them answers.
func (p *Pool) Join(addrs []string) error {
	if len(addrs) == 0 {
		return nil
	}
	if _, err := p.list.Join(addrs); err != nil {
		return fmt.Errorf("join the gossip pool by way of %s: %w", strings.Join(addrs, ", "), err)
	}
	return nil
}

// Members returns the members that are not known to be gone, sorted by name, this one included.
func (p *Pool) Members() []Member {
	var out []Member
	for _, n := range p.list.Members() {
		m := Member{Name: n.Name, Alive: n.State == memberlist.StateAlive}
		if err := proto.Unmarshal(n.Meta, &m); err != nil {
			p.log.Warn("a gossip member says nonsense of itself", "member", n.Name, "error", err)
			continue
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Addr returns the address that others use, host:port.
func (p *Pool) Addr() string {
	n := p.list.LocalNode()
	return net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
}

// Changed is sent to when members came or went since the last receive.
func (p *Pool) Changed() <-chan struct{} { return p.changed }

// Close tells the others that this member leaves, waiting at most two seconds or until ctx ends, and stops.
func (p *Pool) Close(ctx context.Context) error {
	wait := leaveTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, max(0, time.Until(deadline)))
	}
	if err := p.list.Leave(wait); err != nil {
		p.log.Debug("leaving the gossip pool was not heard by all", "error", err)
	}
	return p.list.Shutdown()
}

// delegate is a member's metadata.
type delegate []byte

func (d delegate) NodeMeta(int) []byte                { return d }
func (delegate) NotifyMsg([]byte)                     {}
func (delegate) GetBroadcasts(_, _ int) [][]byte      { return nil }
func (delegate) LocalState(bool) []byte               { return nil }
func (delegate) MergeRemoteState(_ []byte, join bool) { _ = join }

// events tells the pool's owner that something changed; it never blocks memberlist.
type events struct{ p *Pool }

func (e events) NotifyJoin(*memberlist.Node)   { e.notify() }
func (e events) NotifyLeave(*memberlist.Node)  { e.notify() }
func (e events) NotifyUpdate(*memberlist.Node) { e.notify() }

func (e events) notify() {
	select {
	case e.p.changed <- struct{}{}:
	default:
	}
}

// levelled gives memberlist's log lines, which carry their level as a prefix, that level.
type levelled struct{ slog.Handler }

func (l levelled) Enabled(context.Context, slog.Level) bool { return true }

func (l levelled) Handle(ctx context.Context, r slog.Record) error {
	level, text := slog.LevelDebug, r.Message
	for prefix, lv := range map[string]slog.Level{"[ERR] ": slog.LevelWarn, "[WARN] ": slog.LevelInfo, "[INFO] ": slog.LevelDebug, "[DEBUG] ": slog.LevelDebug} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			level, text = lv, rest
			break
		}
	}
	if !l.Handler.Enabled(ctx, level) {
		return nil
	}
	out := slog.NewRecord(r.Time, level, strings.TrimPrefix(text, "memberlist: "), r.PC)
	return l.Handler.Handle(ctx, out)
}
