package state

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"pgregory.net/rapid"
)

var (
	someHosts     = []string{"a", "b", "c"}
	someInstances = []string{"i", "j", "k"}
	someIDs       = []string{"m1", "m2", "m3"}
)

// fuzzyWorld draws commands that are mostly sensible for the state as it is, and often enough are not.
type fuzzyWorld struct {
	*world
	rt *rapid.T
}

func (f *fuzzyWorld) one(of []string, label string) string {
	return rapid.SampledFrom(of).Draw(f.rt, label)
}

// fence is the instance's fence, or now and then another one.
func (f *fuzzyWorld) fence(instance string) uint64 {
	i, _ := f.s.View().Instance(instance)
	if rapid.IntRange(0, 7).Draw(f.rt, "other fence") == 0 {
		return max(i.Fence, 4) - 4 + rapid.Uint64Range(0, 8).Draw(f.rt, "fence")
	}
	return i.Fence
}

// move is a migration to decide on: an active one if there is one.
func (f *fuzzyWorld) move() proto.Migration {
	all := slices.Collect(f.s.View().ActiveMigrations())
	all = slices.DeleteFunc(all, func(m proto.Migration) bool { return m.Returning != "" && rapid.IntRange(0, 3).Draw(f.rt, "skip") > 0 })
	if len(all) == 0 {
		return proto.Migration{ID: f.one(someIDs, "migration"), Instance: "i"}
	}
	return rapid.SampledFrom(all).Draw(f.rt, "active migration")
}

func (f *fuzzyWorld) envelope() proto.Envelope {
	at := max(0, f.now+timeline.Time(rapid.IntRange(-100, 1000).Draw(f.rt, "at"))*1000)
	e := open(rapid.Int64Range(0, 60).Draw(f.rt, "amount"))
	e[0].Start = at
	if rapid.Bool().Draw(f.rt, "two segments") {
		e = append(e, e[0])
		e[0].End = at + 600_000
		e[1].Start, e[1].Firm = e[0].End, resource.Uniform(rapid.Int64Range(0, 60).Draw(f.rt, "later"))
	}
	return e
}

func (f *fuzzyWorld) step() {
	f.now += timeline.Time(rapid.SampledFrom([]int{-60_000, 0, 1, 1000, 10_000, 600_000, 20_000_000}).Draw(f.rt, "time passes"))
	switch rapid.SampledFrom([]string{"forward", "forward", "forward", "start", "any", "any"}).Draw(f.rt, "what") {
	case "forward":
		f.do(f.forward(f.move()))
	case "start":
		name := f.one(someInstances, "name")
		if _, ok := f.s.View().Instance(name); ok {
			if rapid.Bool().Draw(f.rt, "by a stored plan") {
				p := f.planOf(name, proto.PlanQueued)
				f.do(p)
				f.do(f.beginAny(p.Plan))
				return
			}
			f.do(f.startAny(name))
			return
		}
		r := f.do(&proto.InstanceApply{Spec: spec(name, f.one(someHosts, "host")), Envelope: open(20)})
		f.do(&proto.InstanceAdopted{Instance: name, Fence: r.Fence})
	default:
		f.do(f.body())
	}
}

// forward is a command that may come next in the life of the migration.
func (f *fuzzyWorld) forward(m proto.Migration) proto.Body {
	i, _ := f.s.View().Instance(m.Instance)
	turn := rapid.IntRange(0, 3).Draw(f.rt, "turn") == 3
	abort := &proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "drawn"}
	switch {
	case i.State == proto.InstanceThawing:
		return &proto.MigrationThaw{Migration: m.ID, Fence: i.Fence}
	case m.Phase == proto.PhaseUndo:
		return &proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted}
	case m.Phase == proto.PhasePrepare:
		return &proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy}
	case m.Phase == proto.PhaseWarm:
		return &proto.MigrationAdvance{Migration: m.ID, From: proto.PhaseWarm, To: proto.PhaseSettle}
	case m.Phase == proto.PhaseSettle && turn && rapid.Bool().Draw(f.rt, "loss"):
		return &proto.AcceptLoss{Migration: m.ID, Fence: i.Fence, Reason: "drawn"}
	case m.Phase == proto.PhaseSettle && turn:
		return f.returnOf(m, i)
	case m.Phase == proto.PhaseSettle:
		return &proto.MigrationComplete{Migration: m.ID, Fence: i.Fence}
	case turn:
		return abort
	case i.State == proto.InstanceFrozen:
		return &proto.MigrationCommit{Migration: m.ID, Fence: i.Fence}
	case i.State == proto.InstanceStarting:
		return &proto.MigrationConfirm{Migration: m.ID, Fence: i.Fence, Until: max(f.now, f.s.View().Now()) + 300_000}
	default:
		return &proto.MigrationFreeze{Migration: m.ID, Fence: i.Fence}
	}
}

