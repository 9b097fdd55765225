// Package interrupt lets Ctrl-C end what a program does, also where it reads what nobody has typed yet.
package interrupt

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Context returns a context that ends at the first SIGINT or SIGTERM. The second one does what it does to any program: where the first does not
// help, it kills. Call stop when done.
func Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	ctx, end := context.WithCancelCause(parent)
	heard, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(heard, func() {
		stop() // first: whoever sees the end of the context may reckon with it
		end(context.Cause(heard))
	})
	return ctx, stop
}

// Reader returns what reads from in until ctx ends; then it returns the context's cause at once.
//
// A read of a terminal or a pipe can't be called back: the goroutine that is in it then ends with the program, or when something comes. So this is
// for a program's standard input.
func Reader(ctx context.Context, in io.Reader) io.Reader { return &reader{ctx, in} }

type reader struct {
	ctx context.Context //nolint:containedctx // that of the one who reads
	in  io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	type got struct {
		n   int
		err error
	}
	read := make(chan got, 1)
	buf := make([]byte, len(p)) // p is the caller's again when the context has ended
	go func() {
		n, err := r.in.Read(buf)
		read <- got{n, err}
	}()
	select {
	case g := <-read:
		return copy(p, buf[:g.n]), g.err
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
}
