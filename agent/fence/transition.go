package fence

import (
	"cmp"
	"fmt"

	"github.com/glidepath/glidepath/proto"
)

// Request is what an operation says about the record that it wants changed.
type Request struct {
	Instance  string
	Migration string
	Token     Token
	Units     []string           // of Adopt and Prepare
	Spec      proto.InstanceSpec // of Adopt and Prepare
	Peer      proto.Peer         // of Freeze: the target, and where it is reached
}

// Every transition takes a record and returns the one that follows, or a *proto.Fault: code stale when the host has
// seen a newer token, refused when the state does not allow it. The record of an instance that this host has never heard of is
// the zero Record. The same request again changes nothing and is no error.

// Adopt makes this host the owner of an instance that already runs here.
func (r Record) Adopt(q Request) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	if r.State == proto.FenceNone || r.State == proto.FenceOwner {
		return r.enter(q, proto.FenceOwner).describe(q), nil
	}
	return r, r.conflict(q, "adopted")
}

// Prepare makes this host the target of a migration. It may not run the instance yet.
func (r Record) Prepare(q Request) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	newer := q.Token.Compare(r.Token) > 0
	switch r.State {
	case proto.FenceNone:
		// A late copy of the request must not bring back what has been cleaned.
		if !newer && r.Migration != "" && r.Migration == q.Migration {
			return r, r.stale(q, "migration "+q.Migration+" has been cleaned up here")
		}
		return r.enter(q, proto.FenceTarget).describe(q), nil
	case proto.FenceTarget:
		if r.Migration == q.Migration {
			return r.enter(q, proto.FenceTarget).describe(q), nil
		}
	case proto.FenceRetired:
		// A migration back begins under the fence that the last one ended with: beginning is no decision on who may run it.
		if r.Migration != q.Migration {
			return r.enter(q, proto.FenceTarget).describe(q), nil
		}
	case proto.FenceRefused:
		if newer && r.Migration != q.Migration {
			return r.enter(q, proto.FenceTarget).describe(q), nil
		}
	}
	return r, r.conflict(q, "prepared as a target")
}

// Freeze takes the right to run from the owner. It needs a token newer than the one that the owner got it with.
func (r Record) Freeze(q Request) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	newer := q.Token.Compare(r.Token) > 0
	if r.State == proto.FenceOwner && newer || r.State == proto.FenceFrozen && !newer && r.Migration == q.Migration {
		next := r.enter(q, proto.FenceFrozen)
		next.Peer = q.Peer
		return next, nil
	}
	return r, r.conflict(q, "frozen")
}

// Start lets a prepared target run under a permit. It needs a token newer than any seen here: that of the commit. In state
// starting the same request changes nothing, the permit included.
func (r Record) Start(q Request, permit Permit, now Moment) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	if q.Token.Compare(r.Refused) <= 0 {
		return r, r.stale(q, "it has durably refused to start under "+r.Refused.String())
	}
	switch {
	case r.State == proto.FenceTarget && q.Token.Compare(r.Token) > 0 && r.Migration == q.Migration:
		if !permit.Valid(now) {
			return r, r.expired(q)
		}
		next := r.enter(q, proto.FenceStarting)
		next.Permit = permit
		return next, nil
	case r.State == proto.FenceStarting && q.Token == r.Token:
		if !r.Permit.Valid(now) {
			return r, r.expired(q)
		}
		return r, nil
	case r.State == proto.FenceOwner && q.Token == r.Token && r.Migration == q.Migration: // confirmed since
		return r, nil
	}
	return r, r.conflict(q, "started")
}

// Renew replaces the permit of a starting instance. A permit that has run out is not renewed: it may already count as ended elsewhere.
func (r Record) Renew(q Request, permit Permit, now Moment) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	if r.State != proto.FenceStarting || q.Token != r.Token {
		return r, r.conflict(q, "given a longer permit")
	}
	if !r.Permit.Valid(now) {
		return r, r.expired(q)
	}
	if permit.Boot == r.Permit.Boot && permit.ExpiresMilli > r.Permit.ExpiresMilli {
		r.Permit = permit
	}
	return r, nil
}

// Confirm makes a starting target the owner. The permit must hold: after its end the instance may be running elsewhere.
func (r Record) Confirm(q Request, now Moment) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	switch {
	case r.State == proto.FenceOwner && r.Migration == q.Migration:
		return r.enter(q, proto.FenceOwner), nil
	case r.State == proto.FenceStarting && r.Migration == q.Migration:
		if !r.Permit.Valid(now) {
			return r, r.expired(q)
		}
		return r.enter(q, proto.FenceOwner), nil
	}
	return r, r.conflict(q, "confirmed")
}

// Refuse makes sure that this host never starts the instance under the request's token or an older one. A host that has
// never heard of the instance can refuse, too. An owner can't: it has been confirmed, or was never a target.
func (r Record) Refuse(q Request) (Record, error) {
	if q.Token.Compare(r.Refused) <= 0 {
		return r, nil
	}
	if err := r.fresh(q); err != nil {
		return r, err
	}
	switch {
	case r.State == proto.FenceRetired, r.State == proto.FenceNone && r.Migration != "" && r.Migration == q.Migration:
		r.Token, r.Refused = q.Token, q.Token // never prepared, or cleaned already: it stays so
		return r, nil
	case r.State == proto.FenceNone, r.State == proto.FenceTarget, r.State == proto.FenceStarting, r.State == proto.FenceRefused:
		if r.State == proto.FenceNone {
			// Nothing of the instance is here: a unit of that name is somebody else's, and goes on.
			r.Units, r.Spec = nil, proto.InstanceSpec{}
		}
		next := r.enter(q, proto.FenceRefused)
		next.Refused = q.Token
		return next, nil
	}
	return r, r.conflict(q, "made to refuse")
}