func (f *fuzzyWorld) returnOf(m proto.Migration, i proto.Instance) proto.Body {
	return &proto.MigrationReturn{
		ID: fmt.Sprintf("m%d", f.next), Returns: m.ID, Fence: i.Fence, Reason: "drawn",
		Plan: proto.Plan{Instance: m.Instance, Source: i.Owner, Target: m.Source, FromType: m.ToType, ToType: m.FromType},
	}
}

func (f *fuzzyWorld) startAny(name string) proto.Body {
	i, _ := f.s.View().Instance(name)
	return &proto.MigrationStart{
		ID:          fmt.Sprintf("m%d", f.next),
		Plan:        proto.Plan{Instance: name, Source: i.Owner, Target: f.one(someHosts, "target"), FromType: i.Spec.Type, ToType: f.one([]string{"small", "large"}, "type"), Fence: f.fence(name)},
		Reservation: proto.Reservation{ID: fmt.Sprintf("r%d", f.next), Envelope: f.envelope(), Until: max(f.now, f.s.View().Now()) + 1_000_000},
		Extra:       []proto.Reservation{{ID: fmt.Sprintf("x%d", f.next), Host: i.Owner, Class: proto.Standard, Envelope: open(1), Until: f.now + 1000}},
	}
}

func (f *fuzzyWorld) body() proto.Body {
	v := f.s.View()
	m := f.move()
	switch rapid.SampledFrom([]string{
		"adopt", "adopted", "mode", "release", "remove", "start", "return", "advance", "freeze", "commit", "confirm", "abort", "thaw", "complete", "satisfied", "end", "loss", "record",
		"capacity", "capacity", "capacity", "capacity", "capacity", "capacity", "plan", "plan", "plan", "plan",
	}).Draw(f.rt, "command") {
	case "plan":
		return f.planBody(v)
	case "adopt":
		s := spec(f.one(someInstances, "name"), f.one(someHosts, "host"))
		s.Mode = rapid.SampledFrom([]proto.Mode{proto.Observe, proto.Enforce}).Draw(f.rt, "mode")
		return &proto.InstanceApply{Spec: s, Envelope: f.envelope()}
	case "adopted":
		name := f.one(someInstances, "name")
		return &proto.InstanceAdopted{Instance: name, Fence: f.fence(name)}
	case "mode":
		return &proto.InstanceMode{Instance: f.one(someInstances, "name"), Mode: proto.Enforce}
	case "release":
		return &proto.InstanceRelease{Instance: f.one(someInstances, "name")}
	case "remove":
		name := f.one(someInstances, "name")
		return &proto.InstanceRemove{Instance: name, Fence: f.fence(name)}
	case "start":
		return f.startAny(f.one(someInstances, "name"))
	case "return":
		i, _ := v.Instance(m.Instance)
		return f.returnOf(m, i)
	case "advance":
		next := map[proto.Phase]proto.Phase{proto.PhasePrepare: proto.PhaseCopy, proto.PhaseWarm: proto.PhaseSettle}
		return &proto.MigrationAdvance{Migration: m.ID, From: m.Phase, To: next[m.Phase]}
	case "freeze":
		return &proto.MigrationFreeze{Migration: m.ID, Fence: f.fence(m.Instance)}
	case "commit":
		return &proto.MigrationCommit{Migration: m.ID, Fence: f.fence(m.Instance)}
	case "confirm":
		return &proto.MigrationConfirm{Migration: m.ID, Fence: f.fence(m.Instance), Until: f.now + 300_000}
	case "abort":
		return &proto.MigrationAbort{Migration: m.ID, Fence: f.fence(m.Instance), Reason: "drawn"}
	case "thaw":
		return &proto.MigrationThaw{Migration: m.ID, Fence: f.fence(m.Instance)}
	case "complete":
		return &proto.MigrationComplete{Migration: m.ID, Fence: f.fence(m.Instance)}
	case "satisfied":
		return &proto.ProbationEnd{Migration: m.ID, Fence: f.fence(m.Instance), Reason: "drawn"}
	case "end":
		return &proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted}
	case "loss":
		return &proto.AcceptLoss{Migration: m.ID, Fence: f.fence(m.Instance), Reason: "drawn"}
	case "record":
		return &proto.MigrationRecord{Migration: m.ID, Operation: proto.OperationRecord{ID: fmt.Sprintf("o%d", f.next), Kind: proto.OpSyncRound, Host: m.Source, Fence: f.fence(m.Instance)}}
	default:
		return f.capacityBody(v, m)
	}
}

