// Package state holds the replicated tables: commands go in one at a time, and the same ones make the same tables on every coordinator.
//
// Apply only computes. Effects in the world come from those who compare a View with it. A State has one caller at a time;
// a View taken from it never changes and is for everybody.
package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// State is the replicated tables.
type State struct{ view *View }

// New returns the state of a fleet that has not been made yet.
func New() *State {
	l, err := ledger.New(ledger.Grid{Step: 5 * time.Minute}, 0, 0)
	if err != nil {
		panic("state: " + err.Error()) // the arguments are constants
	}
	return &State{&View{
		coordinators: newTable[proto.Coordinator](proto.TableCoordinators),
		hosts:        newTable[proto.Host](proto.TableHosts),
		types:        newTable[proto.InstanceType](proto.TableTypes),
		applications: newTable[proto.Application](proto.TableApplications),
		instances:    newTable[proto.Instance](proto.TableInstances),
		migrations:   newTable[proto.Migration](proto.TableMigrations),
		active:       newTable[struct{}](proto.TableMigrations),
		ended:        newTable[ended](proto.TableMigrations),
		events:       newTable[proto.Event](proto.TableEvents),
		calendars:    newTable[proto.Calendar](proto.TableCalendars),
		tokens:       newTable[proto.Token](proto.TableTokens),
		plans:        newTable[proto.StoredPlan](proto.TablePlans),
		notices:      newTable[proto.Notice](proto.TableNotices),
		ledger:       l,
		recent:       newRecent(),
	}}
}

// View returns the state as it is now. It takes no time and stays as it is while Apply goes on. It must not be called at
// the same time as Apply or itself.
func (s *State) View() *View { return s.view.clone() }

// Knows is that of the View, without making one.
func (s *State) Knows(t proto.CommandType, version uint8) bool { return s.view.Knows(t, version) }

// Change is a row that a command put, replaced or dropped.
type Change struct {
	Table proto.Table
	Key   string
}

// Apply applies a command and answers what came of it and which rows changed, sorted by table and key. Its time is the
// later of the stamped and the last one: a clock that goes back changes nothing. A refused command changes no row.
// A request that was applied before is answered as it was then. When the result is one to stop at (see
// proto.Result.Stop) nothing was done, and no further command may be applied.
func (s *State) Apply(c proto.Command) (proto.Result, []Change) {
	body, err := c.Decode()
	switch {
	case errors.Is(err, proto.ErrIgnored):
		return proto.Result{Code: proto.ResultOK, Message: "skipped: this coordinator does not know the command and need not"}, nil
	case errors.Is(err, proto.ErrUnknownCommand):
		return proto.Result{Code: proto.ResultUnknown, Message: fmt.Sprintf("command type %d version %d", c.Type, c.Version)}, nil
	case err != nil:
		return invalid("the body of %s is malformed", c.Type), nil
	}
	if err := proto.ValidID("request", c.ID); err != nil {
		return invalid("%s", err), nil
	}
	if err := text("actor", c.Actor); err != nil {
		return invalid("%s", err), nil
	}
	if r, ok := s.view.recent.get(c.ID); ok {
		r.Repeated = true
		return r, nil
	}
	v := s.view
	v.applied++
	v.now = max(v.now, min(c.At, timeline.Forever-1))
	v.ledger.Roll(v.now)
	x := &tx{View: v, actor: c.Actor, size: len(c.Body), version: c.Version}
	r := x.apply(body)
	v.recent.add(remembered{v.applied, c.ID, r})
	if !r.OK() {
		return r, nil
	}
	slices.SortFunc(x.changes, func(a, b Change) int {
		if a.Table != b.Table {
			return strings.Compare(string(a.Table), string(b.Table))
		}
		return strings.Compare(a.Key, b.Key)
	})
	return r, slices.Compact(x.changes)
}

// tx is the application of one command.
type tx struct {
	*View
	actor   string
	size    int   // bytes of the body
	version uint8 // of the command
	changes []Change
}

func (x *tx) changed(t proto.Table, key string) { x.changes = append(x.changes, Change{t, key}) }

