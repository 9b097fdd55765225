package coordinator

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// Files in a coordinator's data folder.
const (
	pkiDir        = "pki"
	raftDir       = "raft"
	historyDir    = "history"
	scoresDir     = "scorecards"
	gossipKeyFile = "gossip.key"
	foundingFile  = "founding"

	gossipPeersFile = "gossip.peers"
)

// founding is what Init leaves for the first Run, which has a Raft log to commit it to.
type founding struct {
	Fleet    string        `msgpack:"f"`
	GridStep int64         `msgpack:"g"`
	Policy   proto.Policy  `msgpack:"p"`
	Token    proto.Token   `msgpack:"t"`
	At       timeline.Time `msgpack:"at"`
}

// maxSmallFile bounds the files above, in bytes.
const maxSmallFile = 1 << 16

// ErrFounded is wrapped when a coordinator's data folder belongs to a fleet already.
var ErrFounded = errors.New("this coordinator belongs to a fleet already")

// Founded is what Init made.
type Founded struct {
	Fleet string
	Token string // the first admin token; it is shown once
	Pin   string // of the fleet's CA: what a command line checks a coordinator by
}

// Init makes a new fleet with this coordinator as its first: a certificate authority, this coordinator's certificate, the
// gossip key and the first admin token. gridStep is that of the ledger, from 1 s to 1 h. Nothing runs yet: Run does.
func Init(cfg Config, gridStep time.Duration, policy proto.Policy) (Founded, error) {
	fsys, now := durable.OS{}, time.Now()
	if err := vacant(cfg); err != nil {
		return Founded{}, err
	}
	ca, err := pki.NewFleet(now)
	if err != nil {
		return Founded{}, err
	}
	node, err := ca.Issue(pki.Coordinator, cfg.Name, now)
	if err != nil {
		return Founded{}, err
	}
	admin := pki.MintAdmin()
	hash := admin.Hash()
	f := founding{
		Fleet: ca.Fleet(), GridStep: gridStep.Milliseconds(), Policy: policy, At: timeline.Of(now),
		Token: proto.Token{ID: admin.ID, Kind: proto.TokenAPI, Role: proto.RoleAdmin, Name: "first", Hash: hash[:], ExpiresAt: timeline.Forever},
	}
	b, err := proto.Marshal(f)
	if err != nil {
		return Founded{}, err
	}
	dir := pki.NewDir(fsys, filepath.Join(cfg.DataDir, pkiDir))
	// The node's certificate comes last: with it the coordinator belongs to a fleet.
	err = errors.Join(
		durable.WriteFile(fsys, filepath.Join(cfg.DataDir, foundingFile), b, 0o600),
		durable.WriteFile(fsys, filepath.Join(cfg.DataDir, gossipKeyFile), pki.NewGossipKey(), 0o600),
		dir.SaveCA(ca),
	)
	if err == nil {
		err = dir.SaveNode(node)
	}
	if err != nil {
		return Founded{}, fmt.Errorf("make the fleet: %w", err)
	}
	pin := ca.Pin()
	return Founded{Fleet: f.Fleet, Token: admin.Encode(), Pin: hex.EncodeToString(pin[:])}, nil
}

