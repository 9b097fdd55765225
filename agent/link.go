package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// lateCaller is the session before it is made: what is needed to make it calls over it later.
type lateCaller struct{ rpc.Caller }

// permits asks for permits over the session.
type permits struct{ home rpc.Caller }

// Ask implements service.Permits.
func (p permits) Ask(ctx context.Context, req proto.PermitRequest) (proto.PermitReply, error) {
	return rpc.Call[proto.PermitReply](ctx, p.home, proto.MethodPermit, req)
}

// renewal returns how a certificate is renewed: over the session, and when the certificate has expired, with which there is
// none, over a connection that serves for nothing else.
func renewal(home rpc.Caller, creds *pki.Credentials, dial func(context.Context, string) (net.Conn, wire.Peer, error), known func() ([]string, error)) func(ctx context.Context, csr []byte) (cert, ca []byte, err error) {
	renew := func(ctx context.Context, c rpc.Caller, csr []byte) (cert, ca []byte, err error) {
		reply, err := rpc.Call[proto.RenewReply](ctx, c, proto.MethodRenew, proto.RenewRequest{CSR: csr})
		return reply.Certificate, reply.CA, err
	}
	return func(ctx context.Context, csr []byte) (cert, ca []byte, err error) {
		if time.Now().Before(creds.Certificate().Leaf.NotAfter) {
			return renew(ctx, home, csr)
		}
		addrs, err := known()
		if err != nil {
			return nil, nil, err
		}
		var failed error
		for _, addr := range addrs {
			conn, peer, err := dial(ctx, addr)
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			s := wire.NewSession(conn, true, wire.Options{Peer: peer})
			cert, ca, err := renew(ctx, s, csr)
			_ = s.Close() // it has brought what it was for, or failed
			if err == nil {
				return cert, ca, nil
			}
			failed = errors.Join(failed, fmt.Errorf("renew at %s: %w", addr, err))
		}
		return nil, nil, errors.Join(failed, ctx.Err())
	}
}

// traffic tells the sampler what instances send and receive.
type traffic struct{ enforcer *enforce.Enforcer }

// NetCounters implements collect.NetCounters.
func (t traffic) NetCounters(instance string) (tx, rx uint64, ok bool) {
	sent, received, err := t.enforcer.Counters(instance)
	return sent.Bytes, received.Bytes, err == nil
}
