// Package session keeps a coordinator's sessions: with the agents whose home it is, and with the other coordinators.
package session

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

// Hub accepts sessions and keeps those of agents, so that they can be called. Its methods may be called concurrently.
type Hub struct {
	agents       *wire.Mux // what agents may call
	coordinators *wire.Mux // what coordinators may call
	log          *slog.Logger
	changed      chan struct{}

	admit func(wire.Peer) error // see Require

	mu       sync.Mutex
	sessions map[string]entry     // of agents, by host
	left     map[string]time.Time // when the last session of a host's agent ended
}

// entry is an agent's session, since when it is there, and how to end it.
type entry struct {
	session *wire.Session
	peer    wire.Peer
	since   time.Time
	drop    context.CancelFunc
}

// Bounds on what a peer may send. Agents are not trusted beyond their host.
const (
	agentMessage = 1 << 20
	agentStreams = 16
)

// NewHub returns a hub that serves the methods of the two muxes.
func NewHub(agents, coordinators *wire.Mux, log *slog.Logger) *Hub {
	return &Hub{
		agents: agents, coordinators: coordinators, log: log, changed: make(chan struct{}, 1),
		admit: func(wire.Peer) error { return nil }, sessions: map[string]entry{}, left: map[string]time.Time{},
	}
}

// Require keeps only those agents' sessions for which check returns nil: another one is not that of its host. Call it before Serve. It is asked
// each time, and may be called concurrently.
func (h *Hub) Require(check func(wire.Peer) error) { h.admit = check }

// Serve serves one connection of a verified peer until it ends or ctx does.
func (h *Hub) Serve(ctx context.Context, conn net.Conn, peer wire.Peer) error {
	opts := wire.Options{Peer: peer, Mux: h.coordinators, Log: h.log}
	if peer.Kind == pki.Agent {
		opts.Mux, opts.MaxMessage, opts.MaxStreams = h.agents, agentMessage, agentStreams
	}
	s := wire.NewSession(conn, false, opts)
	defer s.Close()
	ctx, drop := context.WithCancel(ctx)
	defer drop()
	if peer.Kind == pki.Agent && !peer.ExpiredGrace && h.admit(peer) == nil {
		h.add(peer.Name, entry{s, peer, time.Now(), drop})
		defer h.remove(peer.Name, s)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.Done():
		return s.Err()
	}
}

// add makes e the session of its host; an older one, which its agent has given up, is left to die.
func (h *Hub) add(host string, e entry) {
	h.mu.Lock()
	h.sessions[host] = e
	delete(h.left, host)
	h.mu.Unlock()
	h.notify()
}

func (h *Hub) remove(host string, s *wire.Session) {
	h.mu.Lock()
	if h.sessions[host].session == s {
		delete(h.sessions, host)
		h.left[host] = time.Now()
	}
	h.mu.Unlock()
	h.notify()
}

func (h *Hub) notify() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Changed is sent to when agents came or went since the last receive. It has one reader.
func (h *Hub) Changed() <-chan struct{} { return h.changed }

// Hosts returns the hosts whose agents have a session here, sorted.
func (h *Hub) Hosts() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	hosts := make([]string, 0, len(h.sessions))
	for host, e := range h.sessions {
		if h.admit(e.peer) == nil {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

// Seen returns since when the agent of a host has a session here, or since when it has none; false if it has had none since this hub was made.
func (h *Hub) Seen(host string) (connected bool, since time.Time, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.sessions[host]; ok && h.admit(e.peer) == nil {
		return true, e.since, true
	}
	at, ok := h.left[host]
	return false, at, ok
}

// Agent returns the session of a host's agent, or an error of code unavailable when it has none here.
func (h *Hub) Agent(host string) (*wire.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.sessions[host]; ok {
		if err := h.admit(e.peer); err != nil {
			return nil, wire.Errorf(wire.Unavailable, "%w", err)
		}
		return e.session, nil
	}
	return nil, wire.Errorf(wire.Unavailable, "the agent of %s has no session: is it running, and does it reach the coordinators?", host)
}

// Drop ends the session of a host's agent, which will dial again: after its home has changed.
func (h *Hub) Drop(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := h.sessions[host]; ok {
		e.drop()
	}
}
