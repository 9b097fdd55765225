package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Notice tells that a promise can't be kept, or was changed for somebody else's: who is concerned, when, and what is proposed. There is one for each
// thing: what goes on being so is not told again.
type Notice struct {
	ID          string        `msgpack:"id" json:"id"` // see NoticeID
	Kind        NoticeKind    `msgpack:"k" json:"kind"`
	Host        string        `msgpack:"h,omitempty" json:"host,omitzero"`
	Instance    string        `msgpack:"i,omitempty" json:"instance,omitzero"`
	Reservation string        `msgpack:"r,omitempty" json:"reservation,omitzero"`
	Plan        string        `msgpack:"pl,omitempty" json:"plan,omitzero"` // stored, that would help or that it is about
	Span        timeline.Span `msgpack:"sp" json:"span,omitzero"`
	Resource    resource.Kind `msgpack:"rs" json:"resource"`
	Missing     int64         `msgpack:"m,omitempty" json:"missing,omitzero"`  // in the resource's unit; 0: it is not about an amount
	Says        string        `msgpack:"s" json:"says"`                        // what is so, in words
	Proposes    string        `msgpack:"p,omitempty" json:"proposes,omitzero"` // what could be done, in words
	Since       timeline.Time `msgpack:"si" json:"since"`
	ChangedAt   timeline.Time `msgpack:"ca" json:"changed_at"`
	ClearedAt   timeline.Time `msgpack:"cl,omitempty" json:"cleared_at,omitzero"` // since when it is not so any more; 0: it is
}

// NoticeKind groups notices.
type NoticeKind string

// The kinds of notices.
const (
	NoticeShort     NoticeKind = "short"            // a host has promised more than it has
	NoticeSqueezed  NoticeKind = "squeezed"         // a reservation has yielded to one of a higher class
	NoticeRefused   NoticeKind = "revision-refused" // an instance needs more than its host has left
	NoticeProposed  NoticeKind = "move-proposed"    // moving an instance would help
	NoticeLost      NoticeKind = "lost"             // a reservation is held no more, as its host died for good
	NoticeBlocked   NoticeKind = "drain-blocked"    // a drain can't be done in time
	NoticeRebalance NoticeKind = "rebalance"        // the fleet would be better balanced
)

// NoticeID returns the identifier of the notice of a kind about a host, a reservation, an instance or a plan.
func NoticeID(k NoticeKind, about string) string { return string(k) + "/" + about }

// MaxNotices is how many notices are kept. Beyond it those that were cleared longest ago go first. Where none was, one more is kept only in the place of
// the newest of a kind about a host that there are more of.
const MaxNotices = 1024
