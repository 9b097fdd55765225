// Package instance says what every kind of instance must be able to do on a host: the contract between the operations of a migration and the drivers that carry them out.
package instance

import (
	"context"

	"github.com/glidepath/glidepath/proto"
)

// Driver runs, stops, moves and gives back instances of one kind.
//
// Every operation is idempotent and can be taken up again: after a crash between any two of its steps the same operation sent
// again converges to the same end. The ownership record comes first where an operation leads to less running, and is made
// durable before anything that it allows where it leads to more.
type Driver interface {
	// Operate carries out one operation to its end: all kinds but the rounds of a transfer. The caller has made the
	// operation durable, and calls for one operation of an instance at a time; other instances' operations run
	// concurrently, and so do an instance's hooks, one call of them at a time. When ctx ends it stops as soon as it can,
	// leaving what the same operation can go on from. The result's ID is left for the caller to fill in.
	Operate(ctx context.Context, op proto.Operation) proto.OperationResult

	// Recover is called once after each start of the agent, before any operation and before Run. It brings the host in
	// line with its ownership records, only ever towards less running, and puts the addresses of what this host owns back.
	Recover(ctx context.Context) error

	// Run renews permits and ends what has lost its own, until ctx ends. Instances go on running.
	Run(ctx context.Context) error

	// Holdings returns what this host holds, sorted by instance. It may be called at any time.
	Holdings(ctx context.Context) ([]proto.Holding, error)
}
