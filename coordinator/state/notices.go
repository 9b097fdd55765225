package state

import (
	"cmp"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// noticePut tells what is so and clears what is not any more.
func (x *tx) noticePut(b *proto.NoticePut) proto.Result {
	if n := len(b.Put) + len(b.Clear); n > proto.MaxList {
		return invalid("%d notices at once: at most %d", n, proto.MaxList)
	}
	for _, n := range b.Put {
		if r := validNotice(n); !r.OK() {
			return r
		}
	}
	for _, n := range b.Put {
		x.tell(n)
	}
	for _, id := range b.Clear {
		x.clearNotice(id)
	}
	return done()
}

func validNotice(n proto.Notice) proto.Result {
	if err := proto.ValidName("kind of notice", string(n.Kind)); err != nil {
		return invalid("%s", err)
	}
	if err := proto.ValidID("notice", n.ID); err != nil {
		return invalid("%s", err)
	}
	if err := text("notice", n.Host+n.Instance+n.Reservation+n.Plan+n.Says+n.Proposes); err != nil {
		return invalid("notice %s: %s", n.ID, err)
	}
	if n.Span != (timeline.Span{}) && n.Span.Empty() || n.Span.Start < 0 || n.Span.End > timeline.Forever || int(n.Resource) >= resource.Kinds {
		return invalid("notice %s is of no time, or of no resource", n.ID)
	}
	return done()
}

// tell puts a notice. What is told already stays as it is.
func (x *tx) tell(n proto.Notice) {
	n.Since, n.ChangedAt, n.ClearedAt = x.now, x.now, 0
	if old, ok := x.notices.get(n.ID); ok && old.ClearedAt == 0 {
		n.Since = old.Since
		same := n
		same.ChangedAt = old.ChangedAt
		if same == old {
			return
		}
	}
	put(x, x.notices, n.ID, n)
	for x.notices.len() > proto.MaxNotices {
		drop(x, x.notices, x.leastNotice())
	}
}

// leastNotice returns the notice that goes first: of those that were cleared, or else of all, the one that has been so for longest.
func (x *tx) leastNotice() string {
	var least proto.Notice
	for n := range x.notices.all() {
		if least.ID == "" || cmp.Or(-compareBool(n.ClearedAt != 0, least.ClearedAt != 0), cmp.Compare(n.ClearedAt, least.ClearedAt), cmp.Compare(n.Since, least.Since)) < 0 {
			least = n
		}
	}
	return least.ID
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// clearNotice says that a notice is not so any more.
func (x *tx) clearNotice(id string) {
	if n, ok := x.notices.get(id); ok && n.ClearedAt == 0 {
		n.ClearedAt, n.ChangedAt = x.now, x.now
		put(x, x.notices, id, n)
	}
}
