package transfer

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/glidepath/glidepath/agent/transfer/frame"
	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/proto"
)

// The peer goes on to its next exchange once it has heard of a good end, though its own words are still under way.
func TestWhatEndsAnExchangeAfterItsGoodEndIsToldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			defer here.Close()
			_, _, err := newLink(here, "source host-a", nil, 0).exchange(ctx, local{
				in: discard{}, out: io.NopCloser(strings.NewReader("")),
				run: func(context.Context) (tree.Result, error) { return tree.Result{}, nil },
			})
			ended <- err
		}()
		in := frame.NewReader(there, maxMessage)
		hear := func(want byte) (e end) {
			t.Helper()
			kind, p, err := in.Next()
			if err != nil || kind != want {
				t.Errorf("heard %q, %v; want %q", kind, err, want)
				return e
			}
			if kind == frameEnd {
				if err := proto.Unmarshal(p, &e); err != nil {
					t.Error(err)
				}
			}
			return e
		}
		hear(frameFin)
		if e := hear(frameEnd); e.Cause != "" {
			t.Errorf("ended by %q", e.Cause)
		}
		cancel(ErrReplaced)
		if e := hear(frameEnd); e.Cause != "replaced" {
			t.Errorf("then told %q", e.Cause)
		}
		if err := <-ended; !errors.Is(err, ErrReplaced) {
			t.Error(err)
		}
	})
}
