package agent

import (
	"context"
	"errors"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/session"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// services is what coordinators may call.
type services struct {
	documents  *session.Documents
	operations *session.Operations
	holdings   func(ctx context.Context) ([]proto.Holding, error)
	readBack   func(ctx context.Context, instance string) (enforce.Held, error)
	retention  func(ctx context.Context) (proto.Retention, error)
	tasks      func(have string) proto.TasksReply
	signals    func(instance string) []proto.SignalState
	board      *board
	documented func(error) // is told of every document that came, and why it was not taken
}

// mux returns the methods. They are served on sessions that this agent dialled, so whoever calls is a coordinator of the fleet.
func (s services) mux() *wire.Mux {
	m := wire.NewMux()
	rpc.Handle(m, proto.MethodDocument, func(_ context.Context, _ wire.Peer, d proto.Document) (proto.DocumentVersion, error) {
		v, err := s.documents.Put(d)
		s.documented(err)
		return v, err
	})
	rpc.Handle(m, proto.MethodOperate, func(ctx context.Context, _ wire.Peer, op proto.Operation) (proto.OperationResult, error) {
		return s.operations.Do(ctx, op)
	})
	rpc.Handle(m, proto.MethodProgress, func(_ context.Context, _ wire.Peer, ref proto.OperationRef) (proto.Progress, error) {
		p, running := s.operations.Progress(ref.ID)
		if !running {
			return p, wire.Errorf(wire.NotFound, "operation %q does not run here", ref.ID)
		}
		return p, nil
	})
	rpc.Handle(m, proto.MethodCancel, func(_ context.Context, _ wire.Peer, ref proto.OperationRef) (rpc.Empty, error) {
		s.operations.Cancel(ref.ID)
		return rpc.Empty{}, nil
	})
	rpc.Handle(m, proto.MethodHoldings, func(ctx context.Context, _ wire.Peer, _ rpc.Empty) (proto.Holdings, error) {
		h, err := s.holdings(ctx)
		return proto.Holdings{Holdings: h}, err
	})
	rpc.Handle(m, proto.MethodReadBack, s.readBackOf)
	rpc.Handle(m, proto.MethodRetained, func(ctx context.Context, _ wire.Peer, _ rpc.Empty) (proto.Retention, error) {
		return s.retention(ctx)
	})
	rpc.Handle(m, proto.MethodTasks, func(_ context.Context, _ wire.Peer, r proto.TasksRequest) (proto.TasksReply, error) {
		return s.tasks(r.Have), nil
	})
	return m
}

// readBackOf answers what the kernel holds for an instance beside what was to be held.
func (s services) readBackOf(ctx context.Context, _ wire.Peer, ref proto.InstanceRef) (proto.ReadBack, error) {
	shown, known := s.board.of(ref.Instance)
	if !known {
		return proto.ReadBack{}, wire.Errorf(wire.NotFound, "instance %q is not steered on this host", ref.Instance)
	}
	held, err := s.readBack(ctx, ref.Instance)
	switch {
	case errors.Is(err, enforce.ErrNotRunning), errors.Is(err, enforce.ErrNotAttached):
		return proto.ReadBack{}, wire.Errorf(wire.Refused, "%w", err)
	case err != nil:
		return proto.ReadBack{}, err
	}
	version, _ := s.board.all()
	return proto.ReadBack{
		Instance: ref.Instance, Document: version, Files: held.Files, Held: held.Limits,
		Scheduled: shown.scheduled, Granted: shown.granted,
		Measured: shown.measured, Demand: shown.demanded, Throttled: shown.lately.sum().Milliseconds(), Free: shown.free,
		Signals: s.signals(ref.Instance),
	}, nil
}
