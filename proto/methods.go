package proto

import (
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// RPC methods. The first part of a name says who serves it.
const (
	// Served by every coordinator to agents.
	MethodHello   = "coordinator.hello"   // Hello → HelloReply; first call of a session
	MethodSamples = "coordinator.samples" // Samples → SamplesReply
	MethodPermit  = "coordinator.permit"  // PermitRequest → PermitReply
	MethodRenew   = "coordinator.renew"   // RenewRequest → RenewReply; the only method for a certificate in grace

	// Served by agents to coordinators, on streams of the agent's session.
	MethodDocument = "agent.document" // Document → DocumentVersion that is now stored
	MethodOperate  = "agent.operate"  // Operation → OperationResult, when it has ended
	MethodProgress = "agent.progress" // OperationRef → Progress
	MethodCancel   = "agent.cancel"   // OperationRef → empty: stops a running operation, undone as far as it can be
	MethodHoldings = "agent.holdings" // empty → Holdings
	MethodReadBack = "agent.readback" // InstanceRef → ReadBack: what the kernel holds now
	MethodRetained = "agent.retained" // empty → Retention: data of instances that moved away
	MethodTasks    = "agent.tasks"    // TasksRequest → TasksReply: what runs by schedule on the host. Agents of earlier versions do not know it

	// Served by agents to each other: the source of a migration asks its target, when the coordinators are silent.
	MethodRefused = "agent.refused" // RefusedRequest → RefusedReply

	// Served by coordinators to each other.
	MethodPropose   = "leader.propose"  // Proposal → ProposalReply
	MethodRelay     = "home.relay"      // Relay → RelayReply: a call to an agent by way of its home
	MethodCopy      = "standby.samples" // Samples → SamplesReply: what the home stored
	MethodGrant     = "leader.permit"   // HostPermit → PermitReply: a permit that the home was asked for
	MethodMoving    = "leader.progress" // MigrationRef → MigrationProgress
	MethodForecast  = "home.forecast"   // ForecastRequest → ForecastReply
	MethodHistory   = "home.history"    // HistoryRequest → HistoryPage: a page of blocks
	MethodPresence  = "home.presence"   // empty → Presences: which agents have a session with this coordinator, or had
	MethodImport    = "home.import"     // HistoryPage → HistoryStored: blocks that were measured elsewhere
	MethodAbove     = "home.above"      // AboveRequest → Above
	MethodScores    = "home.scores"     // ScoresRequest → ScoresReply
	MethodHostTasks = "home.tasks"      // HostTasksRequest → HostTasksReply

	MethodMember   = "coordinator.member" // empty → Member: its part in the Raft cluster
	MethodTransfer = "leader.transfer"    // Transfer → empty: hands the leadership over
	MethodReport   = "coordinator.report" // empty → Report: for a support bundle

	// Served without a client certificate, for joining (gp-join/1).
	MethodJoin = "join" // JoinRequest → JoinReply
)

// OperationRef names an operation of an agent.
type OperationRef struct {
	ID string `msgpack:"id" json:"id"`
}

// InstanceRef names an instance.
type InstanceRef struct {
	Instance string `msgpack:"i" json:"instance"`
}

// Holdings is all that a host holds, sorted by instance.
type Holdings struct {
	Holdings []Holding `msgpack:"h" json:"holdings"`
}

// Relay asks a home to call a method of one of its hosts' agents.
type Relay struct {
	Host   string `msgpack:"h" json:"host"`
	Method string `msgpack:"m" json:"method"`
	Body   []byte `msgpack:"b" json:"body"`
}

// RelayReply is the agent's answer.
type RelayReply struct {
	Body []byte `msgpack:"b" json:"body"`
}

// JoinRequest asks for a certificate with a join token.
type JoinRequest struct {
	Version int    `msgpack:"v" json:"version"`
	Token   string `msgpack:"t" json:"-"`
	Name    string `msgpack:"n" json:"name"`
	Role    string `msgpack:"r" json:"role"`        // agent or coordinator
	CSR     []byte `msgpack:"c" json:"csr"`         // PKCS #10, DER
	RPCAddr string `msgpack:"a" json:"rpc_address"` // of a coordinator: where the others reach it
}

// JoinReply is what a joiner needs. The CA's key and the gossip key go to coordinators only.
type JoinReply struct {
	Fleet        string   `msgpack:"f" json:"fleet"`
	Certificate  []byte   `msgpack:"c" json:"certificate"` // PEM chain
	CA           []byte   `msgpack:"ca" json:"ca"`         // PEM
	CAKey        []byte   `msgpack:"ck" json:"-"`
	GossipKey    []byte   `msgpack:"gk" json:"-"`
	Coordinators []string `msgpack:"co" json:"coordinators"` // RPC addresses, sorted
	Gossip       []string `msgpack:"go" json:"gossip"`       // of coordinators, to coordinators: gossip addresses, sorted
}

// RenewRequest asks for a new certificate for the identity that the session already has.
type RenewRequest struct {
	CSR []byte `msgpack:"c" json:"csr"`
}

// RenewReply is the new certificate.
type RenewReply struct {
	Certificate []byte `msgpack:"c" json:"certificate"` // PEM chain
	CA          []byte `msgpack:"ca" json:"ca"`
}

// ReadBack is what a host's kernel holds for an instance now, beside what the document says and what the instance asks for.
type ReadBack struct {
	Instance  string          `msgpack:"i" json:"instance"`
	Document  DocumentVersion `msgpack:"d" json:"document"`
	Files     []LimitFile     `msgpack:"f" json:"files"` // cgroup files and programs, sorted by name
	Scheduled resource.Vector `msgpack:"s" json:"scheduled"`
	Granted   resource.Vector `msgpack:"g" json:"granted"`
	Held      resource.Vector `msgpack:"he" json:"held"`                        // as read from the kernel
	Measured  bool            `msgpack:"ms" json:"measured"`                    // false until the first sample, and when the last one failed: the rest is not known
	Demand    resource.Vector `msgpack:"de" json:"demand"`                      // in the last second
	Throttled int64           `msgpack:"th" json:"throttled_ms"`                // milliseconds of the last WindowLength in which CPU was throttled
	Free      bool            `msgpack:"fr" json:"free,omitzero"`               // no limit of ours is on it: in mode observe, or paused. What is held is its own unit's
	Signals   []SignalState   `msgpack:"sg,omitempty" json:"signals,omitempty"` // those of the instance that are scraped here, in the order of its spec
}

// LimitFile is one limit as the kernel prints it.
type LimitFile struct {
	Name  string `msgpack:"n" json:"name"` // cpu.max, memory.high, io.max, net.tx, …
	Value string `msgpack:"v" json:"value"`
}

// HostPermit is a permit that a host's agent asked its home for.
type HostPermit struct {
	Host    string        `msgpack:"h" json:"host"`
	Request PermitRequest `msgpack:"r" json:"request"`
}

// ForecastRequest asks the home of an instance's owner for its forecast, made for allocation: of the highest demand in
// each step.
type ForecastRequest struct {
	Instance string        `msgpack:"i" json:"instance"`
	From     timeline.Time `msgpack:"f" json:"from"`           // start of the first step; 0: now
	Step     int64         `msgpack:"s" json:"step_ms"`        // 0: the fleet's grid step
	Steps    int           `msgpack:"n" json:"steps"`          // 0: 48 hours, or the grid's span
	Means    bool          `msgpack:"m" json:"means,omitzero"` // of the mean demand instead
}

// ForecastReply is a forecast as quantiles over steps.
type ForecastReply struct {
	Instance  string             `msgpack:"i" json:"instance"`
	Start     timeline.Time      `msgpack:"t" json:"start"`
	Step      int64              `msgpack:"s" json:"step_ms"`
	Quantiles []int              `msgpack:"q" json:"quantiles_milli"` // ascending, in thousandths
	Profiles  []timeline.Profile `msgpack:"p" json:"profiles"`        // one for each quantile, equal neighbours joined
	Cold      bool               `msgpack:"c" json:"cold,omitzero"`   // a resource has too little history
	Reasons   []string           `msgpack:"r" json:"reasons"`         // in words, most telling first
	TrainedAt timeline.Time      `msgpack:"ta" json:"trained_at"`
	Observed  int64              `msgpack:"ob" json:"observed_s"` // seconds of history behind it
	Patterns  []DemandPattern    `msgpack:"pt" json:"patterns,omitzero"`
	Signals   []SignalForecast   `msgpack:"sg,omitempty" json:"signals,omitempty"` // of the instance, in the order of its spec, as far as anything is known of them
}

// DemandPattern is how the demand for a resource runs, as far as its history tells.
type DemandPattern struct {
	Resource   resource.Kind `msgpack:"r" json:"resource"`
	Pattern    string        `msgpack:"p" json:"pattern"`          // idle, steady, periodic, trending, bursty, intermittent or batch
	Confidence int           `msgpack:"c" json:"confidence_milli"` // probability that it is this one, in thousandths
}

// At returns the profile of the lowest quantile that is at least q, in thousandths, or of the highest.
func (f ForecastReply) At(q int) timeline.Profile {
	for i, have := range f.Quantiles {
		if have >= q || i == len(f.Quantiles)-1 {
			return f.Profiles[i]
		}
	}
	return nil
}

// HistoryRequest asks for the blocks of an instance's history from a time on.
type HistoryRequest struct {
	Instance string        `msgpack:"i" json:"instance"`
	From     timeline.Time `msgpack:"f" json:"from"`
	Blocks   int           `msgpack:"n" json:"blocks"` // at most
}

// HistoryPage is a page of an instance's blocks: per resource the mean and the highest demand, NaN where there is none. The last page has the
// instance's scorecard, too.
type HistoryPage struct {
	Instance string                    `msgpack:"i" json:"instance"`
	Start    timeline.Time             `msgpack:"t" json:"start"` // of the first block
	Step     int64                     `msgpack:"s" json:"step_ms"`
	Mean     [resource.Kinds][]float64 `msgpack:"m" json:"mean"`
	Max      [resource.Kinds][]float64 `msgpack:"x" json:"max"`
	Next     timeline.Time             `msgpack:"n" json:"next,omitzero"` // where the next page starts; 0: this is the last
	Scores   *Scorecard                `msgpack:"sc" json:"scores,omitempty"`
	Signals  []SignalBlocks            `msgpack:"sg,omitempty" json:"signals,omitempty"`
}

// HistoryStored is what became of a page: values stored, and values that were older than what is kept.
type HistoryStored struct {
	Stored int `msgpack:"s" json:"stored"`
	Late   int `msgpack:"l" json:"late"`
}

// AboveMost is how far back demand can be compared with the schedule: windows are kept no longer.
const AboveMost = 48 * time.Hour

// AboveRequest asks the home of an instance's owner how often its demand was above its schedule.
type AboveRequest struct {
	Instance string        `msgpack:"i" json:"instance"`
	Span     timeline.Span `msgpack:"sp" json:"span"`
}

// Above is how often an instance's demand was above its schedule, whether it was limited or not.
type Above struct {
	Span timeline.Span `msgpack:"sp" json:"span"` // from the first window that is known
	Of   []AboveOf     `msgpack:"o" json:"of"`    // in the order of resources; those without a schedule are left out

	StandsIn []StandsIn `msgpack:"w" json:"stands_in,omitempty"` // resources that the schedule follows the window of, in the place of the model
}

// AboveOf is that of one resource, in windows of WindowLength.
type AboveOf struct {
	Resource resource.Kind `msgpack:"r" json:"resource"`
	Windows  int           `msgpack:"n" json:"windows"` // of which both are known
	Above    int           `msgpack:"a" json:"above"`   // of those, whose mean demand was above the schedule
	Most     int64         `msgpack:"m" json:"most"`    // by how much at most, in the resource's unit
}

// Retained is data of an instance that moved away from a host, or that it gave up. Only an operator removes them.
type Retained struct {
	Instance  string        `msgpack:"i" json:"instance"`
	Migration string        `msgpack:"m" json:"migration"` // that the instance left in
	At        timeline.Time `msgpack:"t" json:"at"`        // when they were put there
	Paths     []string      `msgpack:"p" json:"paths"`     // where they lie
	Bytes     int64         `msgpack:"b" json:"bytes"`     // on the disk
	Files     int64         `msgpack:"f" json:"files"`
	Partial   bool          `msgpack:"x" json:"partial,omitzero"` // there is more: it takes longer to measure than an answer may
}

// Retention is what a host retains, the oldest first.
type Retention struct {
	Items []Retained `msgpack:"i" json:"items"`
	More  int        `msgpack:"n" json:"more,omitzero"` // that are left out
}

// Presence is whether a host's agent has a session with a coordinator, and since when that is so.
type Presence struct {
	Host      string        `msgpack:"h" json:"host"`
	Connected bool          `msgpack:"c" json:"connected"`
	Since     timeline.Time `msgpack:"s" json:"since"` // 0: not known
}

// Presences are those of the hosts that a coordinator is home to or has heard of, sorted by host.
type Presences struct {
	Hosts []Presence `msgpack:"h" json:"hosts"`
}

// MigrationRef names a migration.
type MigrationRef struct {
	ID string `msgpack:"id" json:"id"`
}

// MigrationProgress is how far a running migration is, as its leader sees it. It is not kept anywhere.
type MigrationProgress struct {
	Operation OperationKind `msgpack:"o" json:"operation,omitempty"` // that runs now
	Host      string        `msgpack:"h" json:"host,omitempty"`      // where
	Stage     string        `msgpack:"s" json:"stage"`               // in the agent's words
	Round     int           `msgpack:"r" json:"round"`               // of the transfer, from 1
	Bytes     int64         `msgpack:"b" json:"bytes"`               // of the operation
	Total     int64         `msgpack:"t" json:"total"`               // 0 when it is not known
	Sent      int64         `msgpack:"n" json:"sent"`                // bytes of all rounds that have ended
	Trouble   string        `msgpack:"w" json:"trouble,omitempty"`   // what it waits for and what fails, in words
	Since     timeline.Time `msgpack:"t0" json:"trouble_since,omitzero"`
}
