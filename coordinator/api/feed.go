package api

import (
	"reflect"
	"sync"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// maxFeed bounds the changes that are kept for those who follow, and for those who come back.
const maxFeed = 8192

// feed keeps what changed lately, once for all who follow. It compares views when one of them looks: nobody follows, nothing is done. It holds
// the view that was looked at last, so at most one more version of each record.
type feed struct {
	most int // changes that are kept

	mu    sync.Mutex
	last  *state.View
	floor uint64 // what changed after this index is all kept
	kept  []kept // the oldest first
}

// kept is a change with the index of the view that it was seen in.
type kept struct {
	seen   uint64
	change v1.Change
}

// look compares a view with the one before.
func (f *feed) look(view *state.View, now timeline.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last, f.floor = view, view.Applied()
		return
	}
	before, after := f.last.Applied(), view.Applied()
	if after <= before {
		return
	}
	first := len(f.kept)
	for _, row := range state.Difference(f.last, view) {
		if c, told := change(f.last, view, row); told {
			// Whoever breaks off amid the changes of one view gets all of them again.
			c.Index, c.At = before, now
			f.kept = append(f.kept, kept{after, c})
		}
	}
	if n := len(f.kept); n > first {
		f.kept[n-1].change.Index = after
	}
	f.last = view
	if over := len(f.kept) - f.most; over > 0 {
		f.floor = f.kept[over-1].seen
		f.kept = append([]kept(nil), f.kept[over:]...)
	}
}

// after returns what was seen after an index, and up to which index that is all. It is false when some of it is not kept.
func (f *feed) after(index uint64) (changes []v1.Change, upTo uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	upTo = f.last.Applied()
	if index < f.floor || index > upTo {
		return nil, upTo, false
	}
	for _, k := range f.kept {
		if k.seen > index {
			changes = append(changes, k.change)
		}
	}
	return changes, upTo, true
}

// change describes a row that differs; false when what is told of it does not.
func change(before, after *state.View, row state.Change) (c v1.Change, told bool) {
	c.Name = row.Key
	switch row.Table {
	case proto.TableFleet:
		fleet := after.Fleet()
		c.Kind, c.What, c.Fleet = v1.ChangeFleet, v1.ChangeChanged, &fleet
	case proto.TableCoordinators:
		c.Kind = v1.ChangeCoordinator
		c.What, c.Coordinator = pick(before.Coordinator, after.Coordinator, row.Key)
	case proto.TableHosts:
		c.Kind = v1.ChangeHost
		c.What, c.Host = pick(before.Host, after.Host, row.Key)
	case proto.TableTypes:
		c.Kind = v1.ChangeType
		c.What, c.Type = pick(before.Type, after.Type, row.Key)
	case proto.TableApplications:
		c.Kind = v1.ChangeApplication
		c.What, c.Application = pick(before.Application, after.Application, row.Key)
	case proto.TableInstances:
		c.Kind = v1.ChangeInstance
		c.What, c.Instance = pick(before.Instance, after.Instance, row.Key)
	case proto.TableReservations:
		c.Kind = v1.ChangeReservation
		c.What, c.Reservation = pick(before.Reservation, after.Reservation, row.Key)
	case proto.TableMigrations:
		what, m := pick(before.Migration, after.Migration, row.Key)
		status := v1.StatusOf(*m)
		c.Kind, c.What, c.Migration = v1.ChangeMigration, what, &status
		if was, ok := before.Migration(row.Key); ok && what == v1.ChangeChanged && reflect.DeepEqual(v1.StatusOf(was), status) {
			return c, false // an operation went on
		}
	case proto.TableEvents:
		c.Kind = v1.ChangeEvent
		c.What, c.Event = pick(before.Event, after.Event, row.Key)
	case proto.TableTokens:
		c.Kind = v1.ChangeToken
		c.What, c.Token = pick(before.Token, after.Token, row.Key)
	case proto.TablePlans:
		c.Kind = v1.ChangePlan
		c.What, c.Plan = pick(before.Plan, after.Plan, row.Key)
	case proto.TableNotices:
		c.Kind = v1.ChangeNotice
		c.What, c.Notice = pick(before.Notice, after.Notice, row.Key)
	default:
		return c, false
	}
	return c, true
}

// pick returns what happened to a record, and the record as it is, or was.
func pick[R any](before, after func(string) (R, bool), key string) (v1.ChangeWhat, *R) {
	was, there := before(key)
	is, here := after(key)
	switch {
	case !here:
		return v1.ChangeRemoved, &was
	case !there:
		return v1.ChangeAdded, &is
	}
	return v1.ChangeChanged, &is
}
