package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// keptResults is how many results of ended operations are remembered for coordinators that ask again.
const keptResults = 256

// Handler carries out an operation. Sending progress is optional. It is called for one operation of an instance at a
// time, possibly for one that an earlier life of the agent had begun; an instance's hooks are run beside its other operations, one call of them at a time.
type Handler func(ctx context.Context, op proto.Operation, progress func(proto.Progress)) proto.OperationResult

// entry is what the journal says of an operation: first the operation, if it would have to be finished, later the result.
type entry struct {
	Operation *proto.Operation       `msgpack:"o,omitempty"`
	Result    *proto.OperationResult `msgpack:"r,omitempty"`
}

// Operations carries out operations once each. One that leads towards less running is in the journal before anything of it is done, and the result
// of any before anybody hears of it. Its methods may be called concurrently.
type Operations struct {
	handle  Handler
	journal *durable.Journal
	log     *slog.Logger
	ctx     context.Context // ends when Close is called
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	active  map[string]*active
	results map[string]proto.OperationResult
	order   []string                 // of results, oldest first
	turns   map[string]chan struct{} // by turnOf: who holds the one place runs
	tried   map[string]int           // attempts at hooks that were begun and have no result, as earlier lives counted them
}

// active is an operation that has not ended.
type active struct {
	op       proto.Operation
	cancel   context.CancelFunc
	done     chan struct{} // closed when result is there
	result   proto.OperationResult
	progress proto.Progress
}

// lessRunning tells the operations that lead towards less running. Only these are finished by an agent that comes
// back and finds them begun: what leads towards more may have been decided otherwise in the meantime.
func lessRunning(op proto.Operation) bool {
	switch op.Kind {
	case proto.OpFreeze, proto.OpRefuse, proto.OpCleanTarget, proto.OpRetire:
		return true
	case proto.OpHook:
		return op.Hook != nil && op.Hook.LessRunning()
	}
	return false
}

// journaled tells the operations that are in the journal before they begin: those that are finished, and hooks, which are told how often they were tried.
func journaled(op proto.Operation) bool {
	return lessRunning(op) || op.Kind == proto.OpHook && op.Hook != nil
}

// turnOf returns in which line an operation stands.
func turnOf(op proto.Operation) string {
	if op.Kind == proto.OpHook {
		return op.Instance + " hooks" // the final round must not wait for what runs beside it
	}
	return op.Instance
}

// OpenOperations opens the journal at path. Resume finishes what an earlier life began.
func OpenOperations(fsys durable.FS, path string, handle Handler, log *slog.Logger) (*Operations, []proto.Operation, error) {
	o := &Operations{
		handle: handle, log: log, active: map[string]*active{}, results: map[string]proto.OperationResult{}, turns: map[string]chan struct{}{},
		tried: map[string]int{},
	}
	o.ctx, o.stop = context.WithCancel(context.Background())
	begun := map[string]proto.Operation{}
	var order []string
	var err error
	o.journal, err = durable.OpenJournal(fsys, path, durable.JournalOptions{}, func(record []byte) error {
		var e entry
		if err := proto.Unmarshal(record, &e); err != nil {
			return err
		}
		if e.Operation != nil {
			begun[e.Operation.ID] = *e.Operation
			order = append(order, e.Operation.ID)
		}
		if e.Result != nil {
			delete(begun, e.Result.ID)
			o.remember(*e.Result)
		}
		return nil
	})
	if err != nil {
		o.stop()
		return nil, nil, fmt.Errorf("journal of operations: %w", err)
	}
	var resume []proto.Operation
	for _, id := range order {
		op, open := begun[id]
		if !open {
			continue
		}
		if op.Kind == proto.OpHook && op.Hook != nil {
			o.tried[id] = op.Hook.Attempt
		}
		if lessRunning(op) {
			resume = append(resume, op)
		}
		delete(begun, id)
	}
	return o, resume, nil
}

// remember keeps a result, and forgets the oldest past keptResults. o.mu is held, or nobody else knows o yet.
func (o *Operations) remember(r proto.OperationResult) {
	if _, known := o.results[r.ID]; !known {
		o.order = append(o.order, r.ID)
	}
	o.results[r.ID] = r
	delete(o.tried, r.ID)
	for len(o.order) > keptResults {
		delete(o.results, o.order[0])
		o.order = o.order[1:]
	}
}

// Do carries out an operation, joins it if it is running, or repeats the result if it has ended. When ctx ends the
// operation goes on; asking again finds it.
func (o *Operations) Do(ctx context.Context, op proto.Operation) (proto.OperationResult, error) {
	if err := proto.ValidID("operation", op.ID); err != nil {
		return proto.OperationResult{}, wire.Errorf(wire.Invalid, "%w", err)
	}
	a, result, err := o.begin(op)
	if a == nil {
		return result, err
	}
	select {
	case <-a.done:
		return a.result, nil
	case <-ctx.Done():
		return proto.OperationResult{}, context.Cause(ctx)
	}
}

