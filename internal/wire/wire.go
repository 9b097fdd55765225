// Package wire carries bytes between the processes of a fleet: one TLS port routed by ALPN, and calls and streams over one connection.
package wire

import "github.com/glidepath/glidepath/internal/pki"

// Protocols on the one TCP port, as negotiated by ALPN.
const (
	Raft = "gp-raft/1" // between coordinators, Raft's own framing
	RPC  = "gp-rpc/1"  // a Session
	Sync = "gp-sync/1" // bulk data between agents; the connection itself goes to the handler
	Join = "gp-join/1" // a Session with a client that has no certificate yet
)

// Peer is whom the other end's verified certificate speaks for. It is empty on Join.
type Peer = pki.Peer