func (f *fuzzyWorld) capacityBody(v *View, m proto.Migration) proto.Body {
	author := rapid.SampledFrom([]proto.Author{proto.AuthorMigrate, proto.AuthorReplan, proto.AuthorOperator}).Draw(f.rt, "author")
	host := f.one(someHosts, "on host")
	amount := rapid.Int64Range(1, 150).Draw(f.rt, "n")
	switch rapid.IntRange(0, 12).Draw(f.rt, "of capacity") {
	case 0, 1, 2:
		held := slices.Collect(v.Reservations())
		if len(held) == 0 {
			return &proto.Tick{}
		}
		return &proto.ReservationChange{Author: author, Revise: []proto.Revision{{ID: rapid.SampledFrom(held).Draw(f.rt, "reservation").ID, Envelope: f.envelope()}}}
	case 3:
		return &proto.ReservationChange{Author: author, Hold: []proto.Reservation{
			{ID: fmt.Sprintf("h%d", f.next), Host: host, Purpose: proto.PurposeHold, Class: proto.Standard, Envelope: f.envelope(), Until: f.now + 100_000},
			{ID: fmt.Sprintf("g%d", f.next), Host: f.one(someHosts, "and on"), Purpose: proto.PurposeHold, Class: proto.Standard, Envelope: f.envelope(), Until: f.now + 100_000},
		}}
	case 4:
		return &proto.ReservationChange{Author: proto.AuthorMigrate, Hold: []proto.Reservation{
			{ID: fmt.Sprintf("x%d", f.next), Host: m.Source, Migration: m.ID, Purpose: proto.PurposeMigration, Class: proto.Standard, Envelope: open(2), Until: f.now + 100_000},
		}}
	case 5:
		return &proto.HostRegister{Facts: facts(host, 50+amount), Incarnation: v.Fleet().Incarnation, Identity: fmt.Sprintf("key-%d", f.next)}
	case 6:
		return &proto.HostSet{Host: host, Cordoned: amount > 120, Override: resource.Uniform(max(0, amount-50))}
	case 7:
		return &proto.HostDebt{Host: host, Debt: amount % 20}
	case 8:
		return &proto.HostSystem{Host: host, Envelope: open(amount % 30)}
	case 9:
		p := v.Fleet().Policy
		p.Ratio[resource.CPU] = 500 + 10*amount
		return &proto.PolicyPut{Policy: p}
	case 10:
		if amount < 130 {
			return &proto.Tick{}
		}
		return &proto.IncarnationRaise{From: v.Fleet().Incarnation, Reason: "drawn"}
	case 11:
		if amount > 100 {
			return &proto.HostForget{Host: host, Dead: true, Lost: v.Forgetting(host).Names(), Reason: "drawn"}
		}
		return &proto.HostForget{Host: host}
	default:
		return &proto.MigrationPrune{Before: f.now}
	}
}

