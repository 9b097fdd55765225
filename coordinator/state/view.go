package state

import (
	"iter"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// View is the whole state at one time. It never changes, and any number of goroutines may read it. Slices in the records
// it answers are shared: they are for reading.
type View struct {
	now          timeline.Time
	applied      uint64
	fleet        proto.Fleet
	coordinators table[proto.Coordinator]
	hosts        table[proto.Host]
	types        table[proto.InstanceType]
	applications table[proto.Application]
	instances    table[proto.Instance]
	migrations   table[proto.Migration]
	active       table[struct{}] // keys of migrations that have not ended
	ended        table[ended]    // those that have, by their ends
	events       table[proto.Event]
	calendars    table[proto.Calendar]
	tokens       table[proto.Token]
	plans        table[proto.StoredPlan]
	notices      table[proto.Notice]
	ledger       *ledger.Ledger
	recent       recent
}

// clone returns a view that shares nothing that changes with v.
func (v *View) clone() *View {
	c := *v
	c.coordinators = v.coordinators.clone()
	c.hosts = v.hosts.clone()
	c.types = v.types.clone()
	c.applications = v.applications.clone()
	c.instances = v.instances.clone()
	c.migrations = v.migrations.clone()
	c.active = v.active.clone()
	c.ended = v.ended.clone()
	c.events = v.events.clone()
	c.calendars = v.calendars.clone()
	c.tokens = v.tokens.clone()
	c.plans = v.plans.clone()
	c.notices = v.notices.clone()
	c.ledger = v.ledger.Clone()
	c.recent = v.recent.clone()
	return &c
}

// Now returns the time of the last command.
func (v *View) Now() timeline.Time { return v.now }

// Applied returns how many commands have been applied since the fleet began: it orders views.
func (v *View) Applied() uint64 { return v.applied }

// Fleet returns the fleet's record; its ID is empty before the fleet is made.
func (v *View) Fleet() proto.Fleet { return v.fleet }

// Coordinator returns a coordinator.
func (v *View) Coordinator(name string) (proto.Coordinator, bool) { return v.coordinators.get(name) }

// Coordinators returns all coordinators, sorted by name.
func (v *View) Coordinators() iter.Seq[proto.Coordinator] { return v.coordinators.all() }

// Host returns a host.
func (v *View) Host(name string) (proto.Host, bool) { return v.hosts.get(name) }

// Hosts returns all hosts, sorted by name.
func (v *View) Hosts() iter.Seq[proto.Host] { return v.hosts.all() }

// HostCount returns how many hosts there are.
func (v *View) HostCount() int { return v.hosts.len() }

// EachHost calls f with every host, sorted by name, until it answers false. What f gets is the record as it is in the table, for who looks at many and
// needs little of each: it must not be changed.
func (v *View) EachHost(f func(*proto.Host) bool) {
	v.hosts.rows.Ascend(func(r row[proto.Host]) bool { return f(r.record) })
}

// Type returns an instance type.
func (v *View) Type(name string) (proto.InstanceType, bool) { return v.types.get(name) }

// Types returns all instance types, sorted by name.
func (v *View) Types() iter.Seq[proto.InstanceType] { return v.types.all() }

// Application returns an application.
func (v *View) Application(name string) (proto.Application, bool) { return v.applications.get(name) }

// Applications returns all applications, sorted by name.
func (v *View) Applications() iter.Seq[proto.Application] { return v.applications.all() }

// Instance returns an instance.
func (v *View) Instance(name string) (proto.Instance, bool) { return v.instances.get(name) }

// Instances returns all instances, sorted by name.
func (v *View) Instances() iter.Seq[proto.Instance] { return v.instances.all() }

// InstancesOn returns the instances that have anything to do with a host, in order of their reservations there: those it
// owns, those that are to come, and those whose slot it keeps. Compare Owner to tell.
func (v *View) InstancesOn(host string) []proto.Instance {
	var out []proto.Instance
	for r := range v.ledger.Held(host) {
		if i, ok := v.instances.get(r.Instance); ok {
			out = append(out, i)
		}
	}
	return out
}

// ReservationOf returns the reservation that an instance has on a host.
func (v *View) ReservationOf(instance, host string) (proto.Reservation, bool) {
	for r := range v.ledger.Held(host) {
		if r.Instance == instance && r.Purpose != proto.PurposeHold {
			return v.ledger.Reservation(r.ID)
		}
	}
	return proto.Reservation{}, false
}

// Reservation returns a reservation.
func (v *View) Reservation(id string) (proto.Reservation, bool) { return v.ledger.Reservation(id) }

// Reservations returns all reservations, sorted by ID.
func (v *View) Reservations() iter.Seq[proto.Reservation] { return v.ledger.Reservations() }

// ReservationsOn returns the reservations on a host, sorted by ID.
func (v *View) ReservationsOn(host string) []proto.Reservation { return v.ledger.On(host) }

// Ledger returns the ledger for asking: Fits, Scan, Squeeze, Steps, Short. It must not be changed, nor cloned by two
// goroutines at once: for trying out several changes take a View of one's own and Clone its ledger.
func (v *View) Ledger() *ledger.Ledger { return v.ledger }

// Migration returns a migration.
func (v *View) Migration(id string) (proto.Migration, bool) { return v.migrations.get(id) }

// Migrations returns all migrations, ended ones too, sorted by ID.
func (v *View) Migrations() iter.Seq[proto.Migration] { return v.migrations.all() }

// ActiveMigrations returns the migrations that have not ended, sorted by ID.
func (v *View) ActiveMigrations() iter.Seq[proto.Migration] {
	return func(yield func(proto.Migration) bool) {
		v.active.rows.Ascend(func(r row[struct{}]) bool {
			m, _ := v.migrations.get(r.key)
			return yield(m)
		})
	}
}

// Event returns an event.
func (v *View) Event(id string) (proto.Event, bool) { return v.events.get(id) }

// Events returns all events, sorted by ID.
func (v *View) Events() iter.Seq[proto.Event] { return v.events.all() }

// Calendar returns a calendar.
func (v *View) Calendar(name string) (proto.Calendar, bool) { return v.calendars.get(name) }

// Calendars returns all calendars, sorted by name.
func (v *View) Calendars() iter.Seq[proto.Calendar] { return v.calendars.all() }

// Token returns a token.
func (v *View) Token(id string) (proto.Token, bool) { return v.tokens.get(id) }

// Tokens returns all tokens, sorted by ID.
func (v *View) Tokens() iter.Seq[proto.Token] { return v.tokens.all() }

// Plan returns a stored plan.
func (v *View) Plan(id string) (proto.StoredPlan, bool) { return v.plans.get(id) }

// Plans returns all stored plans, ended ones too, sorted by ID.
func (v *View) Plans() iter.Seq[proto.StoredPlan] { return v.plans.all() }

// Notice returns a notice.
func (v *View) Notice(id string) (proto.Notice, bool) { return v.notices.get(id) }

// Notices returns all notices, cleared ones too, sorted by ID.
func (v *View) Notices() iter.Seq[proto.Notice] { return v.notices.all() }

// Knows reports whether every coordinator has said that it can apply the version of the command: only then may it be
// proposed. Before any coordinator is known it is true.
func (v *View) Knows(t proto.CommandType, version uint8) bool {
	for c := range v.coordinators.all() {
		known := false
		for _, k := range c.Commands {
			known = known || k.Type == t && k.Version >= version
		}
		if !known {
			return false
		}
	}
	return true
}
