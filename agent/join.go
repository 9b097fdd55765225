package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// Refusal is an answer of no: nothing was changed. What it says names the remedy.
type Refusal struct{ Reason string }

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// JoinRequest says how to join a fleet.
type JoinRequest struct {
	Token        string
	Coordinators []string // host:port; before those that the token names
	Name         string   // of the host in the fleet; "": the token's, or the configuration's
	Again        bool     // although the host has joined already
}

// Joined is what came of joining.
type Joined struct {
	Name         string
	Fleet        string
	Coordinator  string // that let the host in
	Coordinators []string
}

// joinTimeout bounds the attempt at one coordinator.
const joinTimeout = 30 * time.Second

// Join makes this host one of the token's fleet: it gets a certificate, and learns the coordinators.
func Join(ctx context.Context, cfg Config, req JoinRequest) (Joined, error) {
	token, err := pki.ParseJoin(req.Token)
	if err != nil {
		return Joined{}, err
	}
	name, err := joinName(cfg, req, token)
	if err != nil {
		return Joined{}, err
	}
	addrs := slices.Concat(req.Coordinators, cfg.Coordinators, token.Addresses)
	if len(addrs) == 0 {
		return Joined{}, refuse("the token names no coordinator: say --coordinator HOST:PORT")
	}
	cfg.Name = name
	if err := errors.Join(cfg.Validate(), cfg.makeDirs()); err != nil {
		return Joined{}, err
	}
	lock, err := durable.LockDir(cfg.DataDir)
	if errors.Is(err, durable.ErrLocked) {
		return Joined{}, refuse("the agent is running: stop it first with systemctl stop glidepath-agent (%v)", err)
	}
	if err != nil {
		return Joined{}, err
	}
	defer lock.Unlock()
	dir := pki.NewDir(durable.OS{}, cfg.path(pkiDir))
	before, err := dir.LoadNode()
	if err == nil && !req.Again {
		return Joined{}, refuse("this host has joined already%s: say --again to join anew", asWhom(before))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !req.Again {
		return Joined{}, err
	}

	node, joined, err := ask(ctx, addrs, token, name)
	if err != nil {
		return Joined{}, err
	}
	if err := cfg.forgetOther(before, joined.Fleet); err != nil {
		return Joined{}, err
	}
	if err := cfg.learnCoordinators(joined.Coordinators); err != nil {
		return Joined{}, err
	}
	return joined, dir.SaveNode(node) // last: with it the host has joined
}

func joinName(cfg Config, req JoinRequest, token pki.JoinToken) (string, error) {
	if token.Kind != pki.Agent {
		return "", refuse("the token lets a %s join: make one for a host with: glidepath token create --role agent", token.Kind)
	}
	switch {
	case token.Name != "" && req.Name != "" && token.Name != req.Name:
		return "", refuse("the token is for host %s, not %s: leave out --name, or make another token", token.Name, req.Name)
	case token.Name != "":
		return token.Name, nil
	case req.Name != "":
		return req.Name, nil
	}
	return cfg.Name, nil
}

func asWhom(n pki.Node) string {
	creds, err := n.Credentials()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", fleet %s, as %s", creds.Identity().Fleet, creds.Identity().Name)
}

// ask asks one coordinator after the other for a certificate. The first that answers decides.
func ask(ctx context.Context, addrs []string, token pki.JoinToken, name string) (pki.Node, Joined, error) {
	key, err := pki.NewKey()
	if err != nil {
		return pki.Node{}, Joined{}, err
	}
	keyPEM, err := pki.EncodeKey(key)
	if err != nil {
		return pki.Node{}, Joined{}, err
	}
	csr, err := pki.NewCSR(key, name)
	if err != nil {
		return pki.Node{}, Joined{}, err
	}
	request := proto.JoinRequest{Version: proto.Version, Token: token.Encode(), Name: name, Role: string(pki.Agent), CSR: csr}
	var failed []error
	for i := 0; i < len(addrs) && ctx.Err() == nil; i++ {
		reply, err := askOne(ctx, addrs[i], token.Pin, request)
		if leader, ok := wire.LeaderOf(err); ok && !slices.Contains(addrs, leader) {
			addrs = append(slices.Clone(addrs), leader)
		}
		switch wire.CodeOf(err) {
		case wire.OK:
		case wire.Refused, wire.Invalid, wire.Unauthorized, wire.Conflict, wire.NotFound:
			return pki.Node{}, Joined{}, refuse("%s did not let this host join: %v", addrs[i], err)
		default: // it can't be reached, or can't decide
			failed = append(failed, fmt.Errorf("%s: %w", addrs[i], err))
			continue
		}
		node := pki.Node{Cert: reply.Certificate, Key: keyPEM, CA: reply.CA}
		creds, err := node.Credentials()
		if err != nil {
			return pki.Node{}, Joined{}, fmt.Errorf("%s answered a certificate that is no good: %w", addrs[i], err)
		}
		if want := (pki.Identity{Fleet: reply.Fleet, Kind: pki.Agent, Name: name}); creds.Identity() != want {
			return pki.Node{}, Joined{}, fmt.Errorf("%s answered a certificate for %s of fleet %s, not for %s", addrs[i], creds.Identity(), creds.Identity().Fleet, want)
		}
		known := reply.Coordinators
		if len(known) == 0 {
			known = []string{addrs[i]}
		}
		return node, Joined{Name: name, Fleet: reply.Fleet, Coordinator: addrs[i], Coordinators: known}, nil
	}
	return pki.Node{}, Joined{}, fmt.Errorf("no coordinator could be asked: %w", errors.Join(append(failed, ctx.Err())...))
}

func askOne(ctx context.Context, addr string, pin pki.Pin, request proto.JoinRequest) (proto.JoinReply, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	conn, err := wire.DialJoin(ctx, addr, pin)
	if errors.Is(err, pki.ErrPin) {
		return proto.JoinReply{}, wire.Errorf(wire.Refused, "%w", err)
	}
	if err != nil {
		return proto.JoinReply{}, err
	}
	s := wire.NewSession(conn, true, wire.Options{})
	defer s.Close()
	return rpc.Call[proto.JoinReply](ctx, s, proto.MethodJoin, request)
}

// forgetOther removes what another fleet left here, whose decisions mean nothing in this one. Instances that it owns
// must have been released before.
func (c Config) forgetOther(before pki.Node, fleet string) error {
	creds, err := before.Credentials()
	if err != nil || creds.Identity().Fleet == fleet {
		return nil //nolint:nilerr // there was none
	}
	records, err := fence.Read(durable.OS{}, c.FenceDir())
	if err != nil {
		return err
	}
	if len(records) > 0 {
		return refuse("this host still holds instance %s of fleet %s: release it there first with glidepath instance release %s", records[0].Instance, creds.Identity().Fleet, records[0].Instance)
	}
	for _, name := range []string{documentFile, operationsFile, bufferDir, fenceDir} {
		if err := os.RemoveAll(filepath.Join(c.DataDir, name)); err != nil {
			return fmt.Errorf("forget fleet %s: %w", creds.Identity().Fleet, err)
		}
	}
	return c.makeDirs()
}
