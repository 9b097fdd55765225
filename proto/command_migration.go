package proto

import "github.com/glidepath/glidepath/internal/timeline"

// MigrationStart begins a migration by its plan: the reservation on the target and what else the transfer needs are held,
// all or nothing, against what is committed now. A plan for another fence than the instance's is stale.
type MigrationStart struct {
	ID          string        `msgpack:"id"`
	Plan        Plan          `msgpack:"p"`
	Reservation Reservation   `msgpack:"r"` // on the target; open, so that the instance can stay
	Extra       []Reservation `msgpack:"x"` // for the transfer, on source and target
}

// Asks returns the command that came with what is in the plan.
func (m MigrationStart) Asks() CommandType { return m.Plan.asks() }

// MigrationAdmit begins a migration by its plan, as MigrationStart does, for which others yield in the same change.
type MigrationAdmit struct {
	Start MigrationStart `msgpack:"s"`
	Yield []Yield        `msgpack:"y"`
}

// MigrationReturn begins the way back of a confirmed migration: a migration in the other direction, into the slot that was
// kept. Fence is the instance's; it is raised.
type MigrationReturn struct {
	ID      string        `msgpack:"id"`
	Returns string        `msgpack:"m"` // the migration that is undone
	Fence   uint64        `msgpack:"fe"`
	Plan    Plan          `msgpack:"p"`
	Extra   []Reservation `msgpack:"x"`
	Reason  string        `msgpack:"r"`
}

// Asks returns the command that came with what is in the plan.
func (m MigrationReturn) Asks() CommandType { return m.Plan.asks() }

// MigrationAdvance takes a migration from one phase to the next where no decision on the fence is needed: prepare to
// copy, warm to settle. It is stale when the migration is not in From.
type MigrationAdvance struct {
	Migration string `msgpack:"m"`
	From      Phase  `msgpack:"fr"`
	To        Phase  `msgpack:"to"`
}

// MigrationRecord records an operation, before it is sent and again with its result.
type MigrationRecord struct {
	Migration string          `msgpack:"m"`
	Operation OperationRecord `msgpack:"o"`
}

// MigrationFreeze decides that nobody may run the instance until commit or abort. It raises the fence.
type MigrationFreeze struct {
	Migration string `msgpack:"m"`
	Fence     uint64 `msgpack:"fe"` // of the instance now
}

// MigrationCommit decides that the target, and it alone, may run the instance, under a permit. It raises the fence and
// excludes MigrationAbort on the same one.
type MigrationCommit struct {
	Migration string `msgpack:"m"`
	Fence     uint64 `msgpack:"fe"`
}

// MigrationConfirm decides that the target announces the address: from now on there is no abort, unless the target
// durably refuses before it announced. The source's slot is kept at least Until, and as long as the migration lasts.
type MigrationConfirm struct {
	Migration string        `msgpack:"m"`
	Fence     uint64        `msgpack:"fe"`
	Until     timeline.Time `msgpack:"u"`
}

// MigrationAbort decides, before it is confirmed, that the source runs the instance. It raises the fence. After it is
// confirmed the record of a refuse operation must stand under the fence, with which the target has durably refused.
type MigrationAbort struct {
	Migration string `msgpack:"m"`
	Fence     uint64 `msgpack:"fe"`
	Reason    string `msgpack:"r"`
}

// MigrationThaw tells that the source runs the instance again, after the target could not any more.
type MigrationThaw struct {
	Migration string `msgpack:"m"`
	Fence     uint64 `msgpack:"fe"`
}

// MigrationComplete ends a settled migration: the source's reservation is released and the envelope's author is replan.
type MigrationComplete struct {
	Migration string `msgpack:"m"`
	Fence     uint64 `msgpack:"fe"`
}

// MigrationEnd ends a migration that was given up, once its source runs and its target is clean.
type MigrationEnd struct {
	Migration string  `msgpack:"m"`
	Outcome   Outcome `msgpack:"o"` // aborted; failed when the target could not be cleaned
	Reason    string  `msgpack:"r"` // with failed
}

// AcceptLoss gives up a confirmed migration whose target died for good: the source runs the data it kept. It raises the
// fence. Only an operator asks for it.
type AcceptLoss struct {
	Migration string `msgpack:"m"`
	Fence     uint64 `msgpack:"fe"`
	Reason    string `msgpack:"r"`
}

// ProbationEnd ends the probation of a confirmed migration by an operator's word: it completes without waiting for the rest of it.
type ProbationEnd struct {
	Migration string `msgpack:"m"`
	Fence     uint64 `msgpack:"fe"`
	Reason    string `msgpack:"r"`
}

// MigrationPrune forgets migrations that ended before a time.
type MigrationPrune struct {
	Before timeline.Time `msgpack:"b"`
}

// MigrationLearned keeps what a completed migration taught with it, in the place of what was kept before.
type MigrationLearned struct {
	Migration string `msgpack:"m"`
	Lesson    Lesson `msgpack:"l"`
}
