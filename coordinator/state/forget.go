package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/proto"
)

// Forgetting is what forgetting a host means as things are.
type Forgetting struct {
	Holds []string // why it is not one that holds nothing; each names a thing and what to do about it

	// Of a host that died for good:
	Undecided []string // what is to be decided before; each with the command
	Lost      []Lost   // instances that are forgotten with it, sorted
	Ends      []string // migrations that end with it, sorted
}

// Lost is an instance that is forgotten with its host, and what that means.
type Lost struct {
	Instance string
	Means    string
}

// Names returns the names of the instances that are lost.
func (f Forgetting) Names() []string {
	var names []string
	for _, l := range f.Lost {
		names = append(names, l.Instance)
	}
	return names
}

// Forgetting returns what forgetting a host would mean now.
func (v *View) Forgetting(host string) Forgetting {
	p, f := v.forgetting(host)
	for id := range p.ends {
		f.Ends = append(f.Ends, id)
	}
	slices.Sort(f.Ends)
	return f
}

// ending is how a migration ends with its host.
type ending struct {
	outcome proto.Outcome
	reason  string
	clean   bool // what it left on its target is still to be cleaned
}

// passing is what ends with a host that died for good.
type passing struct {
	ends map[string]ending // by migration
	lost map[string]bool   // instances
}

func (v *View) forgetting(host string) (passing, Forgetting) {
	p := passing{ends: map[string]ending{}, lost: map[string]bool{}}
	var f Forgetting
	undecided := func(format string, args ...any) { f.Undecided = append(f.Undecided, fmt.Sprintf(format, args...)) }
	var touching []proto.Migration
	for m := range v.ActiveMigrations() {
		if m.Source == host || m.Target == host {
			touching = append(touching, m)
			f.Holds = append(f.Holds, fmt.Sprintf("migration %s of instance %s from %s to %s, in phase %s: wait for its end, or abort it", m.ID, m.Instance, m.Source, m.Target, m.Phase))
		}
	}
	// A way back has the word before the migration that it undoes.
	slices.SortStableFunc(touching, func(a, b proto.Migration) int { return cmp.Compare(b.Returns, a.Returns) })
	for _, m := range touching {
		v.passes(m, host, &p, undecided)
	}
	for i := range v.Instances() {
		if i.Owner != host {
			continue
		}
		f.Holds = append(f.Holds, fmt.Sprintf("instance %s, which is %s there: move it with `glidepath migrate %s`, or release it", i.Name(), i.State, i.Name()))
		if i.Migration != "" && !p.lost[i.Name()] {
			continue // to be decided before
		}
		p.lost[i.Name()] = true
		f.Lost = append(f.Lost, Lost{i.Name(), v.means(i, p)})
	}
	for _, r := range v.ledger.On(host) {
		if r.Purpose == proto.PurposeHold {
			f.Holds = append(f.Holds, fmt.Sprintf("reservation %s: it lapses at %s, or is released before", r.ID, r.End()))
		}
	}
	return p, f
}

// passes notes what becomes of a migration that touches a host which died for good.
func (v *View) passes(m proto.Migration, host string, p *passing, undecided func(string, ...any)) {
	i, _ := v.instances.get(m.Instance)
	undone, returns := v.migrations.get(m.Returns)
	_, backEnds := p.ends[m.Returning]
	switch {
	case m.Returning != "" && !backEnds:
		return // its way back says what is to be decided
	case m.Returning != "" && p.lost[m.Instance]:
		p.ends[m.ID] = ending{outcome: proto.OutcomeFailed, reason: "host " + host + ", on which its instance was, died for good"}
	case m.Confirmed() && m.Phase != proto.PhaseUndo && m.Source == host:
		p.ends[m.ID] = ending{outcome: proto.OutcomeCompleted, reason: "host " + host + ", which kept a slot for it, died for good"}
	case m.Confirmed() && m.Phase != proto.PhaseUndo:
		undecided("instance %s runs on %s by migration %s: go back to the data that %s kept, with `glidepath migration abort %s --accept-loss`", m.Instance, host, m.ID, m.Source, m.ID)
	case m.Phase != proto.PhaseUndo:
		undecided("migration %s of instance %s from %s to %s is in phase %s: give it up with `glidepath migration abort %s`", m.ID, m.Instance, m.Source, m.Target, m.Phase, m.ID)
	case m.Source == host && returns && !givenAway(m, undone.Source) && !givenAway(undone, undone.Source):
		undecided("migration %s takes instance %s back from %s to %s, which still has the data that it kept: go back to them with `glidepath migration abort %s --accept-loss`", m.ID, m.Instance, host, undone.Source, undone.ID)
	case m.Source == host:
		p.lost[m.Instance] = true
		p.ends[m.ID] = ending{outcome: proto.OutcomeFailed, reason: "host " + host + ", its source, died for good", clean: sentTo(m, m.Target)}
	case i.State != proto.InstanceRunning:
		undecided("migration %s is being undone, and %s has not taken instance %s back yet: see `glidepath migration show %s` for what it waits for", m.ID, m.Source, m.Instance, m.ID)
	default:
		p.ends[m.ID] = ending{outcome: proto.OutcomeFailed, reason: "host " + host + ", its target, died for good, and could not be cleaned"}
	}
}

// sentTo reports whether a host was told to make itself ready in a migration.
func sentTo(m proto.Migration, host string) bool {
	return slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool { return o.Kind == proto.OpPrepareTarget && o.Host == host })
}

