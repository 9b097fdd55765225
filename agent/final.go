package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/proto"
)

// readyTime is how long an early round waits for the processes of its final one.
const readyTime = 5 * time.Second

// final is a final round. It may be run when it is connected; it is ready when its processes at both ends wait for the word.
type final struct {
	token     fence.Token
	cancel    context.CancelCauseFunc
	connected chan struct{} // closed when the following are set
	rounds    []*transfer.Armed
	err       error

	ready    chan struct{} // closed when nothing more is to be gained by waiting
	ended    chan struct{} // closed when it could not be made ready, when a round of it has ended, and when it has run or was dropped
	end      func()        // closes it
	watching sync.WaitGroup
}

// fits reports whether a final round that waits may serve an operation: it was made ready for the same move, before the freeze or after it.
func (f *final) fits(op proto.Operation) bool {
	return f.token.Incarnation == op.Incarnation && f.token.Fence <= op.Fence
}

// over reports whether a final round can't be used any more: it could not be made ready, or has ended while it waited.
func (f *final) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// run waits until the round is connected, gives all paths the word, and waits for what comes of them. When ctx ends all is ended.
func (f *final) run(ctx context.Context) (proto.RoundResult, error) {
	defer context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })()
	<-f.connected
	if f.err != nil {
		f.drop()
		return proto.RoundResult{}, f.err
	}
	results := make([]proto.RoundResult, len(f.rounds))
	errs := make([]error, len(f.rounds))
	var all sync.WaitGroup
	for i, r := range f.rounds {
		all.Go(func() { results[i], errs[i] = r.Run() })
	}
	all.Wait()
	var sum proto.RoundResult
	digest := sha256.New()
	for _, r := range results {
		add(&sum, r)
		_, _ = io.WriteString(digest, r.Digest+"\n") // a hash takes everything
	}
	sum.Digest = hex.EncodeToString(digest.Sum(nil))
	return sum, errors.Join(errs...)
}

// drop ends a final round that will not run. Dropping it again does nothing.
func (f *final) drop() {
	if f == nil {
		return
	}
	f.cancel(transfer.ErrGivenUp)
	<-f.connected
	for _, r := range f.rounds {
		if r != nil {
			r.Cancel()
		}
	}
	f.put()
}

// put waits until nothing is left of one whose rounds are over.
func (f *final) put() {
	f.watching.Wait()
	f.cancel(nil)
	f.end()
}

// begun is a final round that runs, or has run.
type begun struct {
	token  fence.Token // of the freeze that it follows, or of who asked for it: its data are those of no other
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when the following are set
	sum    proto.RoundResult
	err    error
}

// wait returns what came of it. When ctx ends it is ended.
func (b *begun) wait(ctx context.Context) (proto.RoundResult, error) {
	defer context.AfterFunc(ctx, func() { b.cancel(context.Cause(ctx)) })()
	<-b.ended
	b.cancel(nil)
	return b.sum, b.err
}

// drop ends one that nobody waits for.
func (b *begun) drop() {
	if b == nil {
		return
	}
	b.cancel(transfer.ErrGivenUp)
	<-b.ended
}
