package rpc

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func TestTypedCallsCarryRepliesAndRefusals(t *testing.T) {
	mux := wire.NewMux()
	Handle(mux, "double", func(_ context.Context, _ wire.Peer, r proto.SamplesReply) (proto.SamplesReply, error) {
		if r.Sequence == 0 {
			return r, proto.Result{Code: proto.ResultStale, Message: "too old"}.Err()
		}
		return proto.SamplesReply{Sequence: 2 * r.Sequence}, nil
	})
	a, b := net.Pipe()
	server, client := wire.NewSession(a, false, wire.Options{Mux: mux}), wire.NewSession(b, true, wire.Options{})
	defer server.Close()
	defer client.Close()
	ctx := context.Background()
	if got, err := Call[proto.SamplesReply](ctx, client, "double", proto.SamplesReply{Sequence: 21}); err != nil || got.Sequence != 42 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := Call[Empty](ctx, client, "double", proto.SamplesReply{}); wire.CodeOf(err) != wire.Conflict {
		t.Fatalf("a stale result arrived as %v", err)
	}
	if _, err := client.Call(ctx, "double", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}); wire.CodeOf(err) != wire.Invalid {
		t.Fatalf("hostile bytes were answered with %v", err)
	}
	if _, err := Call[Empty](ctx, client, "nothing", Empty{}); wire.CodeOf(err) != wire.NotFound {
		t.Fatal(err)
	}
	var e *wire.Error
	if _, err := Call[Empty](ctx, client, "nothing", Empty{}); !errors.As(err, &e) {
		t.Fatal(err)
	}
}