// planBody is a command about stored plans, windows, drains, notices, types or what yields.
func (f *fuzzyWorld) planBody(v *View) proto.Body {
	plans, held := slices.Collect(v.Plans()), slices.Collect(v.Reservations())
	host, name := f.one(someHosts, "host"), f.one(someInstances, "name")
	amount := rapid.Int64Range(1, 60).Draw(f.rt, "n")
	if len(plans) > 0 && rapid.Bool().Draw(f.rt, "of a plan") {
		return f.planStep(rapid.SampledFrom(plans).Draw(f.rt, "plan"))
	}
	switch rapid.IntRange(0, 8).Draw(f.rt, "of plans") {
	case 0:
		w := &proto.CapacityWindow{ID: name, Span: timeline.Span{Start: f.now, End: f.now + 1_000_000}, Amount: resource.Uniform(amount), Reason: "drawn"}
		return &proto.HostWindow{Host: host, Put: w, Force: amount > 50}
	case 1:
		h, _ := v.Host(host)
		states := []proto.DrainState{proto.DrainNone, proto.DrainGoesOn, proto.DrainPaused, proto.DrainDone}
		b := &proto.HostDrain{Host: host, To: rapid.SampledFrom(states).Draw(f.rt, "to")}
		if h.Drain != nil {
			b.From = h.Drain.State
		}
		return b
	case 2:
		return &proto.TypeRevise{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(30 + amount)}}
	case 3:
		n := proto.Notice{ID: "short/" + host, Kind: proto.NoticeShort, Host: host, Missing: amount}
		return rapid.SampledFrom([]*proto.NoticePut{{Put: []proto.Notice{n}}, {Clear: []string{n.ID}}}).Draw(f.rt, "notice")
	case 4, 5:
		low := proto.Reservation{ID: fmt.Sprintf("g%d", f.next), Host: host, Purpose: proto.PurposeHold, Class: proto.Standard, Envelope: open(amount), Until: f.now + 10_000_000}
		held = slices.DeleteFunc(held, func(r proto.Reservation) bool { return r.Class == proto.Critical || r.Purpose == proto.PurposeSystem })
		if len(held) == 0 {
			return &proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{low}}
		}
		low = rapid.SampledFrom(held).Draw(f.rt, "yields")
		e := slices.Clone(low.Envelope)
		for i := range e {
			e[i].Firm = e[i].Firm.Min(resource.Uniform(amount))
		}
		claim := proto.Reservation{ID: fmt.Sprintf("h%d", f.next), Host: low.Host, Purpose: proto.PurposeHold, Class: proto.Critical, Envelope: open(amount), Until: f.now + 100_000}
		if rapid.Bool().Draw(f.rt, "memory later") {
			claim.Envelope = ledger.PutOff(claim.Envelope, max(f.now, v.Now()).Add(proto.MemoryGiveBack))
		}
		if i, ok := v.Instance(name); ok && rapid.Bool().Draw(f.rt, "to a move") {
			claim.Until = max(f.now, v.Now()) + 1_000_000
			return &proto.MigrationAdmit{
				Start: proto.MigrationStart{
					ID: fmt.Sprintf("m%d", f.next), Reservation: claim,
					Plan: proto.Plan{Instance: name, Source: i.Owner, Target: low.Host, FromType: i.Spec.Type, ToType: "large", Fence: i.Fence},
				},
				Yield: []proto.Yield{{ID: low.ID, From: low.Revision, Envelope: e, For: claim.ID, Why: "drawn"}},
			}
		}
		return &proto.Admit{
			Change: proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{claim}},
			Yield:  []proto.Yield{{ID: low.ID, From: low.Revision, Envelope: e, For: claim.ID, Why: "drawn"}},
		}
	default:
		return f.planOf(name, rapid.SampledFrom([]proto.PlanStatus{proto.PlanQueued, proto.PlanScheduled, proto.PlanKept}).Draw(f.rt, "status"))
	}
}

// planOf stores a plan of one move of an instance.
func (f *fuzzyWorld) planOf(name string, s proto.PlanStatus) *proto.PlanPut {
	i, _ := f.s.View().Instance(name)
	id, host := fmt.Sprintf("p%d", f.next), f.one(someHosts, "host")
	m := proto.Move{Instance: name, Source: i.Owner, Target: host, FromType: i.Spec.Type, ToType: "large", Fence: i.Fence}
	b := &proto.PlanPut{}
	if s != proto.PlanKept {
		hold := proto.PlanHold(id, 0, "target")
		m.Holds, b.Hold = []string{hold}, []proto.Reservation{f.keep(hold, host, rapid.Int64Range(1, 30).Draw(f.rt, "room"))}
	}
	b.Plan = proto.StoredPlan{ID: id, Kind: proto.PlanMigrate, Status: s, Moves: []proto.Move{m}}
	return b
}

