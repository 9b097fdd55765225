// Package rpc makes typed calls of the messages of proto over sessions of wire.
package rpc

import (
	"context"
	"errors"

	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// Empty is the message that says nothing.
type Empty struct{}

// Caller calls a method of whoever is at the other end; *wire.Session is one.
type Caller interface {
	Call(ctx context.Context, method string, body []byte) ([]byte, error)
}

// Call calls a method with a request and returns its typed reply. Errors are those of wire.
func Call[Reply any](ctx context.Context, c Caller, method string, request any) (Reply, error) {
	body, err := proto.Marshal(request)
	if err != nil {
		var none Reply
		return none, err
	}
	return Decode[Reply](c.Call(ctx, method, body))
}

// Decode returns the typed reply of a call that was made with encoded messages.
func Decode[Reply any](answer []byte, err error) (Reply, error) {
	var reply Reply
	if err != nil {
		return reply, err
	}
	return reply, proto.Unmarshal(answer, &reply)
}

// Handle makes f answer a method. A request that can't be decoded is refused as invalid.
func Handle[Request, Reply any](m *wire.Mux, method string, f func(ctx context.Context, peer wire.Peer, request Request) (Reply, error)) {
	m.Handle(method, func(ctx context.Context, peer wire.Peer, body []byte) ([]byte, error) {
		var request Request
		if err := proto.Unmarshal(body, &request); err != nil {
			return nil, wire.Errorf(wire.Invalid, "%s: %w", method, err)
		}
		reply, err := f(ctx, peer, request)
		if err != nil {
			return nil, code(err)
		}
		return proto.Marshal(reply)
	})
}

// code gives a refusal of the state tables the code by which a caller decides; other errors keep theirs.
func code(err error) error {
	var r *proto.Refusal
	if !errors.As(err, &r) {
		return err
	}
	switch r.Result.Code {
	case proto.ResultNotFound:
		return wire.Errorf(wire.NotFound, "%w", err)
	case proto.ResultConflict, proto.ResultStale:
		return wire.Errorf(wire.Conflict, "%w", err)
	case proto.ResultInvalid:
		return wire.Errorf(wire.Invalid, "%w", err)
	default:
		return wire.Errorf(wire.Refused, "%w", err)
	}
}
