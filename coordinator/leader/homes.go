package leader

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// homeGoneAfter is how long a coordinator may be out of sight before its hosts go to their standbys.
const homeGoneAfter = 15 * time.Second

// Choose returns the home and the standby of a host among the coordinators, by rendezvous hashing: each coordinator
// gets its share, and one that comes or goes moves only what it must. standby is empty when there is only one.
func Choose(host string, coordinators []string) (home, standby string) {
	type scored struct {
		name  string
		score uint64
	}
	var all []scored
	for _, name := range coordinators {
		h := fnv.New64a()
		h.Write([]byte(host + "\x00" + name))
		// FNV mixes its last bytes badly; names often differ only there.
		x := h.Sum64()
		x ^= x >> 33
		x *= 0xff51afd7ed558ccd
		x ^= x >> 33
		all = append(all, scored{name, x})
	}
	slices.SortFunc(all, func(a, b scored) int {
		if a.score != b.score {
			if a.score > b.score {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	if len(all) > 0 {
		home = all[0].name
	}
	if len(all) > 1 {
		standby = all[1].name
	}
	return home, standby
}

// Homes keeps every host's home and standby among the coordinators that are there.
type Homes struct {
	View   func() *state.View
	Alive  func() []string // names of the coordinators in sight, this one included
	Assign func(ctx context.Context, body *proto.HostHome) error
}

// Run reassigns the hosts of a coordinator that has been out of sight for 15 s, and gives a standby to hosts without
// one. It does not move a host back: a flap moves nothing, and a return would cost a second move.
func (h *Homes) Run(ctx context.Context) error {
	seen := map[string]time.Time{}
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		now := time.Now()
		for _, name := range h.Alive() {
			seen[name] = now
		}
		gone := func(name string) bool {
			last, ever := seen[name]
			if !ever {
				last = began
			}
			return now.Sub(last) >= homeGoneAfter
		}
		for _, body := range moves(h.View(), gone) {
			if err := h.Assign(ctx, body); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// moves returns the assignments that have to change when some coordinators are gone.
func moves(view *state.View, gone func(string) bool) []*proto.HostHome {
	var members, here []string
	for c := range view.Coordinators() {
		members = append(members, c.Name)
		if !gone(c.Name) {
			here = append(here, c.Name)
		}
	}
	var out []*proto.HostHome
	for host := range view.Hosts() {
		if host.Home == "" {
			continue // assigned at the agent's first hello
		}
		left := func(name string) bool { return !slices.Contains(members, name) || gone(name) }
		to := proto.HostHome{Host: host.Facts.Name, From: host.Home, Home: host.Home, Standby: host.Standby}
		if left(host.Home) {
			switch {
			case host.Standby != "" && !left(host.Standby):
				to.Home = host.Standby // it has the history
			case len(here) > 0:
				to.Home, _ = Choose(host.Facts.Name, here)
			default:
				continue
			}
		}
		if to.Standby == "" || to.Standby == to.Home || !slices.Contains(members, to.Standby) {
			rest := slices.DeleteFunc(slices.Clone(here), func(n string) bool { return n == to.Home })
			to.Standby, _ = Choose(host.Facts.Name, rest)
		}
		if to.Home != host.Home || to.Standby != host.Standby {
			out = append(out, &to)
		}
	}
	return out
}

// Leave returns the assignments by which the hosts of a coordinator that is to be taken out get another home: their standby, which has their
// history, if that is there.
func Leave(view *state.View, name string, here []string) []*proto.HostHome {
	out := moves(view, func(n string) bool { return n == name || !slices.Contains(here, n) })
	return slices.DeleteFunc(out, func(body *proto.HostHome) bool { return body.From != name })
}
