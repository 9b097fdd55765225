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
	if goes := x.displaced(n); goes != "" {
		if goes == n.ID {
			return
		}
		drop(x, x.notices, goes)
	}
	put(x, x.notices, n.ID, n)
}

// KeepsNotice reports whether a notice is kept when it is put now: with as many as there may be, one more of a host that has most of a kind is not.
func (v *View) KeepsNotice(n proto.Notice) bool { return v.displaced(n) != n.ID }

// displaced returns which notice goes when n comes, "" where there is room: one that was cleared, the longest ago first; or else, so that a host that has
// many does not drive out what others have to say, the newest of the kind and host that have most, of which it may be one.
func (v *View) displaced(n proto.Notice) string {
	if v.notices.len() < proto.MaxNotices || v.notices.has(n.ID) {
		return ""
	}
	type about struct {
		host string
		kind proto.NoticeKind
	}
	order := func(a, b proto.Notice) int { return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.ID, b.ID)) }
	var cleared proto.Notice
	newest, many := map[about]proto.Notice{}, map[about]int{{n.Host, n.Kind}: 1}
	for old := range v.notices.all() {
		if old.ClearedAt != 0 {
			if cleared.ID == "" || cmp.Or(cmp.Compare(old.ClearedAt, cleared.ClearedAt), order(old, cleared)) < 0 {
				cleared = old
			}
			continue
		}
		of := about{old.Host, old.Kind}
		many[of]++
		if last, ok := newest[of]; !ok || order(last, old) < 0 {
			newest[of] = old
		}
	}
	if cleared.ID != "" {
		return cleared.ID
	}
	goes, most := n, many[about{n.Host, n.Kind}]
	for of, last := range newest {
		if count := many[of]; count > most || count == most && goes.ID != n.ID && order(goes, last) < 0 {
			goes, most = last, count
		}
	}
	return goes.ID
}

// clearNotice says that a notice is not so any more.
func (x *tx) clearNotice(id string) {
	if n, ok := x.notices.get(id); ok && n.ClearedAt == 0 {
		n.ClearedAt, n.ChangedAt = x.now, x.now
		put(x, x.notices, id, n)
	}
}
