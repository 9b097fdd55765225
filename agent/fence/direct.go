package fence

import "github.com/glidepath/glidepath/proto"

// What follows is said over the direct link between the two agents of a migration, when the coordinators are silent.

// RefuseSource makes a prepared target refuse because the migration's source asks it to. A source can have ended nothing
// but its own hand-over: a target that has begun to start, let alone owns the instance, goes by the coordinators alone,
// and no token beyond the commit's becomes known here. That is the second after the one it was prepared under: freezing
// and committing are the only decisions between.
func (r Record) RefuseSource(q Request) (Record, error) {
	commit := r.Token.Next().Next()
	if r.State != proto.FenceTarget || r.Migration != q.Migration || q.Token.Incarnation != commit.Incarnation || q.Token.Compare(commit) > 0 {
		return r, r.conflict(q, "made to refuse by its source")
	}
	return r.Refuse(q)
}

// HasRefused reports whether this host can never start the instance in the migration under the token or an older one, and
// does not run it under a newer one.
func (r Record) HasRefused(q Request) bool {
	switch r.State {
	case proto.FenceNone, proto.FenceRefused, proto.FenceRetired:
		return r.Migration == q.Migration && q.Token.Compare(r.Refused) <= 0
	}
	return false
}

// ThawRefused gives a frozen source the right to run back because the target itself said, over the direct link, what it
// has durably refused. That must reach the token after the freeze's, under which alone a commit could have let the target
// start. Nobody else will start it: that is noted until it has been done.
func (r Record) ThawRefused(migration string, refused Token) (Record, error) {
	q := Request{Instance: r.Instance, Migration: migration, Token: r.Token.Next()}
	if r.State != proto.FenceFrozen || r.Migration != migration || refused.Compare(q.Token) < 0 {
		return r, r.conflict(q, "thawed")
	}
	next := r.enter(q, proto.FenceOwner) // the token rises, so that a late copy of the freeze is stale
	next.Unstarted = true
	return next, nil
}

// Started notes that the instance was started since it thawed on its target's word.
func (r Record) Started() Record {
	r.Unstarted = false
	return r
}
