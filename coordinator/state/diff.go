package state

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/glidepath/glidepath/proto"
)

// Difference returns the rows that two views of one state differ in, sorted by table and key. What was changed and changed back
// is not in it, unless a record says when it was changed.
func Difference(before, after *View) []Change {
	var out []Change
	if !reflect.DeepEqual(before.fleet, after.fleet) {
		out = append(out, Change{proto.TableFleet, after.fleet.ID})
	}
	out = differing(out, before.coordinators, after.coordinators)
	out = differing(out, before.hosts, after.hosts)
	out = differing(out, before.types, after.types)
	out = differing(out, before.applications, after.applications)
	out = differing(out, before.instances, after.instances)
	out = differing(out, before.migrations, after.migrations)
	out = differing(out, before.events, after.events)
	out = differing(out, before.calendars, after.calendars)
	out = differing(out, before.tokens, after.tokens)
	out = differing(out, before.plans, after.plans)
	out = differing(out, before.notices, after.notices)
	type version struct {
		id            string
		revision      uint64
		created, last int64
	}
	versions := func(v *View) (all []version) {
		for r := range v.Reservations() {
			all = append(all, version{r.ID, r.Revision, int64(r.CreatedAt), int64(r.ChangedAt)})
		}
		return all
	}
	for key := range merged(versions(before), versions(after), func(v version) string { return v.id }) {
		out = append(out, Change{proto.TableReservations, key})
	}
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Compare(a.Table, b.Table) })
	return out
}

// differing adds the keys that two tables differ in. Records are replaced and never changed, so that those that are the same are equal.
func differing[R any](out []Change, before, after table[R]) []Change {
	rows := func(t table[R]) []row[R] {
		all := make([]row[R], 0, t.rows.Len())
		t.rows.Ascend(func(r row[R]) bool {
			all = append(all, r)
			return true
		})
		return all
	}
	for key := range merged(rows(before), rows(after), func(r row[R]) string { return r.key }) {
		out = append(out, Change{after.name, key})
	}
	return out
}

// merged walks two lists, both sorted by their keys, and yields the keys of elements that only one has, or that are not equal.
func merged[E comparable](before, after []E, key func(E) string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(before) > 0 || len(after) > 0 {
			var order int
			switch {
			case len(before) == 0:
				order = 1
			case len(after) == 0:
				order = -1
			default:
				order = cmp.Compare(key(before[0]), key(after[0]))
			}
			switch {
			case order < 0:
				if !yield(key(before[0])) {
					return
				}
				before = before[1:]
			case order > 0:
				if !yield(key(after[0])) {
					return
				}
				after = after[1:]
			default:
				if before[0] != after[0] && !yield(key(after[0])) {
					return
				}
				before, after = before[1:], after[1:]
			}
		}
	}
}
