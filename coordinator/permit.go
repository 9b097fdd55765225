package coordinator

import (
	"context"

	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// servePermit asks the leader whether a host's agent may go on running a starting instance.
func (c *Coordinator) servePermit(ctx context.Context, peer wire.Peer, r proto.PermitRequest) (proto.PermitReply, error) {
	reply, err := c.permit(ctx, peer, r)
	c.metrics.Permitted(reply, err)
	return reply, err
}

func (c *Coordinator) permit(ctx context.Context, peer wire.Peer, r proto.PermitRequest) (proto.PermitReply, error) {
	p := proto.HostPermit{Host: peer.Name, Request: r}
	name, addr := c.consensus.Leader()
	if name == c.cfg.Name {
		return c.migrations.Permit(ctx, p)
	}
	if name == "" {
		return proto.PermitReply{}, wire.Errorf(wire.Unavailable, "no leader is elected at the moment")
	}
	s, err := c.peers.Get(ctx, name, addr)
	if err != nil {
		return proto.PermitReply{}, err
	}
	return rpc.Call[proto.PermitReply](ctx, s, proto.MethodGrant, p)
}

// serveGrant answers for the leader. One that is not is found out by Permit.
func (c *Coordinator) serveGrant(ctx context.Context, _ wire.Peer, p proto.HostPermit) (proto.PermitReply, error) {
	return c.migrations.Permit(ctx, p)
}
