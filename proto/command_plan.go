package proto

// PlanPut keeps a plan, or puts another one in the place of that with its identifier. What it holds for its moves is held with it, all or nothing, and what
// the one before held, and this one does not, is released. Moves that have begun stay as they are, at their places.
type PlanPut struct {
	Plan StoredPlan    `msgpack:"p"`
	From uint64        `msgpack:"fr,omitempty"` // revision that it replaces; 0: there is none
	Hold []Reservation `msgpack:"h,omitempty"`  // new ones, of purpose hold, with an end, for moves that name them

	Yield []Yield `msgpack:"y,omitempty"` // for those
}

// Asks returns the command that came with what is in it.
func (p PlanPut) Asks() CommandType {
	if p.Plan.Squeeze || len(p.Yield) > 0 {
		return CmdMigrationAdmit
	}
	return 0
}

// PlanChange changes the status of a stored plan. Where it ends, what its moves hold is released.
type PlanChange struct {
	ID     string     `msgpack:"id"`
	From   PlanStatus `msgpack:"fr"` // it is stale when the plan is in another
	To     PlanStatus `msgpack:"to"`
	Reason string     `msgpack:"r,omitempty"`
}

// PlanBegin begins a move of a stored plan: as MigrationStart does, against what is committed now, with what the move holds given back and what others yield
// for it in the same change. Of the migrations that go on, those that count are the ones that transfer.
type PlanBegin struct {
	ID    string         `msgpack:"id"`
	Move  int            `msgpack:"m"` // its place
	Start MigrationStart `msgpack:"s"`
	Yield []Yield        `msgpack:"y,omitempty"`
}

// Asks returns the command that came with what is in the plan.
func (p PlanBegin) Asks() CommandType { return p.Start.Plan.asks() }
