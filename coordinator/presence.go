package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// presenceTime is how long the other coordinators are asked about agents.
const presenceTime = time.Second

// Presence returns whether the agents of hosts have a session with any coordinator, by host. A host of which nobody who answers knows is left out.
func (c *Coordinator) Presence(ctx context.Context) map[string]proto.Presence {
	ctx, cancel := context.WithTimeout(ctx, presenceTime)
	defer cancel()
	view := c.tables.View()
	var all sync.WaitGroup
	var mu sync.Mutex
	heard := []proto.Presences{c.presences()}
	for _, name := range c.alive() {
		other, ok := view.Coordinator(name)
		if !ok || name == c.cfg.Name {
			continue
		}
		all.Go(func() {
			var p proto.Presences
			s, err := c.peers.Get(ctx, other.Name, other.RPCAddr)
			if err == nil {
				p, err = rpc.Call[proto.Presences](ctx, s, proto.MethodPresence, rpc.Empty{})
			}
			if err != nil {
				c.log.Debug("a coordinator does not say which agents it hears", "coordinator", name, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, p)
		})
	}
	all.Wait()
	return together(heard)
}

// silent returns the hosts whose agents have had no session for a while, and since when.
func (c *Coordinator) silent(ctx context.Context) map[string]timeline.Time {
	out, now := map[string]timeline.Time{}, timeline.Of(time.Now())
	for host, p := range c.Presence(ctx) {
		if !p.Connected && now.Sub(p.Since) >= v1.AwayAfter {
			out[host] = p.Since
		}
	}
	return out
}

// together joins what several coordinators know of agents: a session counts for more than none, and what is newer for more than what is older.
func together(heard []proto.Presences) map[string]proto.Presence {
	out := map[string]proto.Presence{}
	for _, p := range heard {
		for _, h := range p.Hosts {
			was, known := out[h.Host]
			if !known || h.Connected && !was.Connected || h.Connected == was.Connected && h.Since > was.Since {
				out[h.Host] = h
			}
		}
	}
	return out
}

func (c *Coordinator) servePresence(context.Context, wire.Peer, rpc.Empty) (proto.Presences, error) {
	return c.presences(), nil
}

// presences returns which agents have a session here, and since when those have none that have had one. Of a host that this coordinator is home to
// and that has had none since it began, its last samples tell.
func (c *Coordinator) presences() proto.Presences {
	var out proto.Presences
	for h := range c.tables.View().Hosts() {
		name := h.Facts.Name
		connected, since, known := c.hub.Seen(name)
		p := proto.Presence{Host: name, Connected: connected}
		switch {
		case known:
			p.Since = timeline.Of(since)
		case h.Home != c.cfg.Name:
			continue
		default:
			if last := c.history.Newest(proto.SystemReservation(name)); last > 0 {
				p.Since = last.Add(time.Duration(proto.WindowLength) * time.Millisecond)
			}
		}
		out.Hosts = append(out.Hosts, p)
	}
	return out
}
