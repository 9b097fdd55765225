package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// host returns the host that the path names.
func (c *call) host() (proto.Host, error) {
	name := c.r.PathValue("name")
	h, ok := c.view.Host(name)
	if !ok {
		return h, missing("host", name, "host list")
	}
	return h, nil
}

// decideTries is how often a decision that changes one thing of a host is made anew when another was first.
const decideTries = 4

// decide changes what an operator decided on the host that the path names, and nothing else of it: the record holds all decisions in one, so it is
// read, changed, and put back only if it is still what was read. With a revision it is changed only if it is that one.
func (c *call) decide(revision uint64, change func(*proto.HostSet)) (any, error) {
	request := c.id
	for try := 1; ; try++ {
		h, err := c.host()
		if err != nil {
			return nil, err
		}
		if revision != 0 && revision != h.Revision {
			return nil, &v1.Error{
				Code: v1.CodeConflict, Message: fmt.Sprintf("the decision is for revision %d of host %s, which has revision %d now", revision, h.Facts.Name, h.Revision),
				Remedy: "see `glidepath host show " + h.Facts.Name + "` and decide again",
			}
		}
		body := &proto.HostSet{Host: h.Facts.Name, Cordoned: h.Cordoned, Override: h.Override, Reduced: h.Reduced, Revision: h.Revision}
		change(body)
		r, err := c.propose(body)
		if err == nil {
			return getHost(c)
		}
		var refusal *proto.Refusal
		if !errors.As(err, &refusal) || r.Code != proto.ResultStale || try == decideTries {
			return nil, err
		}
		c.id = fmt.Sprintf("%s/%d", request, try) // the answer to the first one is remembered
	}
}

func cordonHost(c *call) (any, error) {
	return c.decide(0, func(s *proto.HostSet) { s.Cordoned = true })
}

// uncordonHost lets a host take instances again. While it is emptied that would bring back what leaves.
func uncordonHost(c *call) (any, error) {
	if h, err := c.host(); err == nil && drainOf(h).State != proto.DrainNone {
		return nil, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("host %s is cordoned for its drain, which is %s", h.Facts.Name, h.Drain.State),
			Remedy: "take that back: glidepath host undrain " + h.Facts.Name,
		}
	}
	return c.decide(0, func(s *proto.HostSet) { s.Cordoned = false })
}

func setAllocatable(c *call) (any, error) {
	var in v1.HostAllocatable
	if err := c.read(&in); err != nil {
		return nil, err
	}
	for k, n := range in.Allocatable {
		if n < 0 || n >= resource.Unlimited {
			return nil, invalid("allocatable: %s is not an amount", resource.Kind(k))
		}
	}
	return c.decide(in.Revision, func(s *proto.HostSet) { s.Override = in.Allocatable })
}

// getForgetting says what forgetting a host would mean now.
func getForgetting(c *call) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	f := c.view.Forgetting(h.Facts.Name)
	out := v1.Forgetting{Holds: items(f.Holds).Items, Undecided: items(f.Undecided).Items, Ends: items(f.Ends).Items, Lost: []v1.Lost{}, Unreported: items(unreported(c.view)).Items}
	for _, l := range f.Lost {
		out.Lost = append(out.Lost, v1.Lost{Instance: l.Instance, Means: l.Means})
	}
	return out, nil
}

// forgetHost takes a host out of the fleet that holds nothing.
func forgetHost(c *call) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	if h.Incarnation != c.view.Fleet().Incarnation {
		return nil, &v1.Error{
			Code: v1.CodeRefused, Message: c.view.Unreported(h.Facts.Name) + " It may hold what was decided after the backup that the fleet was restored from",
			Remedy: "wait for its report; if it is off and stays off: glidepath host forget " + h.Facts.Name + " --dead --unreported",
		}
	}
	_, err = c.propose(&proto.HostForget{Host: h.Facts.Name})
	return v1.Empty{}, err
}

