package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/instance"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// source sends an instance's data; *courier is the real one.
type source interface {
	Early(ctx context.Context, op proto.Operation, progress func(proto.Progress)) (proto.RoundResult, error) // progress is called concurrently
	Arm(op proto.Operation)                                                                                  // returns at once
	Begin(op proto.Operation)                                                                                // returns at once
	Final(ctx context.Context, op proto.Operation) (proto.RoundResult, error)
	Forget(migration string) error
}

// target receives an instance's data; *gate is the real one.
type target interface {
	Open(op proto.Operation) error
	Close(migration string) error
}

// operator carries out operations: the driver of the instance's kind does what is done to the instance, source and target
// move its data. Who is called in which order is decided here.
type operator struct {
	drivers map[string]instance.Driver // by the kind that specs name
	source  source
	target  target
	release func(context.Context) // ends what is kept on this host in case that more data come or go
	record  func(instance string) fence.Record
	now     func() timeline.Time // the coordinators' time
	began   func(instance string) (ended func())
	ended   func(op proto.Operation, result proto.OperationResult)
}

// handle implements session.Handler.
func (o *operator) handle(ctx context.Context, op proto.Operation, progress func(proto.Progress)) proto.OperationResult {
	defer o.began(op.Instance)()
	if op.Deadline != 0 && !towardsLess(op.Kind) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, op.Deadline.Sub(o.now()))
		defer cancel()
	}
	result := o.carryOut(ctx, op, progress)
	o.ended(op, result)
	return result
}

// towardsLess tells the operations that no deadline cuts short: half a stop is worse than a late one.
func towardsLess(k proto.OperationKind) bool {
	switch k {
	case proto.OpFreeze, proto.OpRefuse, proto.OpCleanTarget, proto.OpRetire:
		return true
	}
	return false
}

func (o *operator) carryOut(ctx context.Context, op proto.Operation, progress func(proto.Progress)) proto.OperationResult {
	switch op.Kind {
	case proto.OpSyncRound:
		return o.round(op, proto.FenceOwner, func() (proto.RoundResult, error) { return o.source.Early(ctx, op, progress) })
	case proto.OpFinalSync:
		return o.round(op, proto.FenceFrozen, func() (proto.RoundResult, error) { return o.source.Final(ctx, op) })
	case proto.OpFreeze:
		sends := op.Peer.SyncAddr != "" && !o.stale(op)
		if sends {
			o.source.Arm(op) // the final round gets ready while the source is being stopped
		}
		result := o.drive(ctx, op)
		if sends && result.Error == nil {
			o.source.Begin(op) // and runs while the coordinators hear that it is
		}
		return result
	case proto.OpPrepareTarget:
		result := o.drive(ctx, op)
		if result.Error == nil {
			result.Error = faultOf(o.target.Open(op))
		}
		return result
	case proto.OpStart, proto.OpRefuse, proto.OpCleanTarget:
		// Nothing more is received from here on: not under an instance that runs, and not after its data were removed.
		if !o.stale(op) {
			if err := o.target.Close(op.Migration); err != nil {
				return proto.OperationResult{Error: faultOf(err)}
			}
			if op.Kind == proto.OpCleanTarget {
				o.release(ctx)
			}
		}
	case proto.OpThaw:
		// First, or a final round that has begun would go on reading beside an instance whose clients wait.
		var forgot error
		if !o.stale(op) {
			forgot = o.source.Forget(op.Migration)
		}
		result := o.drive(ctx, op)
		if result.Error == nil {
			result.Error = faultOf(forgot)
		}
		return result
	case proto.OpRetire:
		result := o.drive(ctx, op)
		if result.Error == nil {
			result.Error = faultOf(o.source.Forget(op.Migration))
		}
		return result
	}
	return o.drive(ctx, op)
}

// stale reports whether the host has seen a newer decision about the instance.
func (o *operator) stale(op proto.Operation) bool {
	return tokenOf(op).Compare(o.record(op.Instance).Token) < 0
}

func (o *operator) drive(ctx context.Context, op proto.Operation) proto.OperationResult {
	kind := op.Spec.Driver
	if known := o.record(op.Instance).Spec.Driver; known != "" {
		kind = known // as it was checked when it came here
	}
	driver := o.drivers[kind]
	if driver == nil {
		return proto.OperationResult{Error: &proto.Fault{
			Code: proto.FaultRefused, What: fmt.Sprintf("this agent has no driver %q for instance %s", kind, op.Instance), Remedy: "upgrade it, or correct the instance's file",
		}}
	}
	return driver.Operate(ctx, op)
}

// round carries out a round of a transfer, if this host is the source by its record: the owner in the early rounds, frozen in the last.
func (o *operator) round(op proto.Operation, want proto.FenceState, send func() (proto.RoundResult, error)) proto.OperationResult {
	r := o.record(op.Instance)
	if o.stale(op) {
		return proto.OperationResult{Error: &proto.Fault{
			Code: proto.FaultStale, What: fmt.Sprintf("%s of instance %s came under %s, this host has seen %s", op.Kind, op.Instance, tokenOf(op), r.Token),
			Remedy: "nothing needs doing; a newer decision holds",
		}}
	}
	if r.State != want || want == proto.FenceFrozen && r.Migration != op.Migration {
		return proto.OperationResult{Error: &proto.Fault{
			Code: proto.FaultRefused, What: fmt.Sprintf("%s of instance %s: it is %q here, not %q", op.Kind, op.Instance, r.State, want),
			Remedy: "see `glidepath migration show " + op.Migration + "`",
		}}
	}
	began := time.Now()
	result, err := send()
	result.Took = time.Since(began).Milliseconds()
	if err != nil {
		return proto.OperationResult{Error: faultOf(err)}
	}
	return proto.OperationResult{Round: &result}
}

// faultOf puts an error into the form that survives the wire.
func faultOf(err error) *proto.Fault {
	if err == nil {
		return nil
	}
	var f *proto.Fault
	if errors.As(err, &f) {
		return f
	}
	return transfer.Fault(err)
}
