// Package v1 has the messages of the HTTP API that are not records of the fleet: requests, replies and errors. All times are
// Unix milliseconds, all amounts are resource vectors with named units, where null is unlimited.
package v1

import (
	"encoding/json"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Prefix is what the paths of this version begin with.
const Prefix = "/v1"

// ForecastSteps bounds how many steps of a forecast may be asked for.
const ForecastSteps = 4096

// Headers that requests may have.
const (
	// HeaderKey makes a request that is sent again be carried out once. It is a ULID, and becomes the identifier of what the
	// request creates.
	HeaderKey = "Idempotency-Key"
)

// List is the reply of everything that lists.
type List[T any] struct {
	Items []T `json:"items"`
}

// Empty is the reply of what has nothing to say but that it is done.
type Empty struct{}

// ErrorDetail is the detail of an error, as far as it applies.
type ErrorDetail struct {
	Shortfall  *proto.Shortfall   `json:"shortfall,omitempty"`  // where the first step is short
	Considered []proto.Considered `json:"considered,omitempty"` // targets that a plan weighed
	Blocked    *proto.Blocked     `json:"blocked,omitempty"`    // what a host can't be emptied for, and what would change that
	Role       proto.Role         `json:"role,omitempty"`       // that is missing
	Problems   []string           `json:"problems,omitempty"`   // each thing that is wrong with what was sent
	Step       *StepFault         `json:"step,omitempty"`       // of an envelope, that can't be taken
}

// Status is how the fleet is.
type Status struct {
	Fleet        proto.Fleet       `json:"fleet"`
	Now          timeline.Time     `json:"now"`     // of the coordinator that answers
	Version      string            `json:"version"` // of its program
	Leader       string            `json:"leader"`  // name; empty while none is elected
	Coordinators []Coordinator     `json:"coordinators"`
	Hosts        int               `json:"hosts"`
	Instances    InstanceCounts    `json:"instances"`
	Paused       Paused            `json:"paused"`
	Migrations   []MigrationStatus `json:"migrations"`           // active ones
	Short        []proto.Shortfall `json:"short"`                // hosts that have promised more than they have, first step of each
	Plans        []PlanSummary     `json:"plans"`                // stored ones that go on or are suggested, but for those of drains, and those that became stale within a day
	Drains       []DrainStatus     `json:"drains"`               // of hosts that are being emptied
	Notices      []proto.Notice    `json:"notices"`              // of what is so, in the order in which they were told first
	Away         []AwayHost        `json:"away"`                 // hosts whose agents have had no session for a while
	InDoubt      []Doubt           `json:"in_doubt"`             // instances of which only an operator can tell who may run them
	Conflicts    []string          `json:"conflicts,omitempty"`  // hosts whose agents report what the tables contradict
	Unreported   []string          `json:"unreported,omitempty"` // hosts that are not operated: their agents have not reported to this incarnation
}

// Agent is whether a host's agent has a session with the coordinators.
type Agent struct {
	State AgentState    `json:"state"`
	Since timeline.Time `json:"since,omitzero"` // left out when it is not known
}

// AgentState says whether a host's agent has a session.
type AgentState string

// The states of an agent. It is away for a moment when its home changes: AwayAfter tells that from silence.
const (
	AgentConnected AgentState = "connected"
	AgentAway      AgentState = "away"    // no coordinator has a session with it
	AgentUnknown   AgentState = "unknown" // the coordinators that could tell do not answer
)

// AwayAfter is how long an agent may be away before it counts as silent.
const AwayAfter = 30 * time.Second

// Silent reports whether the agent has been away for a while at a time.
func (a Agent) Silent(now timeline.Time) bool {
	return a.State == AgentAway && now.Sub(a.Since) >= AwayAfter
}

// AwayHost is a host whose agent has had no session for a while.
type AwayHost struct {
	Host  string        `json:"host"`
	Since timeline.Time `json:"since,omitzero"` // left out when it is not known
	Owns  int           `json:"owns"`           // instances, of which nobody knows whether they run
}

// Doubt is an instance of which it can't be told who may run it, or whether the one who may does.
type Doubt struct {
	Instance  string        `json:"instance"`
	Migration string        `json:"migration,omitzero"`
	Since     timeline.Time `json:"since"`
	Known     string        `json:"known"`  // in words
	Decide    []string      `json:"decide"` // what to do, the better way first
}

// Coordinator is a coordinator and its part in the Raft cluster.
type Coordinator struct {
	proto.Coordinator
	Leader  bool   `json:"leader"`
	Voter   bool   `json:"voter"`
	Reached bool   `json:"reached"`       // by the coordinator that answers
	Why     string `json:"why,omitempty"` // it was not reached
}

// Member is a coordinator with its part in the Raft cluster, as far as it is reached.
type Member struct {
	Name     string        `json:"name"`
	RPCAddr  string        `json:"rpc_address"`
	APIAddr  string        `json:"api_address,omitempty"`
	Program  string        `json:"program_version,omitempty"`
	JoinedAt timeline.Time `json:"joined_at,omitzero"`
	Listed   bool          `json:"listed"` // it is of the fleet; else it is on its way out of the Raft configuration
	Voter    bool          `json:"voter"`
	Leader   bool          `json:"leader"`
	Reached  bool          `json:"reached"`        // by the coordinator that answers
	Why      string        `json:"why,omitempty"`  // it was not reached, or does not tell
	Raft     *proto.Member `json:"raft,omitempty"` // by its own word; left out when it was not reached
}

// TransferRequest hands the leadership to a coordinator.
type TransferRequest struct {
	To string `json:"to,omitempty"` // "": whoever is most up to date
}

// TransferReply says who leads now.
type TransferReply struct {
	Leader string `json:"leader"`
}

// InstanceCounts counts instances.
type InstanceCounts struct {
	Total    int `json:"total"`
	Enforced int `json:"enforced"`
	Moving   int `json:"moving"`
	Faulty   int `json:"faulty"` // adoption or release did not succeed
}

// Host is a host with what of it is promised.
type Host struct {
	proto.Host
	Allocatable resource.Vector  `json:"allocatable"`         // now, by an operator's word where he gave one
	Needed      resource.Vector  `json:"needed"`              // by everything on it in the step that is now
	Limit       resource.Vector  `json:"limit"`               // what may be promised in that step
	Owns        []string         `json:"owns"`                // instances, sorted
	PausedBy    []proto.PausedBy `json:"paused_by,omitempty"` // what lifts every limit on it
	Agent       Agent            `json:"agent"`
}

// HostAllocatable is what an operator says may be promised of a host, whatever its agent states.
type HostAllocatable struct {
	Allocatable resource.Vector `json:"allocatable"`        // 0 or left out: what the agent states
	Revision    uint64          `json:"revision,omitempty"` // decisions_revision of the host as whoever decides saw it: after another decision it is a conflict. 0: any
}

// Forgetting is what forgetting a host means as things are.
type Forgetting struct {
	Holds     []string `json:"holds"`     // what keeps it from being forgotten as one that holds nothing
	Undecided []string `json:"undecided"` // of one that died for good: what is to be decided before
	Lost      []Lost   `json:"lost"`      // of one that died for good: the instances that are forgotten with it
	Ends      []string `json:"ends"`      // of one that died for good: the migrations that end with it
	// Hosts whose agents have not reported what they run since the fleet was restored, and may run what is lost.
	Unreported []string `json:"unreported"`
}

// Lost is an instance that is forgotten with a host that died for good, and what that means.
type Lost struct {
	Instance string `json:"instance"`
	Means    string `json:"means"`
}

// ForgetDead forgets a host that died for good.
type ForgetDead struct {
	Lost       []string `json:"lost"` // the instances that whoever decides knows to be lost: with others it is a conflict
	Reason     string   `json:"reason,omitempty"`
	Unreported bool     `json:"unreported,omitempty"` // although hosts have not reported what they run since the fleet was restored
}

// HostDetail is a host with its reservations and its steps.
type HostDetail struct {
	Host
	Reservations []proto.Reservation `json:"reservations"`
	Steps        []HostStep          `json:"steps"` // equal neighbours joined
}

// HostStep is what a host has promised over a time.
type HostStep struct {
	timeline.Span
	Needed resource.Vector `json:"needed"`
	Limit  resource.Vector `json:"limit"`
}

// InstanceDetail is an instance with its reservation where it lives.
type InstanceDetail struct {
	proto.Instance
	PausedBy []proto.PausedBy   `json:"paused_by,omitempty"` // what lifts its limits, on the host that owns it
	Envelope *proto.Reservation `json:"envelope,omitempty"`  // not in lists
	Short    *proto.Shortfall   `json:"short,omitempty"`     // not in lists: where its host lacks what enforcing it would take; left out where nothing is lacking, and in mode enforce
}

// Schedule is what an instance is granted now, what its host's kernel holds, and what it asks for.
type Schedule struct {
	proto.ReadBack
	Mode     proto.Mode       `json:"mode"`
	PausedBy []proto.PausedBy `json:"paused_by,omitempty"` // what lifts its limits
	Above    *proto.Above     `json:"above,omitempty"`     // how often it asked for more than was scheduled; left out where its home can't say
}

// Scorecards is how the forecasts of all instances fared over the last week, in short.
type Scorecards struct {
	Items  []proto.ScoreSummary `json:"items"`            // sorted by instance; those that nothing was issued of yet are left out
	Silent []string             `json:"silent,omitempty"` // coordinators that did not answer: the instances that they are home to are missing
}

// ModeRequest changes whether an instance's limits are set.
type ModeRequest struct {
	Mode proto.Mode `json:"mode"`
}

// EventRequest registers an event.
type EventRequest struct {
	ID        string          `json:"id,omitempty"` // "" lets the coordinator choose; the same one replaces
	Kind      proto.EventKind `json:"kind"`
	Title     string          `json:"title,omitempty"`
	Start     timeline.Time   `json:"start"`
	End       timeline.Time   `json:"end"`
	Size      int64           `json:"size_milli,omitempty"` // against the usual of its kind, in thousandths; 0: as usual
	Instances []string        `json:"instances,omitempty"`
	Selector  []proto.Label   `json:"selector,omitempty"`
}

// CalendarRequest registers a calendar, or changes what was registered: all of it.
type CalendarRequest struct {
	URL       string          `json:"url"`                  // https or http, of an iCalendar file or a CSV; it is not shown again
	Every     int64           `json:"every_ms,omitempty"`   // how often it is polled; 0: 15 minutes
	Kind      proto.EventKind `json:"kind,omitempty"`       // of all its events; "": what each entry says
	Size      int64           `json:"size_milli,omitempty"` // of events that say none, against the usual of their kind, in thousandths; 0: as usual
	Timezone  string          `json:"timezone,omitempty"`   // of days, and of times that name no zone; "": UTC, and times in a CSV have to name one
	Instances []string        `json:"instances,omitempty"`
	Selector  []proto.Label   `json:"selector,omitempty"`
}

// Calendar is a calendar that events come from, and what came of polling it.
type Calendar struct {
	proto.Calendar
	URL string `json:"url"` // without what may be a secret: all after the server's name
}

// ImportReply says what came of importing history.
type ImportReply struct {
	Rows   int           `json:"rows"`    // read
	Step   int64         `json:"step_ms"` // smallest distance of two rows
	From   timeline.Time `json:"from"`
	To     timeline.Time `json:"to"`
	Stored int           `json:"stored"` // values of blocks
	Late   int           `json:"late"`   // values older than the store keeps
}

// PlanRequest asks how a migration would go, or starts it.
type PlanRequest struct {
	Instance string `json:"instance"`
	Target   string `json:"target,omitempty"` // host; "" lets the planner choose
	Type     string `json:"type,omitempty"`   // instance type there; "" keeps it
	Fence    uint64 `json:"fence,omitempty"`  // of the instance, as a plan that was looked at had it: refused if another decision came since; 0: any

	At        timeline.Time      `json:"at,omitempty"`               // when it is to begin; 0: now
	Best      bool               `json:"best,omitempty"`             // the planner chooses when it begins, until before, or as far ahead as demand is forecast
	Before    timeline.Time      `json:"before,omitempty"`           // when the target has to have taken over; 0: whenever
	Windows   []proto.MoveWindow `json:"windows,omitempty"`          // when it may go on, beside those of the policy
	LeastGain *int64             `json:"least_gain_milli,omitempty"` // of best: by how many thousandths of its cost a later start has to be cheaper than one at once; 50 by default
	Probation int64              `json:"probation_ms,omitempty"`     // 0: as the policy says
	Squeeze   bool               `json:"squeeze,omitempty"`          // where it has no room, reservations of lower classes yield, down to their floors
	Store     bool               `json:"store,omitempty"`            // keep the plan, so that it can be begun later; it holds nothing. For an operator
	WhatIf    *proto.WhatIf      `json:"what_if,omitempty"`          // plan for another fleet than the one that is. Such a plan never begins
}

// ReturnRequest takes a migration back that is on probation: its instance moves to where it came from, with what was written since.
type ReturnRequest struct {
	Reason string `json:"reason,omitempty"`
	Fence  uint64 `json:"fence,omitempty"` // the instance's fence as the operator saw it; 0: as it is
}

// CompleteRequest ends the probation of a migration: it completes without waiting for the rest of it, and can't be returned any more.
type CompleteRequest struct {
	Reason string `json:"reason,omitempty"`
	Fence  uint64 `json:"fence,omitempty"` // the instance's fence as the operator saw it; 0: as it is
}

// AbortRequest gives up a migration: one that is not confirmed, at no loss; or, if AcceptLoss is set, one that is, whose target died for
// good. Then the source goes on with the data that it kept, and what was acknowledged on the target is lost.
type AbortRequest struct {
	Reason     string `json:"reason,omitempty"`
	AcceptLoss bool   `json:"accept_loss,omitempty"`
	Fence      uint64 `json:"fence,omitempty"`      // of the instance as whoever decides saw it: after another decision it is a conflict. 0: whatever it is
	Unreported bool   `json:"unreported,omitempty"` // with AcceptLoss: although hosts have not reported what they run since the fleet was restored
}

// MigrationStatus is how a migration is, without its plan and its operations.
type MigrationStatus struct {
	ID        string        `json:"id"`
	Instance  string        `json:"instance"`
	Source    string        `json:"source"`
	Target    string        `json:"target"`
	FromType  string        `json:"from_type"`
	ToType    string        `json:"to_type"`
	Phase     proto.Phase   `json:"phase"`
	Outcome   proto.Outcome `json:"outcome,omitzero"`
	Reason    string        `json:"reason,omitzero"`
	StartedBy string        `json:"started_by,omitzero"`
	CreatedAt timeline.Time `json:"created_at"`
	EndedAt   timeline.Time `json:"ended_at,omitzero"`
	Returns   string        `json:"returns,omitzero"`    // the migration that this one undoes
	Returning string        `json:"returning,omitzero"`  // the migration that undoes this one
	Expected  timeline.Time `json:"expected_settled_at"` // by the plan: when it serves on the target, all warm

	HookFailures []HookFailure `json:"hook_failures,omitempty"` // what its hooks did not do
}

// StatusOf returns the status of a migration.
func StatusOf(m proto.Migration) MigrationStatus {
	return MigrationStatus{
		ID: m.ID, Instance: m.Instance, Source: m.Source, Target: m.Target, FromType: m.FromType, ToType: m.ToType,
		Phase: m.Phase, Outcome: m.Outcome, Reason: m.Reason, StartedBy: m.StartedBy, CreatedAt: m.CreatedAt, EndedAt: m.EndedAt,
		Returns: m.Returns, Returning: m.Returning,
		Expected: m.Plan.Start + timeline.Time(m.Plan.Duration), HookFailures: hookFailures(m),
	}
}

// MigrationUpdate is a line of GET /v1/migrations/{id}/watch.
type MigrationUpdate struct {
	At        timeline.Time   `json:"at"`
	Migration MigrationStatus `json:"migration"`
	Operation string          `json:"operation,omitempty"` // kind of the operation that runs now
	Progress  json.RawMessage `json:"progress,omitempty"`  // a proto.MigrationProgress; left out when nothing is known
	Running   *Running        `json:"running,omitempty"`   // left out while nobody runs the instance, and when its agent is out of reach
}

// Running is how an instance fares where it runs: on the source until it is frozen, on the target once that has started it.
type Running struct {
	Host      string           `json:"host"`
	Allocated resource.Vector  `json:"allocated"`              // what it is granted now
	Demand    *resource.Vector `json:"demand,omitempty"`       // what it asked for in the last second; left out until it was measured
	Throttled *int64           `json:"throttled_ms,omitempty"` // milliseconds of the last 10 seconds in which its CPU was throttled
}

// TokenRequest makes a token. The role says its kind: viewer, operator and admin are for this API, agent and coordinator
// for joining.
type TokenRequest struct {
	Role    proto.Role `json:"role"`
	Name    string     `json:"name,omitempty"`       // whose it is; of a join token: who alone may join with it
	Expires int64      `json:"expires_ms,omitempty"` // from now; 0: an hour for joining, else never
}

// TokenReply has the secret, which is shown this once.
type TokenReply struct {
	proto.Token
	Secret string `json:"secret"`
}
