package state

import (
	"github.com/glidepath/glidepath/proto"
	"github.com/google/btree"
)

// maxRecent is how many requests are remembered, so that one that is sent again is not applied again. A request is
// repeated within seconds; at a hundred commands a second this is most of a minute.
const maxRecent = 4096

// remembered is a request and what came of it, in the order in which they were applied.
type remembered struct {
	Sequence uint64       `msgpack:"q"`
	ID       string       `msgpack:"id"`
	Result   proto.Result `msgpack:"r"`
}

// recent remembers the last requests.
type recent struct {
	byID, bySequence *btree.BTreeG[*remembered]
}

func newRecent() recent {
	return recent{
		byID:       btree.NewG(degree, func(a, b *remembered) bool { return a.ID < b.ID }),
		bySequence: btree.NewG(degree, func(a, b *remembered) bool { return a.Sequence < b.Sequence }),
	}
}

func (r recent) clone() recent { return recent{r.byID.Clone(), r.bySequence.Clone()} }

func (r recent) get(id string) (proto.Result, bool) {
	e, ok := r.byID.Get(&remembered{ID: id})
	if !ok {
		return proto.Result{}, false
	}
	return e.Result, true
}

// add remembers a request and forgets the oldest beyond maxRecent. Sequences rise.
func (r recent) add(e remembered) {
	r.byID.ReplaceOrInsert(&e)
	r.bySequence.ReplaceOrInsert(&e)
	for r.bySequence.Len() > maxRecent {
		old, _ := r.bySequence.DeleteMin()
		r.byID.Delete(old)
	}
}
