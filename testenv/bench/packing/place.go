package packing

import (
	"fmt"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// firstFit puts each instance, at its highest use so far, on the first host that has as much left.
func (t *trial) firstFit(order []int, percent int64) ([]int, int) {
	return t.fixed(order, percent, func(i *instance) resource.Vector { return i.peak }, func(_, _ float64) bool { return false })
}

// bestFit puts it on the host that has least left.
func (t *trial) bestFit(order []int, percent int64) ([]int, int) {
	return t.fixed(order, percent, func(i *instance) resource.Vector { return i.peak }, func(a, b float64) bool { return a < b })
}

// bestFit95 does the same with what 19 of 20 steps so far did not pass.
func (t *trial) bestFit95(order []int, percent int64) ([]int, int) {
	return t.fixed(order, percent, func(i *instance) resource.Vector { return i.p95 }, func(a, b float64) bool { return a < b })
}

// fixed places fixed amounts: of the hosts with enough left it takes the first that no other is better than, by what is left of all resources together, in
// shares of the host. One that is larger than what is used of a host gets one for itself.
func (t *trial) fixed(order []int, percent int64, amount func(*instance) resource.Vector, better func(a, b float64) bool) ([]int, int) {
	room := resource.Uniform(resource.Unlimited)
	for _, k := range kinds() {
		room[k] = t.host[k] * percent / 100
	}
	left := func(v resource.Vector) float64 {
		sum := 0.0
		for _, k := range kinds() {
			sum += float64(v[k]) / float64(t.host[k])
		}
		return sum
	}
	on := make([]int, len(t.instances))
	var hosts []resource.Vector
	for _, n := range order {
		need, best := amount(&t.instances[n]), -1
		for h, free := range hosts {
			if need.Fits(free) && (best < 0 || better(left(free.Sub(need)), left(hosts[best].Sub(need)))) {
				best = h
			}
		}
		if best < 0 {
			best, hosts = len(hosts), append(hosts, room)
		}
		on[n], hosts[best] = best, hosts[best].Sub(need)
	}
	return on, len(hosts)
}

// reach is for how long reservations are held.
type reach int

const (
	open          reach = iota // until further notice, as those of instances are: what comes after the forecast is as the last day of it, at its most
	whileForecast              // for as long as there is a forecast
)

// ledger returns the policy of Glidepath: each instance's reservation is held on the host with the highest score, of those on which the ledger admits it. As with
// fixed amounts a host is opened when there is none. One that is admitted on no empty host gets one for itself.
func (t *trial) ledger(z int64, long reach, fill proto.Fill) placing {
	return func(order []int, percent int64) ([]int, int) {
		l, err := ledger.New(ledger.Grid{Step: grid}, z, t.at)
		if err != nil {
			panic(err) // the grid and the deviations are those of a policy
		}
		on, hosts := make([]int, len(t.instances)), 0
		var opened []int // those that take more than one instance, in the order of their names
		for _, n := range order {
			i := &t.instances[n]
			envelope := i.envelope
			if long == whileForecast {
				envelope = envelope[:len(envelope)-1]
			}
			hold := func(h int) bool {
				return l.Hold(proto.Reservation{
					ID: i.name, Host: hostName(h), Instance: i.name, Class: proto.Standard, Purpose: proto.PurposeInstance, Envelope: envelope, Floor: i.floor,
				}) == nil
			}
			if h := best(l, envelope, opened, fill); h >= 0 && hold(h) {
				on[n] = h
				continue
			}
			on[n], hosts = hosts, hosts+1
			if err := l.SetHost(ledger.Capacity{Host: hostName(on[n]), Allocatable: t.host, Ratio: resource.Uniform(percent * 10)}); err != nil {
				panic(err) // a host of replayed amounts
			}
			if hold(on[n]) {
				opened = append(opened, on[n])
			} else if err := l.RemoveHost(hostName(on[n])); err != nil {
				panic(err) // nothing is held there
			}
		}
		return on, hosts
	}
}

// best returns the host with the highest score of those that admit an envelope, or -1.
func best(l *ledger.Ledger, e proto.Envelope, hosts []int, fill proto.Fill) int {
	best, score, n := -1, int64(0), -1
	l.Weigh(e, func(_ string, fit ledger.Fit) bool {
		n++
		if s := planner.Score(fit, fill); fit.Fits() && s > score {
			best, score = hosts[n], s
		}
		return true
	})
	return best
}

func hostName(h int) string { return fmt.Sprintf("h-%05d", h) }
