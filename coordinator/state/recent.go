package state

import "github.com/glidepath/glidepath/proto"

// maxRecent is how many requests are remembered, so that one that is sent again is not applied again. A request is
// repeated within seconds; at a hundred commands a second this is most of a minute.
const maxRecent = 4096

// remembered is a request and what came of it, in the order in which they were applied.
type remembered struct {
	Sequence uint64       `msgpack:"q"`
	ID       string       `msgpack:"id"`
	Result   proto.Result `msgpack:"r"`
}

// recent remembers the last requests. What a clone shares with it never changes: order is only appended to.
type recent struct {
	order []*remembered          // by sequence
	byID  map[string]*remembered // nil in a clone, which is for reading only
}

func newRecent() recent { return recent{byID: map[string]*remembered{}} }

func (r *recent) clone() recent { return recent{order: r.order} }

func (r *recent) get(id string) (proto.Result, bool) {
	e, ok := r.byID[id]
	if !ok {
		return proto.Result{}, false
	}
	return e.Result, true
}

// add remembers a request and forgets the oldest beyond maxRecent. Sequences rise.
func (r *recent) add(e remembered) {
	r.order = append(r.order, &e)
	r.byID[e.ID] = &e
	if len(r.order) > maxRecent {
		delete(r.byID, r.order[0].ID)
		r.order = r.order[1:]
	}
}