// Thaw gives a frozen source the right to run back, on the token of an abort, which is newer than the freeze's. A source
// that the freeze never reached stays the owner, and a late copy of the freeze is stale from now on. So does one that had given the instance away
// in that migration: an operator has accepted the loss of what came after. Whether it still has its data is for others to know.
func (r Record) Thaw(q Request) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	newer := q.Token.Compare(r.Token) > 0
	frozen := r.State == proto.FenceFrozen && r.Migration == q.Migration
	gaveAway := r.State == proto.FenceRetired && r.RetiredBy == q.Migration && !r.TakenOut
	if r.State == proto.FenceOwner || newer && (frozen || gaveAway) {
		return r.enter(q, proto.FenceOwner), nil
	}
	return r, r.conflict(q, "thawed")
}

// Retire turns a frozen source into one that has given the instance away for good; and an owner that was given up as lost,
// and is there after all.
func (r Record) Retire(q Request) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	newer := q.Token.Compare(r.Token) > 0
	had := r.State == proto.FenceFrozen || r.State == proto.FenceOwner && r.Migration != ""
	if r.Migration == q.Migration && (had && newer || r.State == proto.FenceRetired) {
		next := r.enter(q, proto.FenceRetired)
		next.RetiredBy = q.Migration
		return next, nil
	}
	return r, r.conflict(q, "retired")
}

// GiveUp takes the right to run from a host that was taken out of the fleet. It needs no token: the host is told of no decision any more, and no
// later one gives the instance back to it but a new adoption or migration, after it has joined again.
func (r Record) GiveUp() Record {
	if r.State != proto.FenceOwner && r.State != proto.FenceFrozen {
		return r
	}
	r.State, r.TakenOut, r.Permit, r.Peer, r.Unstarted = proto.FenceRetired, true, Permit{}, proto.Peer{}, false
	r.RetiredBy = cmp.Or(r.Migration, "taken-out")
	return r
}

// Clean ends this host's part as a target. What it has seen and refused stays known, so that late requests stay late.
func (r Record) Clean(q Request) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	switch {
	case r.State == proto.FenceRetired:
		r.Token = q.Token // was never prepared for this migration
		return r, nil
	case r.State == proto.FenceNone, (r.State == proto.FenceTarget || r.State == proto.FenceRefused) && r.Migration == q.Migration:
		if r.RetiredBy != "" { // an instance that was here once and did not come back
			return r.enter(q, proto.FenceRetired), nil
		}
		return r.enter(q, proto.FenceNone), nil
	}
	return r, r.conflict(q, "cleaned up")
}

// Release gives the unit back to whoever had it before adoption: on the owner, and where it has been retired.
func (r Record) Release(q Request) (Record, error) {
	if err := r.fresh(q); err != nil {
		return r, err
	}
	switch r.State {
	case proto.FenceNone, proto.FenceOwner, proto.FenceRetired:
		r.RetiredBy = ""
		return r.enter(q, proto.FenceNone), nil
	}
	return r, r.conflict(q, "released")
}

// Recover returns the record as it is to be taken after a restart of the agent: only ever towards less running.
func (r Record) Recover(now Moment) Record {
	if r.State == proto.FenceStarting && !r.Permit.Valid(now) {
		r.State, r.Refused, r.Permit = proto.FenceRefused, r.Token, Permit{}
	}
	return r
}

// fresh refuses a request that is older than what this host has seen.
func (r Record) fresh(q Request) error {
	if q.Token.Compare(r.Token) < 0 {
		return r.stale(q, "it has seen "+r.Token.String())
	}
	return nil
}

// enter returns the record in a new state.
func (r Record) enter(q Request, state proto.FenceState) Record {
	r.Version, r.Instance, r.Token, r.State, r.Permit = recordVersion, q.Instance, q.Token, state, Permit{}
	r.Peer, r.Unstarted, r.TakenOut = proto.Peer{}, false, false
	if q.Migration != "" {
		r.Migration = q.Migration
	}
	if state == proto.FenceOwner {
		r.RetiredBy = ""
	}
	return r
}

// describe returns the record with what the request says of the instance.
func (r Record) describe(q Request) Record {
	r.Units, r.Spec = q.Units, q.Spec
	return r
}

func (r Record) stale(q Request, why string) error {
	return &proto.Fault{
		Code:   proto.FaultStale,
		What:   fmt.Sprintf("this host does not act on instance %s under %s: %s", q.Instance, q.Token, why),
		Remedy: "nothing needs doing; a newer decision holds",
	}
}

func (r Record) conflict(q Request, verb string) error {
	state := string(r.State)
	if r.State == proto.FenceNone {
		state = "not known"
	}
	return &proto.Fault{
		Code:   proto.FaultRefused,
		What:   fmt.Sprintf("instance %s can't be %s here under %s: it is %s (migration %q, %s)", q.Instance, verb, q.Token, state, r.Migration, r.Token),
		Remedy: "see `glidepath instance list` and `glidepath migration list` for who holds it",
	}
}

func (r Record) expired(q Request) error {
	return &proto.Fault{
		Code:   proto.FaultRefused,
		What:   fmt.Sprintf("the permit to run instance %s here under %s has run out", q.Instance, q.Token),
		Remedy: "the migration aborts; look for a broken link between this host and the coordinators",
	}
}