// vacant makes the folders, and returns an error unless nothing of a fleet is in them.
func vacant(cfg Config) error {
	if err := os.MkdirAll(filepath.Join(cfg.DataDir, pkiDir), 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	_, err := pki.NewDir(durable.OS{}, filepath.Join(cfg.DataDir, pkiDir)).LoadNode()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("%s: %w: to begin anew, stop it and move the folder away", cfg.DataDir, ErrFounded)
}

// Join takes this coordinator into a fleet by a join token: it gets its certificate, the CA's key and the gossip key.
// addrs are RPC addresses of coordinators, beside those that the token names.
func Join(ctx context.Context, cfg Config, token string, addrs []string) error {
	t, err := pki.ParseJoin(token)
	if err != nil {
		return err
	}
	if err := vacant(cfg); err != nil {
		return err
	}
	if !config.IsDial(cfg.RPC.Address()) {
		return fmt.Errorf("rpc.advertise: say where others reach this coordinator")
	}
	key, err := pki.NewKey()
	if err != nil {
		return err
	}
	csr, err := pki.NewCSR(key, cfg.Name)
	if err != nil {
		return err
	}
	request := proto.JoinRequest{Version: proto.Version, Token: token, Name: cfg.Name, Role: string(proto.RoleCoordinator), CSR: csr, RPCAddr: cfg.RPC.Address()}
	var reply proto.JoinReply
	err = errors.New("no coordinator's address is known: name one with --coordinator")
	for _, addr := range append(slices.Clone(addrs), t.Addresses...) {
		if reply, err = joinAt(ctx, addr, t.Pin, request); err == nil {
			break
		}
		if err = fmt.Errorf("join by way of %s: %w", addr, err); refusesJoin(err) {
			break
		}
	}
	if err != nil {
		return err
	}
	return saveJoined(cfg, key, reply)
}

// saveJoined keeps what a join brought. The node's certificate comes last: with it the coordinator belongs to the fleet.
func saveJoined(cfg Config, key *ecdsa.PrivateKey, r proto.JoinReply) error {
	fsys := durable.OS{}
	keyPEM, err := pki.EncodeKey(key)
	if err != nil {
		return err
	}
	ca, err := pki.ParseCA(r.CA, r.CAKey)
	if err != nil {
		return fmt.Errorf("join: the fleet's CA: %w", err)
	}
	dir := pki.NewDir(fsys, filepath.Join(cfg.DataDir, pkiDir))
	err = errors.Join(
		durable.WriteFile(fsys, filepath.Join(cfg.DataDir, gossipKeyFile), r.GossipKey, 0o600),
		durable.WriteFile(fsys, filepath.Join(cfg.DataDir, gossipPeersFile), []byte(strings.Join(r.Gossip, "\n")), 0o600),
		dir.SaveCA(ca),
	)
	if err == nil {
		err = dir.SaveNode(pki.Node{Cert: r.Certificate, Key: keyPEM, CA: r.CA})
	}
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

// learned returns the gossip addresses that the join brought.
func (c *Coordinator) learned() []string {
	b, err := durable.ReadFile(c.fsys, filepath.Join(c.cfg.DataDir, gossipPeersFile), maxSmallFile)
	if err != nil {
		return nil // this coordinator made the fleet
	}
	return strings.Fields(string(b))
}

func joinAt(ctx context.Context, addr string, pin pki.Pin, request proto.JoinRequest) (proto.JoinReply, error) {
	conn, err := wire.DialJoin(ctx, addr, pin)
	if err != nil {
		return proto.JoinReply{}, err
	}
	s := wire.NewSession(conn, true, wire.Options{})
	defer s.Close()
	return rpc.Call[proto.JoinReply](ctx, s, proto.MethodJoin, request)
}

// serveJoin takes an agent or a coordinator into the fleet, for a token that is used up by it. It is on record, whatever comes of it.
func (c *Coordinator) serveJoin(ctx context.Context, peer wire.Peer, r proto.JoinRequest) (proto.JoinReply, error) {
	reply, err := c.join(ctx, peer, r)
	record := auth.Record{Role: r.Role, Method: proto.MethodJoin, Object: r.Name, Code: "ok"}
	if t, bad := pki.ParseJoin(r.Token); bad == nil {
		if known, ok := c.tables.View().Token(t.ID); ok && t.Hash().Matches(hashOf(known)) {
			record.Actor = "token/" + t.ID
		}
	}
	if err != nil {
		record.Code, record.Reason = string(wire.CodeOf(err)), err.Error()
		if refused := new(proto.Refusal); errors.As(err, &refused) {
			record.Code = string(refused.Result.Code)
		}
	}
	c.audit.Write(ctx, record)
	return reply, err
}

// hashOf returns the hash of a token's secret; one that no secret has if there is none.
func hashOf(t proto.Token) (h pki.TokenHash) {
	copy(h[:], t.Hash)
	return h
}

func (c *Coordinator) join(ctx context.Context, _ wire.Peer, r proto.JoinRequest) (proto.JoinReply, error) {
	t, err := pki.ParseJoin(r.Token)
	if err != nil {
		return proto.JoinReply{}, wire.Errorf(wire.Unauthorized, "%w", err)
	}
	record, ok := c.tables.View().Token(t.ID)
	// Unknown and wrong look the same from outside.
	if !ok || len(record.Hash) != sha256.Size || !t.Hash().Matches(pki.TokenHash(record.Hash)) {
		return proto.JoinReply{}, wire.Errorf(wire.Unauthorized, "the join token is not known to this fleet: make a new one with: glidepath token create --role %s", t.Kind)
	}
	id := pki.Identity{Fleet: c.ca.Fleet(), Kind: pki.Kind(r.Role), Name: r.Name}
	if err := id.Validate(); err != nil {
		return proto.JoinReply{}, wire.Errorf(wire.Invalid, "join as %q: %w", r.Name, err)
	}
	if id.Kind == pki.Coordinator && !config.IsDial(r.RPCAddr) {
		return proto.JoinReply{}, wire.Errorf(wire.Invalid, "join as coordinator %s: %q is not host:port", r.Name, r.RPCAddr)
	}
	now := time.Now()
	// Signed before the token is used up, so that a bad request does not cost the token; it leaves here only after.
	cert, err := c.ca.Sign(r.CSR, id, now)
	if err != nil {
		return proto.JoinReply{}, wire.Errorf(wire.Invalid, "join: %w", err)
	}
	if err := c.do(ctx, id.String(), &proto.TokenUse{ID: t.ID, Role: proto.Role(r.Role), Name: r.Name}); err != nil {
		return proto.JoinReply{}, err
	}
	reply := proto.JoinReply{Fleet: c.ca.Fleet(), Certificate: cert, CA: c.ca.CertPEM(), Coordinators: rpcAddrs(c.tables.View())}
	if id.Kind == pki.Coordinator {
		key, err := pki.KeyOf(cert)
		if err != nil {
			return proto.JoinReply{}, err
		}
		body := &proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: r.Name, RPCAddr: r.RPCAddr, Identity: key, Commands: proto.KnownCommands()}}
		if err := c.do(ctx, id.String(), body); err != nil {
			return proto.JoinReply{}, err
		}
		if reply.CAKey, err = c.ca.KeyPEM(); err != nil {
			return proto.JoinReply{}, err
		}
		reply.GossipKey = c.gossipKey
		for member := range c.tables.View().Coordinators() {
			if member.GossipAddr != "" {
				reply.Gossip = append(reply.Gossip, member.GossipAddr)
			}
		}
	}
	c.log.Info("joined the fleet", "name", r.Name, "role", r.Role, "token", t.ID)
	return reply, nil
}

