package session

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/glidepath/glidepath/internal/wire"
)

// DialFunc makes an authenticated connection to the coordinator of that name.
type DialFunc func(ctx context.Context, name, addr string) (net.Conn, wire.Peer, error)

// Peers calls other coordinators, over one session to each that is made when it is needed. Its methods may be called
// concurrently.
type Peers struct {
	dial DialFunc
	mux  *wire.Mux
	log  *slog.Logger

	mu       sync.Mutex
	sessions map[string]*link // by name
	closed   bool
}

// link is the session to one coordinator. Its lock is held while it is dialled, so that nobody dials twice.
type link struct {
	mu      sync.Mutex
	addr    string
	session *wire.Session
}

// NewPeers returns a pool that dials with the function; mux is what the others may call back on its sessions.
func NewPeers(dial DialFunc, mux *wire.Mux, log *slog.Logger) *Peers {
	return &Peers{dial: dial, mux: mux, log: log, sessions: map[string]*link{}}
}

// Get returns a live session to the coordinator, made now if there is none. It stays the pool's.
func (p *Peers) Get(ctx context.Context, name, addr string) (*wire.Session, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, wire.Errorf(wire.Unavailable, "this coordinator is stopping")
	}
	l := p.sessions[name]
	if l == nil {
		l = &link{}
		p.sessions[name] = l
	}
	p.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		select {
		case <-l.session.Done():
		default:
			if l.addr == addr {
				return l.session, nil
			}
		}
		if err := l.session.Close(); err != nil {
			p.log.Debug("closing a lost session", "coordinator", name, "error", err)
		}
		l.session = nil
	}
	conn, peer, err := p.dial(ctx, name, addr)
	if err != nil {
		return nil, wire.Errorf(wire.Unavailable, "coordinator %s at %s is not reached: %w", name, addr, err)
	}
	l.addr, l.session = addr, wire.NewSession(conn, true, wire.Options{Peer: peer, Mux: p.mux, Log: p.log})
	return l.session, nil
}

// Close ends all sessions; Get is refused from then on.
func (p *Peers) Close() error {
	p.mu.Lock()
	p.closed = true
	links := p.sessions
	p.sessions = nil
	p.mu.Unlock()
	for name, l := range links {
		l.mu.Lock()
		if l.session != nil {
			if err := l.session.Close(); err != nil {
				p.log.Debug("closing a session", "coordinator", name, "error", fmt.Errorf("close: %w", err))
			}
		}
		l.mu.Unlock()
	}
	return nil
}
