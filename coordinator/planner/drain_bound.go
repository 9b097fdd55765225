package planner

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// emptied is a host at the time by which a drain is over.
type emptied struct {
	limit  resource.Vector
	stuck  resource.Vector            // what is expected to be used there of what can't be moved
	movers map[string]resource.Vector // what the instances that could be moved are expected to use, as they are held now
}

// over returns why nobody waits for the answer any more; nil while somebody does.
func (in DrainInput) over() error {
	if in.Over == nil {
		return nil
	}
	return in.Over()
}

// then returns the time from which on every instance that leaves has to be elsewhere: the deadline, or the end of what is planned.
func (d *drain) then() timeline.Time {
	end := Grid(d.Now, d.grid).End - 1
	if d.Deadline != 0 {
		end = min(end, d.Deadline)
	}
	return end
}

// bareHost returns what of a host is free by then at most.
func (d *drain) bareHost(name string) emptied {
	if e, ok := d.bare[name]; ok {
		return e
	}
	e := emptied{movers: map[string]resource.Vector{}}
	at := d.then()
	for _, s := range d.base.Steps(name) {
		if s.Contains(at) {
			e.limit = s.Limit
		}
	}
	for _, r := range d.base.On(name) {
		s := r.Envelope.At(at)
		if uses := s.Firm.Add(s.Mean); d.movable(r) {
			e.movers[r.Instance] = uses
		} else {
			e.stuck = e.stuck.Add(uses)
		}
	}
	d.bare[name] = e
	return e
}

// movable reports whether a reservation is that of an instance that could be moved.
func (d *drain) movable(r proto.Reservation) bool {
	i, ok := d.View.Instance(r.Instance)
	return ok && i.Reservation == r.ID && i.Owner == r.Host && i.Migration == "" && i.State == proto.InstanceRunning
}

// leastNeed returns what an instance that has moved by then is expected to use at that time, firm and on the average: no plan of it holds less.
func (d *drain) leastNeed(p *planning) resource.Vector {
	at := d.then()
	need := p.wanted.MaxOver(timeline.Span{Start: at, End: at + 1})
	if at >= p.wanted.Span().End {
		need = p.beyond
	}
	s := p.sizing.segment(timeline.Step{Span: timeline.Span{Start: at, End: at + 1}, Amount: finite(need)}, p.Forecast)
	return s.Firm.Add(s.Mean)
}

// whenever returns what a host violates at every start that there is until then: at once and, where it is away for a time, as soon as it is back.
func (d *drain) whenever(n *needs, host *proto.Host) violated {
	v := n.violation(host)
	for _, w := range host.Windows {
		if v.constraint != leavingHost {
			break
		}
		if w.Whole && w.Span.End > n.start && w.Span.End < d.then() {
			back := *n
			back.start = w.Span.End
			v = back.violation(host)
		}
	}
	return v
}

// nowhere reports whether no host could take an instance of the host by then, had it all to itself but for what can't be moved: whoever else moves, it stays.
func (d *drain) nowhere(instance string) bool {
	p, err := d.planning(instance, d.Host, d.Now)
	if err != nil {
		return true // it can't be moved at all
	}
	n, needs := p.needs(d.Now), map[*planning]resource.Vector{}
	for host := range d.View.Hosts() {
		name := host.Facts.Name
		if name == d.Host || d.whenever(n, &host).constraint != "" {
			continue
		}
		there := p.on(&host)
		need, known := needs[there]
		if !known {
			need = d.leastNeed(there)
			needs[there] = need
		}
		if e := d.bareHost(name); e.takes(e.stuck, need) {
			return false
		}
	}
	return true
}

// hopeless reports whether no later start of a move would do: not even the quickest one were over by the deadline, or no host has room for the instance by then, as
// all is held now; nor the target, where that is named. Where others may yield that is not known.
func (d *drain) hopeless(instance, owner, target string) bool {
	p, err := d.planning(instance, owner, d.Now)
	if err != nil {
		return true // it can't be moved at all
	}
	if d.Deadline != 0 && d.Now.Add(p.quickest()) > d.Deadline {
		return true
	}
	if d.yield {
		return target == "" && d.nowhere(instance)
	}
	n, at := p.needs(d.Now), d.then()
	need := proto.FirmEnvelope(timeline.Flat(timeline.Span{Start: at, End: at + 1}, d.leastNeed(p)))
	for name, short := range d.ledger.Scan(need) {
		if short != nil || name == owner || name == d.Host || target != "" && name != target {
			continue
		}
		if host, there := d.View.Host(name); there && d.whenever(n, &host).constraint == "" {
			return false
		}
	}
	return true
}

// takes reports whether a host that has so much in use may take more. Of what it is short by facts it takes those who need nothing of it.
func (e emptied) takes(used, more resource.Vector) bool {
	for k, n := range more {
		if n > 0 && used[k]+n > e.limit[k] {
			return false
		}
	}
	return true
}