// begin returns the running operation, started now if need be, or the result of one that has ended.
func (o *Operations) begin(op proto.Operation) (*active, proto.OperationResult, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r, ended := o.results[op.ID]; ended {
		return nil, r, nil
	}
	if a := o.active[op.ID]; a != nil {
		return a, proto.OperationResult{}, nil
	}
	if o.ctx.Err() != nil {
		return nil, proto.OperationResult{}, wire.Errorf(wire.Unavailable, "the agent is stopping")
	}
	if op.Kind == proto.OpHook && op.Hook != nil {
		call := *op.Hook
		call.Attempt = max(call.Attempt, o.tried[op.ID]+1)
		op.Hook = &call
	}
	if journaled(op) { // of the others nothing would come of it but a write that clients wait for
		if err := o.write(entry{Operation: &op}); err != nil {
			err = fmt.Errorf("operation %s was not begun: %w", op.ID, err)
			if op.Kind == proto.OpFreeze {
				// An answer at once, by which the migration is given up at no loss: clients wait from the decision on. The others are asked for again:
				// a target that can't refuse for good is passed over when its permit has run out, as one that is silent.
				err = wire.Errorf(wire.Refused, "%w", err)
			}
			return nil, proto.OperationResult{}, err
		}
	}
	turn := o.turns[turnOf(op)]
	if turn == nil {
		turn = make(chan struct{}, 1)
		o.turns[turnOf(op)] = turn
	}
	a := &active{op: op, done: make(chan struct{}), progress: proto.Progress{ID: op.ID, Stage: string(op.Kind)}}
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(o.ctx)
	o.active[op.ID] = a
	o.running.Go(func() {
		defer a.cancel()
		turn <- struct{}{} // also when cancelled: what came before has to end first
		defer func() { <-turn }()
		o.run(ctx, a)
	})
	return a, proto.OperationResult{}, nil
}

func (o *Operations) run(ctx context.Context, a *active) {
	start := time.Now()
	log := o.log.With("operation", a.op.ID, "kind", a.op.Kind, "instance", a.op.Instance, "migration", a.op.Migration)
	log.Info("operation begins", "fence", a.op.Fence)
	result := o.handle(ctx, a.op, func(p proto.Progress) {
		o.mu.Lock()
		p.ID = a.op.ID
		a.progress = p
		o.mu.Unlock()
	})
	result.ID, result.Took = a.op.ID, time.Since(start).Milliseconds()
	if result.Error != nil {
		log.Warn("operation failed", "took", time.Since(start), "error", result.Error)
	} else {
		log.Info("operation done", "took", time.Since(start))
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.active, a.op.ID)
	a.result = result
	defer close(a.done)
	if o.ctx.Err() != nil && result.Error != nil {
		return // cut short because the agent stops: it is no result; the operation is begun again when it is asked for again
	}
	if err := o.write(entry{Result: &result}); err != nil {
		log.Error("the result of an operation could not be written; it is carried out again if it is asked for again", "error", err)
		return
	}
	o.remember(result)
}

// write appends to the journal. A full one is made anew from the operations that run and the results that are kept. o.mu is held.
func (o *Operations) write(e entry) error {
	b, err := proto.Marshal(e)
	if err != nil {
		return err
	}
	err = o.journal.Append(b)
	if !errors.Is(err, durable.ErrJournalFull) {
		return err
	}
	var keep [][]byte
	for _, id := range o.order {
		r := o.results[id]
		if b, err := proto.Marshal(entry{Result: &r}); err == nil {
			keep = append(keep, b)
		}
	}
	for _, a := range o.active {
		if !journaled(a.op) {
			continue
		}
		if b, err := proto.Marshal(entry{Operation: &a.op}); err == nil {
			keep = append(keep, b)
		}
	}
	return o.journal.Compact(append(keep, b))
}

// Cancel ends the context of a running operation; what it then answers is its result. One that is not running is no error.
func (o *Operations) Cancel(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.active[id]; a != nil {
		a.cancel()
	}
}

// Progress returns how far a running operation is, and false if it does not run.
func (o *Operations) Progress(id string) (proto.Progress, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.active[id]; a != nil {
		return a.progress, true
	}
	return proto.Progress{}, false
}

// Resume begins operations again that an earlier life had begun: see OpenOperations.
func (o *Operations) Resume(ops []proto.Operation) error {
	for _, op := range ops {
		if _, _, err := o.begin(op); err != nil {
			return fmt.Errorf("finish operation %s: %w", op.ID, err)
		}
	}
	return nil
}

// Close cancels what runs, waits for it, and closes the journal.
func (o *Operations) Close() error {
	o.stop()
	o.running.Wait()
	return o.journal.Close()
}
