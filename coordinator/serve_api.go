package coordinator

import (
	"context"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// api returns the HTTP API of this coordinator.
func (c *Coordinator) api() *api.Server {
	return api.New(api.Config{
		Version: c.version, Credentials: c.creds, Pin: c.ca.Pin(),
		View: c.tables.View, OwnView: c.tables.Own, Changed: c.tables.Changed, Propose: c.Propose,
		Forecast: c.Forecast, CallAgent: c.CallAgent, Presence: c.Presence, DataBytes: c.dataBytes,
		ImportHistory: c.ImportHistory, ExportHistory: c.ExportHistory, Above: c.Above, Forget: c.homes.Forget, Scores: c.Scores, AllScores: c.AllScores, HostTasks: c.HostTasks,
		MigrationProgress: func(ctx context.Context, id string) any {
			p, err := c.progress(ctx, id)
			if err != nil {
				return nil
			}
			return p
		},
		Leader:   c.consensus.Leader,
		TakenOut: func() error { return c.takenOut(c.cfg.Name, c.creds.Key()) },
		Snapshot: c.Snapshot, Bundle: c.Bundle,
		Members: c.Members, RemoveMember: c.RemoveMember, TransferLeadership: c.TransferLeadership,
		Metrics: c.metrics.Handler(), Requested: c.metrics.Requested,
		Costs: planner.DefaultCosts(), Audit: c.audit, Log: c.log.With("component", "api"),
	})
}

// dataBytes asks the owner's agent how much data an instance has.
func (c *Coordinator) dataBytes(ctx context.Context, instance string) (int64, error) {
	i, ok := c.tables.View().Instance(instance)
	if !ok {
		return 0, wire.Errorf(wire.NotFound, "there is no instance %s", instance)
	}
	op := proto.Operation{
		ID: NewID(), Kind: proto.OpVerifySource, Instance: instance, Fence: i.Fence,
		Incarnation: c.tables.View().Fleet().Incarnation, Spec: i.Spec,
	}
	body, err := proto.Marshal(op)
	if err != nil {
		return 0, err
	}
	r, err := rpc.Decode[proto.OperationResult](c.CallAgent(ctx, i.Owner, proto.MethodOperate, body))
	switch {
	case err != nil:
		return 0, err
	case r.Error != nil:
		return 0, r.Error
	case r.Source == nil:
		return 0, nil
	}
	return r.Source.DataBytes, nil
}

// progress asks the leader how far a migration is.
func (c *Coordinator) progress(ctx context.Context, id string) (proto.MigrationProgress, error) {
	name, addr := c.consensus.Leader()
	if name == c.cfg.Name {
		return c.serveProgress(ctx, wire.Peer{}, proto.MigrationRef{ID: id})
	}
	s, err := c.peers.Get(ctx, name, addr)
	if err != nil {
		return proto.MigrationProgress{}, err
	}
	return rpc.Call[proto.MigrationProgress](ctx, s, proto.MethodMoving, proto.MigrationRef{ID: id})
}

// serveProgress answers for the leader.
func (c *Coordinator) serveProgress(_ context.Context, _ wire.Peer, r proto.MigrationRef) (proto.MigrationProgress, error) {
	p, ok := c.migrations.Progress(r.ID)
	if !ok {
		return proto.MigrationProgress{}, wire.Errorf(wire.NotFound, "migration %s is not being walked here", r.ID)
	}
	return proto.MigrationProgress{
		Operation: p.Operation, Host: p.Host, Stage: p.Stage, Round: p.Round, Bytes: p.Bytes, Total: p.Total, Sent: p.Sent,
		Trouble: p.Trouble, Since: p.Since,
	}, nil
}
