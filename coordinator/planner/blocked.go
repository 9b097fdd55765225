package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// mostTypes bounds how many smaller types are tried for an instance that stays.
const mostTypes = 8

// blocked returns what is in the way of those that find no place; nil where all do.
func (d *drain) blocked(found search) *proto.Blocked {
	names := d.staying()
	if len(names) == 0 {
		return nil
	}
	b := &proto.Blocked{Instances: names, Proof: proto.BlockedNotFound}
	switch {
	case found.least >= len(names):
		b.Proof = proto.BlockedSmallest
	case found.ended:
		b.Proof = proto.BlockedMinimal
	}
	var short *proto.Shortfall
	for _, name := range names {
		if s := closest(d.stays[name]); s != nil && (short == nil || missingShare(s) < missingShare(short)) {
			short = s
		}
	}
	if short != nil {
		b.Host, b.Span, b.Resource, b.Missing = short.Host, short.Span, short.Resource, short.Missing
	}
	d.effort = &effort{mostEffort}
	b.Unblock = slices.Concat(d.byWindows(names), d.bySmaller(names, b.Resource), d.byTime(names), d.byHosts(names, b.Host))
	return b
}

// all places instances one after the other, and reports whether each found a place.
func (d *drain) all(names []string) bool {
	for _, name := range names {
		if d.place(name, "") != nil {
			return false
		}
	}
	return true
}

// bySmaller returns the smaller types that their forecast allows as which the instances would find a place: the largest of them for each.
func (d *drain) bySmaller(names []string, kind resource.Kind) []proto.Unblock {
	c := d.fork()
	c.types = map[string]string{}
	maps.Copy(c.types, d.types)
	var says []string
	for _, name := range names {
		i, _ := d.View.Instance(name)
		now, ok := d.View.Type(i.Spec.Type)
		if !ok {
			return nil
		}
		var smaller []proto.InstanceType
		for t := range d.View.Types() {
			if t.Max != now.Max && t.Max.Fits(now.Max) {
				smaller = append(smaller, t)
			}
		}
		slices.SortStableFunc(smaller, func(a, b proto.InstanceType) int { return cmp.Compare(b.Max[kind], a.Max[kind]) })
		found := slices.ContainsFunc(smaller[:min(mostTypes, len(smaller))], func(t proto.InstanceType) bool {
			c.types[name] = t.Name
			p, err := c.planning(name, i.Owner, d.Now)
			return err == nil && (p.Forecast.Cold || p.cut.IsZero()) && c.place(name, "") == nil
		})
		if !found {
			return nil
		}
		says = append(says, fmt.Sprintf("%s as %s", name, c.types[name]))
		if f := d.Of(name).Forecast; f.Cold || len(f.Profiles) == 0 {
			says[len(says)-1] += ", of whose demand nothing is known yet"
		}
	}
	return []proto.Unblock{{What: proto.UnblockType, Says: strings.Join(says, "; ")}}
}

// byTime returns the deadline by which the instances would find a place.
func (d *drain) byTime(names []string) []proto.Unblock {
	if d.Deadline == 0 {
		return nil
	}
	c := d.fork()
	c.Deadline, c.bare = 0, map[string]emptied{}
	if !c.all(names) {
		return nil
	}
	var last timeline.Time
	for _, t := range c.trips {
		last = max(last, t.left)
	}
	last = last.Ceil(d.grid)
	return []proto.Unblock{{What: proto.UnblockTime, At: last, Says: fmt.Sprintf("time until %s", last)}}
}

// hostWindow is a window of a host.
type hostWindow struct {
	host string
	proto.CapacityWindow
}

func (w hostWindow) String() string {
	what := "some of it"
	if w.Whole {
		what = "all of it"
	}
	return fmt.Sprintf("window %s of %s, which takes %s in %s%s", w.ID, w.host, what, w.Span, because(w.Reason))
}

