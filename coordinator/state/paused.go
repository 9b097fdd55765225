package state

import "github.com/glidepath/glidepath/proto"

// PausedOn returns what lifts every limit on a host, if anything does.
func (v *View) PausedOn(host string) (by []proto.PausedBy) {
	if v.fleet.Paused {
		by = append(by, proto.PausedFleet)
	}
	h, _ := v.hosts.get(host)
	if h.Paused {
		by = append(by, proto.PausedHost)
	}
	if h.Facts.PausedAt != 0 {
		by = append(by, proto.PausedThere)
	}
	return by
}

// PausedBy returns what lifts the limits of an instance on a host: the one that runs it, or the one that it moves to.
func (v *View) PausedBy(i proto.Instance, host string) []proto.PausedBy {
	by := v.PausedOn(host)
	if i.Paused {
		by = append(by, proto.PausedInstance)
	}
	return by
}
