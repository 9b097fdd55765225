package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Reads is what is looked at when somebody scrapes. Its functions may be called concurrently.
type Reads struct {
	Name    string // of this coordinator
	Version string // of its program
	View    func() *state.View
	Raft    func() consensus.Stats
	Agents  func() int // that have a session here
	// Space tells the bytes that are left, and that there are, where the coordinator keeps its data.
	Space func() (available, size int64, err error)
}

// reader turns the coordinator's state into metrics.
type reader struct {
	Reads
	build, leader, term, committed, applied, contact, coordinators, hosts, homes, agents, instances, doubts, migrations, since, available, size *prometheus.Desc
}

func newReader(r Reads) *reader {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &reader{
		Reads:        r,
		build:        desc("build_info", "The coordinator's version.", "version"),
		leader:       desc("raft_leader", "1 on the leader, else 0."),
		term:         desc("raft_term", "Raft's term."),
		committed:    desc("raft_commit_index", "Index of the last entry that is known here to be committed."),
		applied:      desc("raft_applied_index", "Index of the last entry that is in the tables here."),
		contact:      desc("raft_last_contact_seconds", "How long ago a follower heard of the leader; 0 on the leader, absent before the first time."),
		coordinators: desc("coordinators", "Coordinators of the fleet."),
		hosts:        desc("hosts", "Hosts of the fleet."),
		homes:        desc("home_hosts", "Hosts that this coordinator is home to."),
		agents:       desc("agents_connected", "Agents that have a session with this coordinator."),
		instances:    desc("instances", "Instances of the fleet, by state and mode.", "state", "mode"),
		doubts:       desc("instances_in_doubt", "Instances of which only an operator can tell who may run them: see glidepath status."),
		migrations:   desc("migrations", "Migrations that have not ended, by phase.", "phase"),
		since:        desc("migration_phase_age_seconds", "How long the migration that is in a phase the longest has been in it; 0 where there is none.", "phase"),
		available:    desc("data_available_bytes", "Space that is left where the coordinator keeps its data."),
		size:         desc("data_size_bytes", "Space that there is where the coordinator keeps its data."),
	}
}

// Describe implements prometheus.Collector.
func (r *reader) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		r.build, r.leader, r.term, r.committed, r.applied, r.contact, r.coordinators, r.hosts, r.homes, r.agents, r.instances, r.doubts, r.migrations, r.since, r.available, r.size,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (r *reader) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(r.build, 1, r.Version)
	s := r.Raft()
	leads := 0.0
	if s.Leader {
		leads = 1
	}
	gauge(r.leader, leads)
	gauge(r.term, float64(s.Term))
	gauge(r.committed, float64(s.Committed))
	gauge(r.applied, float64(s.Applied))
	switch {
	case s.Leader:
		gauge(r.contact, 0)
	case !s.Contact.IsZero():
		gauge(r.contact, time.Since(s.Contact).Seconds())
	}
	gauge(r.agents, float64(r.Agents()))
	if available, size, err := r.Space(); err == nil {
		gauge(r.available, float64(available))
		gauge(r.size, float64(size))
	}
	r.tables(gauge, timeline.Of(time.Now()))
}

// tables shows what is in the tables. What there is none of is 0, not absent, so that alerts can compare.
func (r *reader) tables(gauge func(*prometheus.Desc, float64, ...string), now timeline.Time) {
	view := r.View()
	coordinators, hosts, homes := 0, 0, 0
	for range view.Coordinators() {
		coordinators++
	}
	for h := range view.Hosts() {
		hosts++
		if h.Home == r.Name {
			homes++
		}
	}
	gauge(r.coordinators, float64(coordinators))
	gauge(r.hosts, float64(hosts))
	gauge(r.homes, float64(homes))

	type kind struct {
		state proto.InstanceState
		mode  proto.Mode
	}
	instances := map[kind]int{}
	for i := range view.Instances() {
		instances[kind{i.State, i.Spec.Mode}]++
	}
	for _, state := range []proto.InstanceState{
		proto.InstanceAdopting, proto.InstanceRunning, proto.InstanceFrozen, proto.InstanceStarting, proto.InstanceThawing, proto.InstanceReleasing,
	} {
		for _, mode := range []proto.Mode{proto.Observe, proto.Enforce} {
			gauge(r.instances, float64(instances[kind{state, mode}]), string(state), string(mode))
		}
	}
	gauge(r.doubts, float64(len(view.InDoubt(now))))
	migrations, longest := map[proto.Phase]int{}, map[proto.Phase]time.Duration{}
	for m := range view.ActiveMigrations() {
		migrations[m.Phase]++
		if n := len(m.Phases); n > 0 { // the last one is that which it is in
			longest[m.Phase] = max(longest[m.Phase], now.Sub(m.Phases[n-1].At))
		}
	}
	for _, phase := range []proto.Phase{proto.PhasePrepare, proto.PhaseCopy, proto.PhaseSwitch, proto.PhaseWarm, proto.PhaseSettle, proto.PhaseUndo} {
		gauge(r.migrations, float64(migrations[phase]), string(phase))
		gauge(r.since, longest[phase].Seconds(), string(phase))
	}
}
