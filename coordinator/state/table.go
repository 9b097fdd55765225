package state

import (
	"iter"

	"github.com/glidepath/glidepath/proto"
	"github.com/google/btree"
)

// row is one record under its key. Records are never changed once they are in a table, only replaced: clones share them.
type row[R any] struct {
	key    string
	record *R
}

// table is a sorted table whose clones cost nothing until they are changed.
type table[R any] struct {
	name proto.Table
	rows *btree.BTreeG[row[R]]
}

const degree = 32 // of the trees

func newTable[R any](name proto.Table) table[R] {
	return table[R]{name, btree.NewG(degree, func(a, b row[R]) bool { return a.key < b.key })}
}

func (t table[R]) clone() table[R] { return table[R]{t.name, t.rows.Clone()} }

func (t table[R]) get(key string) (R, bool) {
	r, ok := t.rows.Get(row[R]{key: key})
	if !ok {
		var none R
		return none, false
	}
	return *r.record, true
}

func (t table[R]) has(key string) bool { return t.rows.Has(row[R]{key: key}) }

func (t table[R]) put(key string, record R) { t.rows.ReplaceOrInsert(row[R]{key, &record}) }

func (t table[R]) drop(key string) { t.rows.Delete(row[R]{key: key}) }

func (t table[R]) len() int { return t.rows.Len() }

// all returns the records in order of their keys.
func (t table[R]) all() iter.Seq[R] {
	return func(yield func(R) bool) {
		t.rows.Ascend(func(r row[R]) bool { return yield(*r.record) })
	}
}

// put puts a record into a table of the transaction's state and notes the change.
func put[R any](x *tx, t table[R], key string, record R) {
	t.put(key, record)
	x.changed(t.name, key)
}

// drop takes a record out and notes the change.
func drop[R any](x *tx, t table[R], key string) {
	t.drop(key)
	x.changed(t.name, key)
}