// planStep is a command that may come next in the life of a stored plan.
func (f *fuzzyWorld) planStep(p proto.StoredPlan) proto.Body {
	switch rapid.IntRange(0, 3).Draw(f.rt, "next of a plan") {
	case 0:
		to := []proto.PlanStatus{proto.PlanQueued, proto.PlanPaused, proto.PlanCancelled, proto.PlanDone, proto.PlanStale}
		return &proto.PlanChange{ID: p.ID, From: p.Status, To: rapid.SampledFrom(to).Draw(f.rt, "to"), Reason: "drawn"}
	case 1:
		p.Moves = append(slices.Clone(p.Moves), p.Moves[0])
		p.Moves[len(p.Moves)-1].Holds = nil
		return &proto.PlanPut{Plan: p, From: p.Revision}
	default:
		return f.beginAny(p)
	}
}

// beginAny begins the last move of a plan.
func (f *fuzzyWorld) beginAny(p proto.StoredPlan) proto.Body {
	at := len(p.Moves) - 1
	m := p.Moves[at]
	return &proto.PlanBegin{ID: p.ID, Move: at, Start: proto.MigrationStart{
		ID:          fmt.Sprintf("m%d", f.next),
		Plan:        proto.Plan{Instance: m.Instance, Source: m.Source, Target: m.Target, FromType: m.FromType, ToType: m.ToType, Fence: f.fence(m.Instance)},
		Reservation: proto.Reservation{ID: fmt.Sprintf("r%d", f.next), Envelope: f.envelope(), Until: max(f.now, f.s.View().Now()) + 1_000_000},
	}}
}

// TestInvariantsHoldUnderAnyCommands applies random sequences of commands. After each one world.send has checked NoOversell,
// OneOwner, AlwaysAWayBack, ReservationsEnd and NothingLeaks. At the end a second state that was fed the same, half of it
// by way of an export, has to be the same to the byte.
func TestInvariantsHoldUnderAnyCommands(t *testing.T) {
	reached := map[string]int{}
	for range 4 { // as many draws as it takes to reach what few sequences do
		draw(t, reached)
		if len(unreached(reached)) == 0 {
			break
		}
	}
	for _, what := range unreached(reached) {
		t.Errorf("nothing of all that was drawn was %s: the test does not reach what it is for", what)
	}
	t.Logf("what was reached: %v", reached)
}

// What few sequences reach beside outcomes.
const (
	reachedPlan    = "a move of a stored plan that ended"
	reachedSqueeze = "a reservation that has yielded"
	reachedHold    = "room that a plan holds"
)

// unreached returns the outcomes that no migration has had, and what else has not been.
func unreached(reached map[string]int) []string {
	all := []string{string(proto.OutcomeCompleted), string(proto.OutcomeAborted), string(proto.OutcomeReturned), reachedPlan, reachedSqueeze, reachedHold}
	return slices.DeleteFunc(all, func(what string) bool { return reached[what] > 0 })
}

func draw(t *testing.T, reached map[string]int) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) {
		f := &fuzzyWorld{newWorld(rt), rt}
		for range rapid.SampledFrom([]int{60, 240, 480}).Draw(rt, "commands") {
			f.step()
		}
		cut := rapid.IntRange(0, len(f.log)).Draw(rt, "export after")
		twin := New()
		for i, c := range f.log {
			if i == cut {
				twin = reimport(rt, twin)
			}
			twin.Apply(c)
		}
		if !bytes.Equal(export(rt, f.s.View()), export(rt, twin.View())) {
			rt.Fatalf("two states that were fed the same differ; one was exported after %d commands", cut)
		}
		reimport(rt, f.s)
		for m := range f.s.View().Migrations() {
			reached[string(m.Outcome)]++
		}
		for p := range f.s.View().Plans() {
			for _, m := range p.Moves {
				if m.Outcome != proto.OutcomeNone {
					reached[reachedPlan]++
				}
				reached[reachedHold] += len(m.Holds)
			}
		}
		for n := range f.s.View().Notices() {
			if n.Kind == proto.NoticeSqueezed {
				reached[reachedSqueeze]++
			}
		}
	})
}

// reimport exports and imports a state, and holds that nothing is lost on the way.
func reimport(t failer, s *State) *State {
	t.Helper()
	b := export(t, s.View())
	again, err := Import(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !bytes.Equal(b, export(t, again.View())) {
		t.Fatalf("export, import, export is not the same")
	}
	for host := range s.View().Hosts() {
		name := host.Facts.Name
		if (s.View().Ledger().Short(name) == nil) != (again.View().Ledger().Short(name) == nil) || !slices.Equal(s.View().Ledger().Steps(name), again.View().Ledger().Steps(name)) {
			t.Fatalf("the ledger of %s is another one after import", name)
		}
	}
	return again
}
