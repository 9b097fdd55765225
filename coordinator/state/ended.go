package state

import (
	"fmt"
	"iter"

	"github.com/glidepath/glidepath/proto"
)

// ended is a migration that has ended.
type ended struct{ id, instance string }

// endedKey orders migrations by their ends, and of those that ended at once by their identifiers.
func endedKey(m proto.Migration) string { return fmt.Sprintf("%016x/%s", uint64(m.EndedAt), m.ID) }

// note puts a migration that is kept among those that go on, or those that have ended. Both follow from the table of them all.
func (v *View) note(m proto.Migration) {
	if m.Active() {
		v.active.put(m.ID, struct{}{})
		return
	}
	v.active.drop(m.ID)
	v.ended.put(endedKey(m), ended{m.ID, m.Instance})
}

// EndedMigrations returns the migrations that have ended and are kept, the last ones first.
func (v *View) EndedMigrations() iter.Seq[proto.Migration] {
	return func(yield func(proto.Migration) bool) {
		v.ended.rows.Descend(func(r row[ended]) bool {
			m, _ := v.migrations.get(r.record.id)
			return yield(m)
		})
	}
}

// EndedMigrationsOf returns those of an instance, the last ones first. The others are passed over without a look at them.
func (v *View) EndedMigrationsOf(instance string) iter.Seq[proto.Migration] {
	return func(yield func(proto.Migration) bool) {
		v.ended.rows.Descend(func(r row[ended]) bool {
			if r.record.instance != instance {
				return true
			}
			m, _ := v.migrations.get(r.record.id)
			return yield(m)
		})
	}
}