// apply finds the method of the command. Each refuses before it changes anything.
func (x *tx) apply(body proto.Body) proto.Result {
	if init, ok := body.(*proto.FleetInit); ok {
		return x.fleetInit(init)
	}
	if x.fleet.ID == "" {
		return refused("there is no fleet yet: make it with glidepathd init")
	}
	switch b := body.(type) {
	case *proto.PolicyPut:
		return x.policyPut(b)
	case *proto.IncarnationRaise:
		return x.incarnationRaise(b)
	case *proto.CoordinatorPut:
		return x.coordinatorPut(b)
	case *proto.CoordinatorRemove:
		return x.coordinatorRemove(b)
	case *proto.Tick:
		return x.tick()
	case *proto.Pause:
		return x.pause(b)
	case *proto.HostRegister:
		return x.hostRegister(b)
	case *proto.HostHome:
		return x.hostHome(b)
	case *proto.HostSet:
		return x.hostSet(b)
	case *proto.HostDebt:
		return x.hostDebt(b)
	case *proto.HostForget:
		return x.hostForget(b)
	case *proto.HostSystem:
		return x.hostSystem(b)
	case *proto.TypePut:
		return x.typePut(b)
	case *proto.TypeRemove:
		return x.typeRemove(b)
	case *proto.AppPut:
		return x.appPut(b)
	case *proto.AppRemove:
		return x.appRemove(b)
	case *proto.EventPut:
		return x.eventPut(b)
	case *proto.EventRemove:
		return x.eventRemove(b)
	case *proto.CalendarPut:
		return x.calendarPut(b)
	case *proto.CalendarRemove:
		return x.calendarRemove(b)
	case *proto.CalendarPoll:
		return x.calendarPoll(b)
	case *proto.TokenCreate:
		return x.tokenCreate(b)
	case *proto.TokenUse:
		return x.tokenUse(b)
	case *proto.TokenRevoke:
		return x.tokenRevoke(b)
	default:
		return x.applyToInstances(body)
	}
}

// applyToInstances is the second half of apply: what concerns instances and where they run.
func (x *tx) applyToInstances(body proto.Body) proto.Result {
	switch b := body.(type) {
	case *proto.InstanceApply:
		return x.instanceApply(b)
	case *proto.InstanceAdopted:
		return x.instanceAdopted(b)
	case *proto.InstanceMode:
		return x.instanceMode(b)
	case *proto.InstanceRelease:
		return x.instanceRelease(b)
	case *proto.InstanceRemove:
		return x.instanceRemove(b)
	case *proto.ReservationChange:
		return x.reservationChange(b)
	case *proto.MigrationStart:
		return x.migrationStart(b)
	case *proto.MigrationReturn:
		return x.migrationReturn(b)
	case *proto.ProbationEnd:
		return x.probationEnd(b)
	case *proto.MigrationAdvance:
		return x.migrationAdvance(b)
	case *proto.MigrationRecord:
		return x.migrationRecord(b)
	case *proto.MigrationFreeze:
		return x.migrationFreeze(b)
	case *proto.MigrationCommit:
		return x.migrationCommit(b)
	case *proto.MigrationConfirm:
		return x.migrationConfirm(b)
	case *proto.MigrationAbort:
		return x.migrationAbort(b)
	case *proto.MigrationThaw:
		return x.migrationThaw(b)
	case *proto.MigrationComplete:
		return x.migrationComplete(b)
	case *proto.MigrationEnd:
		return x.migrationEnd(b)
	case *proto.AcceptLoss:
		return x.acceptLoss(b)
	case *proto.MigrationPrune:
		return x.migrationPrune(b)
	default:
		return x.applyToPlans(body)
	}
}

// applyToPlans is the last part of apply: capacity over time, what yields, and plans that are kept.
func (x *tx) applyToPlans(body proto.Body) proto.Result {
	switch b := body.(type) {
	case *proto.HostWindow:
		return x.hostWindow(b)
	case *proto.HostDrain:
		return x.hostDrain(b)
	case *proto.TypeRevise:
		return x.typeRevise(b)
	case *proto.AppRevise:
		return x.appRevise(b)
	case *proto.Admit:
		return x.admit(b)
	case *proto.NoticePut:
		return x.noticePut(b)
	case *proto.PlanPut:
		return x.planPut(b)
	case *proto.PlanChange:
		return x.planChange(b)
	case *proto.PlanBegin:
		return x.planBegin(b)
	case *proto.MigrationAdmit:
		return x.migrationAdmit(b)
	case *proto.MigrationLearned:
		return x.migrationLearned(b)
	default:
		panic(fmt.Sprintf("state: %s has a body but no method", body.Command())) // a test applies every known type
	}
}