// forgetDeadHost takes a host out of the fleet that died for good, with what it owned. One that is there is not dead.
func forgetDeadHost(c *call) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	var in v1.ForgetDead
	if err := c.read(&in); err != nil {
		return nil, err
	}
	name := h.Facts.Name
	if a := agentOf(c.cfg.Presence(c.ctx), name); a.State == v1.AgentConnected {
		return nil, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("host %s is not dead: its agent has a session since %s", name, a.Since),
			Remedy: "move what is there to other hosts, then: glidepath host forget " + name,
		}
	}
	c.note = fmt.Sprintf("lost: [%s]; ended: [%s]; %s", strings.Join(in.Lost, " "), strings.Join(c.view.Forgetting(name).Ends, " "), in.Reason)
	if err := c.elsewhere(name, in.Lost, in.Unreported); err != nil {
		return nil, err
	}
	lost := c.lostHolds(name)
	if _, err = c.propose(&proto.HostForget{Host: name, Dead: true, Lost: in.Lost, Reason: in.Reason}); err != nil {
		return v1.Empty{}, err
	}
	return v1.Empty{}, c.tellLost(lost)
}

// lostHolds returns what is held on a host for an operator: nothing else says so when it is gone.
func (c *call) lostHolds(host string) (out []proto.Reservation) {
	for _, r := range c.view.ReservationsOn(host) {
		if r.Purpose == proto.PurposeHold && !proto.IsPlanHold(r.ID) && len(out) < mostLost {
			out = append(out, r)
		}
	}
	return out
}

// tellLost tells what is held no more, and which hosts have room for it.
func (c *call) tellLost(lost []proto.Reservation) error {
	if len(lost) == 0 || !c.view.Knows(proto.CmdNotice, 1) {
		return nil
	}
	var body proto.NoticePut
	for _, r := range lost {
		n := proto.Notice{
			ID: proto.NoticeID(proto.NoticeLost, r.ID), Kind: proto.NoticeLost, Host: r.Host, Reservation: r.ID, Span: timeline.Span{Start: max(r.Envelope.Start(), c.now), End: r.End()},
			Says:     fmt.Sprintf("reservation %s (%s) is held no more: host %s, which held it until %s, died for good", r.ID, r.Class, r.Host, r.End()),
			Proposes: "no host has room for it now: wait, ask for less, or let others yield",
		}
		var room []string
		for host, short := range c.view.Ledger().Scan(until(r.Envelope, r.End())) {
			if h, ok := c.view.Host(host); ok && short == nil && !h.Cordoned && len(room) < mostRoom {
				room = append(room, host)
			}
		}
		if len(room) > 0 {
			n.Proposes = "hold it elsewhere: there is room on " + strings.Join(room, ", ")
		}
		body.Put = append(body.Put, n)
	}
	if _, err := c.proposeAs(c.id+"/lost", &body); err != nil {
		return fmt.Errorf("the host is forgotten, but what it held could not be told of: %w", err)
	}
	return nil
}

// until returns an envelope that ends at a time at the latest.
func until(e proto.Envelope, end timeline.Time) proto.Envelope {
	var out proto.Envelope
	for _, s := range e {
		if s.End = min(s.End, end); !s.Empty() {
			out = append(out, s)
		}
	}
	return out
}

// How many reservations that were lost with a host are told of, and how many hosts with room are named for each.
const (
	mostLost = 64
	mostRoom = 3
)

// retentionTime is how long a host's agent may take to say what it retains: it measures for a few seconds.
const retentionTime = 10 * time.Second

// getRetention asks a host's agent for the data of instances that moved away.
func getRetention(c *call) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	body, err := proto.Marshal(rpc.Empty{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, retentionTime)
	defer cancel()
	kept, err := rpc.Decode[proto.Retention](c.cfg.CallAgent(ctx, h.Facts.Name, proto.MethodRetained, body))
	if kept.Items == nil {
		kept.Items = []proto.Retained{}
	}
	return kept, err
}

// getHostTasks answers what runs by schedule on a host, and what that does to its instances.
func getHostTasks(c *call) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	r, err := c.cfg.HostTasks(c.ctx, h.Facts.Name)
	if wire.CodeOf(err) == wire.NotFound { // the home is of an earlier version, which asks no agent
		r, err = proto.HostTasksReply{Host: h.Facts.Name}, nil
	}
	if r.Tasks == nil {
		r.Tasks = []proto.Task{}
	}
	return r, err
}
