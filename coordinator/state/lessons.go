package state

import "github.com/glidepath/glidepath/proto"

// migrationLearned keeps what a completed migration taught.
func (x *tx) migrationLearned(b *proto.MigrationLearned) proto.Result {
	m, ok := x.migrations.get(b.Migration)
	if !ok {
		return missing("migration", b.Migration)
	}
	if m.Outcome != proto.OutcomeCompleted {
		return stale("migration %s was not completed: nothing is learned from it", m.ID)
	}
	if err := b.Lesson.Valid(); err != nil {
		return invalid("migration %s: %s", m.ID, err)
	}
	m.Lesson = &b.Lesson
	x.putMigration(m)
	return done()
}