// found commits what Init prepared, once this coordinator leads its new cluster.
func (c *Coordinator) found(ctx context.Context) error {
	path := filepath.Join(c.cfg.DataDir, foundingFile)
	b, err := durable.ReadFile(c.fsys, path, maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var f founding
	if err := proto.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if c.tables.View().Fleet().ID == "" {
		if err := c.once(ctx, "init-fleet", &proto.FleetInit{Fleet: f.Fleet, GridStep: f.GridStep, Policy: f.Policy}); err != nil {
			return fmt.Errorf("make the fleet: %w", err)
		}
	}
	// This coordinator's address comes before the token: what the token is used for first is to ask for others that carry it.
	if err := c.register(ctx); err != nil {
		return err
	}
	if _, made := c.tables.View().Token(f.Token.ID); !made {
		if err := c.once(ctx, "init-token", &proto.TokenCreate{Token: f.Token}); err != nil {
			return fmt.Errorf("make the first token: %w", err)
		}
	}
	return durable.Remove(c.fsys, path)
}

// once proposes under an identifier of its own, so that a second try after a crash does nothing.
func (c *Coordinator) once(ctx context.Context, id string, body proto.Body) error {
	r, err := c.Propose(ctx, id, "init", body)
	if err != nil {
		return err
	}
	return r.Err()
}

// register states this coordinator's own record when it is not as it should be.
func (c *Coordinator) register(ctx context.Context) error {
	if err := c.takenOut(c.cfg.Name, c.creds.Key()); err != nil {
		return err // nobody would take its proposal; this says why
	}
	want := proto.Coordinator{
		Name: c.cfg.Name, RPCAddr: c.cfg.RPC.Address(), APIAddr: c.cfg.API.Address(), GossipAddr: c.cfg.Gossip.Address(),
		Identity: c.creds.Key(), Program: c.version, Commands: proto.KnownCommands(),
	}
	have, _ := c.tables.View().Coordinator(c.cfg.Name)
	want.JoinedAt = have.JoinedAt
	if same(have, want) {
		return nil
	}
	return c.do(ctx, "coordinator "+c.cfg.Name, &proto.CoordinatorPut{Coordinator: want})
}

func same(a, b proto.Coordinator) bool {
	x, errX := proto.Marshal(a)
	y, errY := proto.Marshal(b)
	return errX == nil && errY == nil && slices.Equal(x, y)
}

// admitHandshake refuses a coordinator that was taken out of the fleet. An agent that was may begin a session: it hears in it that it was, and
// stops what it ran.
func (c *Coordinator) admitHandshake(peer wire.Peer) error {
	if peer.Kind != pki.Coordinator {
		return nil
	}
	return c.admit(peer)
}

// admit refuses a coordinator or an agent that was taken out of the fleet, at each call in a session, which may have begun before.
func (c *Coordinator) admit(peer wire.Peer) error {
	switch peer.Kind {
	case pki.Coordinator:
		return c.takenOut(peer.Name, peer.Key())
	case pki.Agent:
		gone, ok := c.tables.View().RemovedHost(peer.Name, peer.Key())
		const says = "host %s was taken out of the fleet at %s: it has to join again with a token"
		switch {
		case ok && gone.Identity == peer.Key():
			return wire.TakenOutError(says, peer.Name, gone.At)
		case ok: // it may have joined again, as far as a coordinator that was restored from a backup knows
			return wire.Errorf(wire.Unauthorized, says, peer.Name, gone.At)
		}
	}
	return nil
}

// takenOut returns an error if the coordinator with the key was taken out of the fleet, as far as is known here.
func (c *Coordinator) takenOut(name, key string) error {
	if slices.Contains(c.tables.View().Fleet().Removed, key) {
		return wire.Errorf(wire.Unauthorized, "coordinator %s was taken out of the fleet: it has to join again with a token", name)
	}
	return nil
}

// reconcileVoters makes the Raft configuration that of the table of coordinators. Only the leader calls it.
func (c *Coordinator) reconcileVoters() error {
	servers, err := c.consensus.Servers()
	if err != nil {
		return err
	}
	if err := c.takenOut(c.cfg.Name, c.creds.Key()); err != nil {
		c.log.Warn("handing over the leadership", "error", err)
		return c.consensus.Transfer() // who leads then takes this one out
	}
	view := c.tables.View()
	alive := c.alive()
	for member := range view.Coordinators() {
		if !slices.Contains(alive, member.Name) {
			continue // a voter that is not up yet would cost the majority
		}
		known := slices.ContainsFunc(servers, func(s consensus.Server) bool {
			return s.Name == member.Name && s.Addr == member.RPCAddr && s.Voter
		})
		if !known {
			c.log.Info("taking a coordinator into the cluster", "name", member.Name, "address", member.RPCAddr)
			if err := c.consensus.AddVoter(member.Name, member.RPCAddr); err != nil {
				return err
			}
		}
	}
	for _, s := range servers {
		if _, stays := view.Coordinator(s.Name); !stays && s.Name != c.cfg.Name {
			c.log.Info("taking a coordinator out of the cluster", "name", s.Name)
			if err := c.consensus.Remove(s.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
