package proto

import (
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Phase is where a migration is.
type Phase string

// The phases of a migration, in their order; PhaseUndo takes the place of what is left when it is given up.
const (
	PhasePrepare Phase = "prepare"
	PhaseCopy    Phase = "copy"
	PhaseSwitch  Phase = "switch" // from freeze until confirmed
	PhaseWarm    Phase = "warm"
	PhaseSettle  Phase = "settle"
	PhaseUndo    Phase = "undo"  // the source is being put back, the target being cleaned
	PhaseEnded   Phase = "ended" // the outcome says how
)

// Outcome is how a migration ended.
type Outcome string

// The outcomes of a migration.
const (
	OutcomeNone      Outcome = ""
	OutcomeCompleted Outcome = "completed"
	OutcomeAborted   Outcome = "aborted"  // back before confirmed, at no loss
	OutcomeReturned  Outcome = "returned" // back after it
	OutcomeFailed    Outcome = "failed"   // ended by an operator's word
)

// Migration is one move of one instance.
type Migration struct {
	ID                string            `msgpack:"id" json:"id"`
	Instance          string            `msgpack:"i" json:"instance"`
	Source            string            `msgpack:"so" json:"source"`
	Target            string            `msgpack:"ta" json:"target"`
	FromType          string            `msgpack:"ft" json:"from_type"`
	ToType            string            `msgpack:"tt" json:"to_type"`
	Phase             Phase             `msgpack:"p" json:"phase"`
	Outcome           Outcome           `msgpack:"oc" json:"outcome,omitzero"`
	Reason            string            `msgpack:"re" json:"reason,omitzero"`    // why it was given up
	Returns           string            `msgpack:"rt" json:"returns,omitzero"`   // the migration that this one undoes
	Returning         string            `msgpack:"rb" json:"returning,omitzero"` // the migration that undoes this one
	Loss              bool              `msgpack:"ls" json:"loss,omitzero"`      // an operator accepted to lose what was written on the target
	Plan              Plan              `msgpack:"pl" json:"plan"`
	SourceReservation string            `msgpack:"sr" json:"source_reservation"`
	TargetReservation string            `msgpack:"tr" json:"target_reservation"`
	Extra             []string          `msgpack:"xr" json:"extra_reservations,omitempty"` // of the transfer, sorted
	Operations        []OperationRecord `msgpack:"op" json:"operations,omitempty"`         // in order
	Phases            []PhaseEntry      `msgpack:"ph" json:"phases"`                       // entered, in order
	Decisions         []Decision        `msgpack:"de" json:"decisions"`                    // on who may run the instance, in order
	StartedBy         string            `msgpack:"by" json:"started_by,omitzero"`
	CreatedAt         timeline.Time     `msgpack:"at" json:"created_at"`
	EndedAt           timeline.Time     `msgpack:"ea" json:"ended_at,omitzero"`
	Lesson            *Lesson           `msgpack:"ln,omitempty" json:"lesson,omitempty"` // what it taught; nil: nothing yet
}

// Active reports whether the migration has not ended.
func (m Migration) Active() bool { return m.Phase != PhaseEnded }

// Confirmed reports whether it was decided that the target serves clients: from then on there is no abort, unless the
// target refused before it could.
func (m Migration) Confirmed() bool { return m.was(DecideConfirm) }

// Satisfied reports whether an operator ended probation.
func (m Migration) Satisfied() bool { return m.was(DecideComplete) }

func (m Migration) was(kind DecisionKind) bool {
	return slices.ContainsFunc(m.Decisions, func(d Decision) bool { return d.Kind == kind })
}

// Operation returns the record of the operation with that identifier.
func (m Migration) Operation(id string) (OperationRecord, bool) {
	for _, o := range m.Operations {
		if o.ID == id {
			return o, true
		}
	}
	return OperationRecord{}, false
}

// PhaseEntry is when a phase was entered.
type PhaseEntry struct {
	Phase Phase         `msgpack:"p" json:"phase"`
	At    timeline.Time `msgpack:"at" json:"at"`
}

// DecisionKind names a decision on who may run an instance.
type DecisionKind string

// The decisions. All but DecideConfirm, DecideThaw and DecideComplete raise the fence.
const (
	DecideFreeze     DecisionKind = "freeze"
	DecideCommit     DecisionKind = "commit"
	DecideConfirm    DecisionKind = "confirm"
	DecideAbort      DecisionKind = "abort"
	DecideThaw       DecisionKind = "thaw"
	DecideReturn     DecisionKind = "return"
	DecideAcceptLoss DecisionKind = "accept-loss"
	DecideComplete   DecisionKind = "complete" // probation ends by an operator's word
)

// Decision is one decision, and the fence that holds since then.
type Decision struct {
	Kind   DecisionKind  `msgpack:"k" json:"kind"`
	Fence  uint64        `msgpack:"fe" json:"fence"`
	At     timeline.Time `msgpack:"at" json:"at"`
	By     string        `msgpack:"by" json:"by,omitzero"`
	Reason string        `msgpack:"r" json:"reason,omitzero"`
}

// OperationRecord is an operation of a migration: recorded before it is sent, and again with its result.
type OperationRecord struct {
	ID      string           `msgpack:"id" json:"id"`
	Kind    OperationKind    `msgpack:"k" json:"kind"`
	Host    string           `msgpack:"h" json:"host"`
	Fence   uint64           `msgpack:"fe" json:"fence"`
	Round   int              `msgpack:"rn" json:"round,omitzero"`
	Hook    HookPoint        `msgpack:"hk" json:"hook,omitzero"` // of hook
	SentAt  timeline.Time    `msgpack:"at" json:"sent_at"`
	EndedAt timeline.Time    `msgpack:"ea" json:"ended_at,omitzero"`
	Result  *OperationResult `msgpack:"r" json:"result,omitempty"` // nil while it runs
}

// Plan is the answer to how a migration would go. Nothing has been promised yet.
type Plan struct {
	Instance   string        `msgpack:"i" json:"instance"`
	Source     string        `msgpack:"so" json:"source"`
	Target     string        `msgpack:"ta" json:"target"`
	FromType   string        `msgpack:"ft" json:"from_type"`
	ToType     string        `msgpack:"tt" json:"to_type"`
	Fence      uint64        `msgpack:"fe" json:"fence"` // of the instance when the plan was made: a later one makes the plan stale
	MadeAt     timeline.Time `msgpack:"at" json:"made_at"`
	Start      timeline.Time `msgpack:"st" json:"start"`
	Phases     []PlanPhase   `msgpack:"ph" json:"phases"`
	Profile    []PlanStep    `msgpack:"pr" json:"profile"`  // the instance's allocation on the target
	Envelope   Envelope      `msgpack:"en" json:"envelope"` // what is to be reserved there
	Duration   int64         `msgpack:"du" json:"duration_ms"`
	Downtime   int64         `msgpack:"do" json:"downtime_ms"` // longest silence towards clients
	Bytes      int64         `msgpack:"b" json:"bytes"`        // to be transferred, all rounds
	Rounds     int           `msgpack:"rn" json:"rounds"`
	Rate       int64         `msgpack:"rt" json:"rate_bps"`             // bits per second for the transfer; 0 is unlimited
	Confidence int           `msgpack:"cf" json:"confidence_milli"`     // of the forecast behind it, in thousandths
	Reasons    []string      `msgpack:"re" json:"reasons"`              // in the order of their weight
	Warnings   []string      `msgpack:"wa" json:"warnings,omitempty"`   // what an operator should know
	Considered []Considered  `msgpack:"co" json:"considered,omitempty"` // other targets, best first

	Figures   *Figures       `msgpack:"fg,omitempty" json:"figures,omitempty"`     // what it takes, with bands
	Ruled     []RuledOut     `msgpack:"ru,omitempty" json:"ruled_out,omitempty"`   // targets beside those considered, by reason
	Starts    []StartWeighed `msgpack:"sw,omitempty" json:"starts,omitempty"`      // other starts, in their order
	Probation int64          `msgpack:"pb,omitempty" json:"probation_ms,omitzero"` // how long the source's data and slot are kept; 0: as the policy says
	Stored    string         `msgpack:"sp,omitempty" json:"stored_plan,omitzero"`  // that it is a move of
	Yields    []Yield        `msgpack:"yi,omitempty" json:"yields,omitempty"`      // who yields for it; of one that is kept without what each is left with: see Yield.Told
	Bias      *Bias          `msgpack:"bi,omitempty" json:"bias,omitempty"`        // what moves before it came to, by which the prediction was corrected
}

// Plain returns the plan without what only says why and how sure it is, as coordinators know it that know no stored plans: a plan that they are to keep, too. For how
// long a probation is to last stays, as it was asked for.
func (p Plan) Plain() Plan {
	p.Figures, p.Ruled, p.Starts, p.Bias = nil, nil, nil, nil
	p.Considered = slices.Clone(p.Considered)
	for i := range p.Considered {
		p.Considered[i].Terms, p.Considered[i].Violates = nil, ""
	}
	return p
}

// asks returns the command that came with what is in the plan.
func (p Plan) asks() CommandType {
	if len(p.Yields) > 0 {
		return CmdMigrationAdmit
	}
	said := func(c Considered) bool { return len(c.Terms) > 0 || c.Violates != "" }
	if p.Figures != nil || len(p.Ruled) > 0 || len(p.Starts) > 0 || p.Probation != 0 || p.Stored != "" || p.Bias != nil || slices.ContainsFunc(p.Considered, said) {
		return CmdPlanPut
	}
	return 0
}

// PlanPhase is when a phase is expected to run.
type PlanPhase struct {
	Phase         Phase `msgpack:"p" json:"phase"`
	timeline.Span `msgpack:",inline"`
}

// PlanStep is one step of the instance's allocation on the target.
type PlanStep struct {
	timeline.Span `msgpack:",inline"`
	Allocation    resource.Vector `msgpack:"a" json:"allocation"`
	Forecast      resource.Vector `msgpack:"f" json:"forecast"`        // median of the forecast demand
	Quantile      int             `msgpack:"q" json:"quantile_milli"`  // of the forecast that is allocated, in thousandths
	Reason        string          `msgpack:"r" json:"reason,omitzero"` // what shapes it: start-up, event, floor, type maximum
}

// Considered is a target that was weighed, and what spoke against it.
type Considered struct {
	Host      string     `msgpack:"h" json:"host"`
	Score     int64      `msgpack:"s" json:"score_milli"` // higher is better; 0 when it was ruled out
	Reason    string     `msgpack:"r" json:"reason"`
	Shortfall *Shortfall `msgpack:"sf" json:"shortfall,omitempty"`
	Terms     []Term     `msgpack:"t,omitempty" json:"terms,omitempty"`   // what the score is made of
	Violates  string     `msgpack:"v,omitempty" json:"violates,omitzero"` // the first constraint that it does not meet; "": it meets all
}
