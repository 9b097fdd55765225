package migrate

import (
	"cmp"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// token orders decisions, as agents do.
type token struct{ incarnation, fence uint64 }

func (t token) compare(u token) int {
	return cmp.Or(cmp.Compare(t.incarnation, u.incarnation), cmp.Compare(t.fence, u.fence))
}

// record is an agent's ownership record, with the rules that real agents have. They are written down here once more
// because the two halves of the program do not import each other.
type record struct {
	token     token
	state     proto.FenceState
	migration string
	retiredBy string
	refused   token
	permit    time.Time // until when
}

func stale() *proto.Fault {
	return &proto.Fault{Code: proto.FaultStale, What: "a newer decision holds"}
}
func refused() *proto.Fault { return &proto.Fault{Code: proto.FaultRefused, What: "not in this state"} }

// change returns the record that follows from an operation.
func (r record) change(op proto.Operation, now time.Time) (record, *proto.Fault) {
	t := token{op.Incarnation, op.Fence}
	if op.Kind == proto.OpRefuse && t.compare(r.refused) <= 0 {
		return r, nil
	}
	if t.compare(r.token) < 0 {
		return r, stale()
	}
	newer, same := t.compare(r.token) > 0, r.migration == op.Migration
	enter := func(s proto.FenceState) record {
		next := r
		next.token, next.state, next.permit = t, s, time.Time{}
		if op.Migration != "" {
			next.migration = op.Migration
		}
		if s == proto.FenceOwner {
			next.retiredBy = ""
		}
		return next
	}
	switch op.Kind {
	case proto.OpAdopt:
		if r.state == proto.FenceNone || r.state == proto.FenceOwner {
			return enter(proto.FenceOwner), nil
		}
	case proto.OpPrepareTarget:
		switch r.state {
		case proto.FenceNone:
			if !newer && r.migration != "" && same {
				return r, stale()
			}
			return enter(proto.FenceTarget), nil
		case proto.FenceTarget:
			if same {
				return enter(proto.FenceTarget), nil
			}
		case proto.FenceRetired:
			if !same {
				return enter(proto.FenceTarget), nil
			}
		case proto.FenceRefused:
			if newer && !same {
				return enter(proto.FenceTarget), nil
			}
		}
	case proto.OpFreeze:
		if r.state == proto.FenceOwner && newer || r.state == proto.FenceFrozen && !newer && same {
			return enter(proto.FenceFrozen), nil
		}
	case proto.OpConfirm:
		if r.state == proto.FenceOwner && same || r.state == proto.FenceStarting && same && now.Before(r.permit) {
			return enter(proto.FenceOwner), nil
		}
	case proto.OpRefuse:
		switch r.state {
		case proto.FenceRetired:
			r.token, r.refused = t, t
			return r, nil
		case proto.FenceNone, proto.FenceTarget, proto.FenceStarting, proto.FenceRefused:
			if r.state == proto.FenceNone && r.migration != "" && same {
				r.token, r.refused = t, t
				return r, nil
			}
			next := enter(proto.FenceRefused)
			next.refused = t
			return next, nil
		}
	case proto.OpThaw:
		if r.state == proto.FenceOwner || r.state == proto.FenceFrozen && same && newer {
			return enter(proto.FenceOwner), nil
		}
	case proto.OpRetire:
		had := r.state == proto.FenceFrozen || r.state == proto.FenceOwner && r.migration != ""
		if same && (had && newer || r.state == proto.FenceRetired) {
			next := enter(proto.FenceRetired)
			next.retiredBy = op.Migration
			return next, nil
		}
	case proto.OpCleanTarget:
		switch {
		case r.state == proto.FenceRetired:
			r.token = t
			return r, nil
		case r.state == proto.FenceNone, (r.state == proto.FenceTarget || r.state == proto.FenceRefused) && same:
			if r.retiredBy != "" {
				return enter(proto.FenceRetired), nil
			}
			return enter(proto.FenceNone), nil
		}
	case proto.OpRelease:
		switch r.state {
		case proto.FenceNone, proto.FenceOwner, proto.FenceRetired:
			r.retiredBy = ""
			return enter(proto.FenceNone), nil
		}
	}
	return r, refused()
}

// start returns the record with a permit, of a target that begins to run the instance.
func (r record) start(op proto.Operation, permit, now time.Time) (record, *proto.Fault) {
	t := token{op.Incarnation, op.Fence}
	same := r.migration == op.Migration
	switch {
	case t.compare(r.token) < 0 || t.compare(r.refused) <= 0:
		return r, stale()
	case r.state == proto.FenceTarget && t.compare(r.token) > 0 && same && now.Before(permit):
		r.token, r.state, r.permit = t, proto.FenceStarting, permit
		return r, nil
	case r.state == proto.FenceStarting && t == r.token && now.Before(r.permit):
		return r, nil
	case r.state == proto.FenceOwner && t == r.token && same:
		return r, nil
	}
	return r, refused()
}

// expire returns the record of a target whose permit is over.
func (r record) expire() record {
	if r.state == proto.FenceStarting {
		r.state, r.refused, r.permit = proto.FenceRefused, r.token, time.Time{}
	}
	return r
}
