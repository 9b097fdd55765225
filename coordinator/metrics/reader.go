package metrics

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
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
	// Scores tells how forecasts of the instances that this coordinator is home to fared; PerInstance adds series of each of them.
	Scores      func() []proto.ScoreSummary
	PerInstance bool
}

// reader turns the coordinator's state into metrics.
type reader struct {
	Reads
	build, leader, term, committed, applied, contact, coordinators, hosts, homes, agents, instances, doubts, migrations, since, available, size *prometheus.Desc
	standIns, coverage, loss, standIn, failing, conflicts, unreported, unwritten, came                                                          *prometheus.Desc
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
		unwritten:    desc("raft_write_failures_total", "Times that Raft's log could not be written here, mostly because the disk is full."),
		coordinators: desc("coordinators", "Coordinators of the fleet."),
		hosts:        desc("hosts", "Hosts of the fleet."),
		homes:        desc("home_hosts", "Hosts that this coordinator is home to."),
		agents:       desc("agents_connected", "Agents that have a session with this coordinator."),
		instances:    desc("instances", "Instances of the fleet, by state and mode.", "state", "mode"),
		doubts:       desc("instances_in_doubt", "Instances of which only an operator can tell who may run them: see glidepath status."),
		conflicts:    desc("hosts_in_conflict", "Hosts whose agents report what can't be right by the tables, since the fleet was restored: nothing is operated there. See glidepath status."),
		unreported:   desc("hosts_unreported", "Hosts whose agents have not reported what they run since the fleet was restored: nothing is operated there. See glidepath status."),
		migrations:   desc("migrations", "Migrations that have not ended, by phase.", "phase"),
		since:        desc("migration_phase_age_seconds", "How long the migration that is in a phase the longest has been in it; 0 where there is none.", "phase"),
		came:         desc("migration_prediction_ratio", "Median of what the last completed migrations came to over what was predicted for them, before a correction by it; 0 while there are too few to tell.", "figure"),
		available:    desc("data_available_bytes", "Space that is left where the coordinator keeps its data."),
		size:         desc("data_size_bytes", "Space that there is where the coordinator keeps its data."),
		failing:      desc("calendars_failing", "Calendars whose last poll failed: their events stay as they were. See glidepath calendar list."),
		standIns:     desc("forecast_stand_ins", "Resources of instances that this coordinator is home to which the window of the last days forecasts, because the model lost against it."),
		coverage:     desc("instance_forecast_coverage_ratio", "Share of the steps of the last week in which an instance asked for no more than this quantile of its model's forecast.", "name", "resource", "level"),
		loss:         desc("instance_forecast_loss_ratio", "Pinball loss of an instance's model in the last week over that of another forecast: below 1 the model is the better one.", "name", "resource", "against"),
		standIn:      desc("instance_forecast_stand_in", "1 where the window of the last days forecasts a resource of an instance, because the model lost against it, else 0.", "name", "resource"),
	}
}

// Describe implements prometheus.Collector.
func (r *reader) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		r.build, r.leader, r.term, r.committed, r.applied, r.contact, r.coordinators, r.hosts, r.homes, r.agents, r.instances, r.doubts, r.migrations, r.since, r.available, r.size,
		r.standIns, r.failing, r.conflicts, r.unreported, r.unwritten, r.came,
	} {
		out <- d
	}
	if r.PerInstance {
		for _, d := range []*prometheus.Desc{r.coverage, r.loss, r.standIn} {
			out <- d
		}
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
	out <- prometheus.MustNewConstMetric(r.unwritten, prometheus.CounterValue, float64(s.Unwritten))
	gauge(r.agents, float64(r.Agents()))
	if available, size, err := r.Space(); err == nil {
		gauge(r.available, float64(available))
		gauge(r.size, float64(size))
	}
	r.tables(gauge, timeline.Of(time.Now()))
	r.scores(gauge)
}

// scores shows how forecasts fared. Of each instance it is what its CPU and memory are: fourteen series, and only where its home is.
func (r *reader) scores(gauge func(*prometheus.Desc, float64, ...string)) {
	standIns := 0
	for _, s := range r.Scores() {
		standIns += len(s.StandsIn)
		if !r.PerInstance {
			continue
		}
		for _, of := range s.Of {
			if of.Resource != resource.CPU && of.Resource != resource.Memory {
				continue
			}
			k := of.Resource.String()
			for qi, share := range of.Coverage {
				gauge(r.coverage, share, s.Instance, k, strconv.FormatFloat(float64(s.Quantiles[qi])/1000, 'f', -1, 64))
			}
			for against, ratio := range map[string]*float64{"naive": of.Naive, "window": of.Window} {
				if ratio != nil {
					gauge(r.loss, *ratio, s.Instance, k, against)
				}
			}
			stands := 0.0
			if slices.ContainsFunc(s.StandsIn, func(w proto.StandsIn) bool { return w.Resource == of.Resource }) {
				stands = 1
			}
			gauge(r.standIn, stands, s.Instance, k)
		}
	}
	gauge(r.standIns, float64(standIns))
}

// tables shows what is in the tables. What there is none of is 0, not absent, so that alerts can compare.
func (r *reader) tables(gauge func(*prometheus.Desc, float64, ...string), now timeline.Time) {
	view := r.View()
	coordinators, hosts, homes, conflicts, unreported := 0, 0, 0, 0, 0
	for range view.Coordinators() {
		coordinators++
	}
	for h := range view.Hosts() {
		hosts++
		if h.Home == r.Name {
			homes++
		}
		switch {
		case h.Incarnation == view.Fleet().Incarnation:
		case state.Blocked(h.Conflicts):
			conflicts++
		default:
			unreported++
		}
	}
	gauge(r.coordinators, float64(coordinators))
	gauge(r.hosts, float64(hosts))
	gauge(r.homes, float64(homes))
	gauge(r.conflicts, float64(conflicts))
	gauge(r.unreported, float64(unreported))

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
	failing := 0
	for c := range view.Calendars() {
		if c.Polled.Error != "" {
			failing++
		}
	}
	gauge(r.failing, float64(failing))
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
	bias := planner.LearnedOf(view, "")
	for figure, milli := range map[string]int64{"bytes": bias.Bytes, "copy_time": bias.Copy, "downtime": bias.Downtime} {
		gauge(r.came, float64(milli)/1000, figure)
	}
}