// means says what it means that an instance is forgotten with its host.
func (v *View) means(i proto.Instance, p passing) string {
	var said []string
	switch i.State {
	case proto.InstanceAdopting:
		said = append(said, "it was not adopted yet")
	case proto.InstanceReleasing:
		said = append(said, "it was being released")
	default:
		said = append(said, fmt.Sprintf("it ran on %s, and so far as the fleet knows its data are there alone", i.Owner))
	}
	if m, ok := v.migrations.get(i.Migration); ok && p.ends[m.ID].clean {
		said = append(said, fmt.Sprintf("what migration %s had copied to %s is removed there: copy it away before, if you want it", m.ID, m.Target))
	}
	if i.Spec.Address != "" {
		said = append(said, fmt.Sprintf("its address %s is free", i.Spec.Address))
	}
	said = append(said, "bring its data from a backup to another host and adopt it there under its name")
	return strings.Join(said, "; ")
}

// maxNamed is how many of the things that keep a host are named in a refusal.
const maxNamed = 8

func named(list []string) string {
	more := ""
	if n := len(list) - maxNamed; n > 0 {
		list, more = list[:maxNamed], fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(list, "; ") + more
}

func (x *tx) hostForget(b *proto.HostForget) proto.Result {
	h, ok := x.hosts.get(b.Host)
	if !ok {
		return missing("host", b.Host)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	p, f := x.forgetting(b.Host)
	switch {
	case !b.Dead && len(f.Holds) > 0:
		return refused("host %s still holds %s", b.Host, named(f.Holds))
	case b.Dead && len(f.Undecided) > 0:
		return refused("before host %s is forgotten as dead: %s", b.Host, named(f.Undecided))
	case b.Dead && !slices.Equal(f.Names(), b.Lost):
		return conflict("with host %s the instances [%s] would be lost, not [%s]: look again, and decide", b.Host, strings.Join(f.Names(), " "), strings.Join(b.Lost, " "))
	}
	if !b.Dead {
		p = passing{} // it holds nothing
	}
	if r := x.reserve(ledger.Change{Release: x.passed(b.Host, p)}); !r.OK() {
		return r
	}
	if err := x.ledger.RemoveHost(b.Host); err != nil {
		return refusal(err)
	}
	x.pass(p)
	drop(x, x.hosts, b.Host)
	gone := proto.RemovedHost{Name: b.Host, Identity: h.Identity, Dead: b.Dead, At: x.now}
	fleet := x.fleet
	fleet.RemovedHosts = append(slices.Clone(fleet.RemovedHosts), gone) // views share it
	fleet.RemovedHosts = fleet.RemovedHosts[max(0, len(fleet.RemovedHosts)-removedKept):]
	x.putFleet(fleet)
	return done()
}

// passed returns the reservations that end with a host: all on it, and those of the migrations that end, but for the one by which an
// instance lives elsewhere.
func (x *tx) passed(host string, p passing) []string {
	var ids []string
	for _, r := range x.ledger.On(host) {
		ids = append(ids, r.ID)
	}
	for id := range p.ends {
		m, _ := x.migrations.get(id)
		ids = append(ids, m.Extra...)
		i, _ := x.instances.get(m.Instance)
		for _, slot := range []string{m.SourceReservation, m.TargetReservation} {
			if slot != i.Reservation {
				ids = append(ids, slot)
			}
		}
	}
	slices.Sort(ids)
	return x.held(ids)
}

// pass ends the migrations and drops the instances.
func (x *tx) pass(p passing) {
	ids := make([]string, 0, len(p.ends))
	for id := range p.ends {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		m, _ := x.migrations.get(id)
		i, _ := x.instances.get(m.Instance)
		e := p.ends[id]
		if e.clean {
			m.Operations = append(slices.Clone(m.Operations), proto.OperationRecord{
				ID: fmt.Sprintf("%s/%s/%d/0/forgotten", m.ID, proto.OpCleanTarget, i.Fence), Kind: proto.OpCleanTarget, Host: m.Target, Fence: i.Fence, SentAt: x.now,
			})
		}
		m.Returning = ""
		x.end(m, e.outcome, e.reason)
		if !p.lost[m.Instance] {
			i.Migration = ""
			x.putInstance(i)
		}
	}
	lost := make([]string, 0, len(p.lost))
	for name := range p.lost {
		lost = append(lost, name)
	}
	slices.Sort(lost)
	for _, name := range lost {
		drop(x, x.instances, name)
	}
}

// RemovedHost returns the record of a host that was taken out and is refused: by its agent's key, or by its name if that was not known. An
// agent with a key that was taken out is so for good.
func (v *View) RemovedHost(name, identity string) (proto.RemovedHost, bool) {
	for _, r := range slices.Backward(v.fleet.RemovedHosts) {
		if r.Identity != "" && r.Identity == identity || r.Identity == "" && r.Name == name {
			return r, true
		}
	}
	return proto.RemovedHost{}, false
}

// readmit lets a host of a name join again that was taken out before its key was known.
func (x *tx) readmit(name string) {
	f := x.fleet
	f.RemovedHosts = slices.DeleteFunc(slices.Clone(f.RemovedHosts), func(r proto.RemovedHost) bool { return r.Identity == "" && r.Name == name })
	if len(f.RemovedHosts) < len(x.fleet.RemovedHosts) {
		x.putFleet(f)
	}
}
