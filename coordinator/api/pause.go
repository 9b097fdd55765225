package api

import (
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func pauseFleet(c *call) (any, error)  { return c.pause(proto.Pause{Paused: true}) }
func resumeFleet(c *call) (any, error) { return c.pause(proto.Pause{}) }
func pauseHost(c *call) (any, error) {
	return c.pause(proto.Pause{Paused: true, Host: c.r.PathValue("name")})
}
func resumeHost(c *call) (any, error) { return c.pause(proto.Pause{Host: c.r.PathValue("name")}) }
func pauseInstance(c *call) (any, error) {
	return c.pause(proto.Pause{Paused: true, Instance: c.r.PathValue("name")})
}
func resumeInstance(c *call) (any, error) {
	return c.pause(proto.Pause{Instance: c.r.PathValue("name")})
}

// pause lifts limits, or has them set again, and says whose those are. It is committed also where it is so already: another coordinator's view may be older than the last word.
func (c *call) pause(b proto.Pause) (any, error) {
	was := c.view.Fleet().Paused
	switch {
	case b.Host != "":
		h, ok := c.view.Host(b.Host)
		if !ok {
			return nil, missing("host", b.Host, "host list")
		}
		was = h.Paused
	case b.Instance != "":
		i, ok := c.view.Instance(b.Instance)
		if !ok {
			return nil, missing("instance", b.Instance, "instance list")
		}
		was = i.Paused
	}
	out := v1.PauseReply{Paused: b.Paused, Changed: was != b.Paused, Instances: []v1.PausedInstance{}}
	if _, err := c.propose(&b); err != nil {
		return nil, err
	}
	for i := range c.view.Instances() {
		if i.Spec.Mode != proto.Enforce || b.Instance != "" && i.Name() != b.Instance || b.Host != "" && i.Owner != b.Host {
			continue
		}
		one := v1.PausedInstance{Instance: i.Name(), Host: i.Owner, PausedBy: c.view.PausedBy(i, i.Owner)}
		if one.PausedBy == nil {
			one.PausedBy = []proto.PausedBy{}
		}
		out.Instances = append(out.Instances, one)
	}
	return out, nil
}

// pausedIn returns what is paused beside the fleet as a whole.
func (c *call) pausedIn() v1.Paused {
	out := v1.Paused{Hosts: []string{}, There: []string{}, Instances: []string{}}
	for h := range c.view.Hosts() {
		if h.Paused {
			out.Hosts = append(out.Hosts, h.Facts.Name)
		}
		if h.Facts.PausedAt != 0 {
			out.There = append(out.There, h.Facts.Name)
		}
	}
	for i := range c.view.Instances() {
		if i.Paused {
			out.Instances = append(out.Instances, i.Name())
		}
	}
	return out
}