// byWindows returns without which windows of other hosts the instances would find a place: a single one if that does, or else all that are there or come.
func (d *drain) byWindows(names []string) []proto.Unblock {
	var all []hostWindow
	known := Grid(d.Now, d.grid).End
	for h := range d.View.Hosts() {
		for _, w := range h.Windows {
			if h.Facts.Name != d.Host && !state.LeftOut(h) && w.Span.Start < known && w.Span.End > d.Now {
				all = append(all, hostWindow{h.Facts.Name, w})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b hostWindow) int { return cmp.Compare(a.Span.Start, b.Span.Start) })
	all = all[:min(mostWindows, len(all))]
	tries := [][]hostWindow{all}
	if len(all) > 1 {
		tries = nil
		for _, w := range all {
			tries = append(tries, []hostWindow{w})
		}
		tries = append(tries, all)
	}
	for _, gone := range tries {
		if len(gone) > 0 && d.fits(names, gone) {
			return []proto.Unblock{unblockedBy(gone)}
		}
	}
	return nil
}

// mostWindows bounds how many windows of other hosts are tried.
const mostWindows = 8

// fits reports whether the instances would find a place without windows.
func (d *drain) fits(names []string, without []hostWindow) bool {
	v := d.view
	for _, w := range without {
		var err error
		if v, err = v.WithoutWindow(w.host, w.ID); err != nil {
			return false
		}
	}
	c := d.fork()
	c.setView(v)
	return c.all(names)
}

// unblockedBy says what can be done about windows that are in the way.
func unblockedBy(windows []hostWindow) proto.Unblock {
	u := proto.Unblock{What: proto.UnblockWindow}
	var which, back []string
	var end timeline.Time
	for _, w := range windows {
		which = append(which, w.String())
		back = append(back, fmt.Sprintf("glidepath host window remove %s %s", w.host, w.ID))
		end = max(end, w.Span.End)
	}
	u.Says = fmt.Sprintf("without %s: ", strings.Join(which, ", and "))
	if end < timeline.Forever {
		u.At = end
		u.Says += fmt.Sprintf("begin after %s, or take it back: ", end)
	} else {
		u.Says += "take it back: "
	}
	if len(windows) > 1 {
		u.Says = strings.Replace(u.Says, "take it back", "take them back", 1)
	}
	u.Says += strings.Join(back, "; ")
	return u
}

// byHosts returns how many hosts more, like the one that is emptied or like the one that comes closest, would take the instances.
func (d *drain) byHosts(names []string, near string) []proto.Unblock {
	for _, like := range slices.Compact([]string{d.Host, near}) {
		for n := 1; n < 2*len(names) && n <= 8; n *= 2 {
			c, err := d.with(proto.WhatIf{Add: n, Like: like})
			if err != nil {
				break
			}
			if c.allOn(names, addedTo(d.View, c.View)) {
				return []proto.Unblock{{What: proto.UnblockHost, Says: fmt.Sprintf("%d more like %s", n, like)}}
			}
		}
	}
	return nil
}

// addedTo returns the names of the hosts that another fleet has besides.
func addedTo(v, other *state.View) []string {
	var out []string
	other.EachHost(func(h *proto.Host) bool {
		if _, there := v.Host(h.Facts.Name); !there {
			out = append(out, h.Facts.Name)
		}
		return true
	})
	return out
}

// allOn places instances that no other host takes, each on the first host that does, and reports whether each found a place.
func (d *drain) allOn(names, hosts []string) bool {
	for _, name := range names {
		if !slices.ContainsFunc(hosts, func(h string) bool { return d.place(name, h) == nil }) {
			return false
		}
	}
	return true
}

// with returns a drain that goes on from what is planned so far, in another fleet.
func (d *drain) with(w proto.WhatIf) (*drain, error) {
	v, err := d.view.With(w)
	if err != nil {
		return nil, err
	}
	c := d.fork()
	c.setView(v)
	return c, nil
}

// setView goes on in another fleet, in which what is planned so far is held already.
func (d *drain) setView(v *state.View) {
	d.View, d.base, d.ledger, d.bare = v, v.Ledger(), v.Ledger().Clone(), map[string]emptied{}
	d.view = v.Over(d.ledger)
}
