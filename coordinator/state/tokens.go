package state

import (
	"crypto/sha256"
	"slices"

	"github.com/glidepath/glidepath/proto"
)

func (x *tx) tokenCreate(b *proto.TokenCreate) proto.Result {
	t := b.Token
	if err := proto.ValidID("token", t.ID); err != nil {
		return invalid("%s", err)
	}
	roles := []proto.Role{proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin}
	if t.Kind == proto.TokenJoin {
		roles = []proto.Role{proto.RoleAgent, proto.RoleCoordinator}
	} else if t.Kind != proto.TokenAPI {
		return invalid("token %s: %q is no kind of token: use api or join", t.ID, t.Kind)
	}
	if !slices.Contains(roles, t.Role) {
		return invalid("token %s: %q is no role of the kind %s: use one of %s", t.ID, t.Role, t.Kind, roles)
	}
	if t.Name != "" {
		if err := proto.ValidName("holder of the token", t.Name); err != nil {
			return invalid("%s", err)
		}
	}
	if len(t.Hash) != sha256.Size {
		return invalid("token %s: the hash of its secret has %d bytes, not %d", t.ID, len(t.Hash), sha256.Size)
	}
	if t.ExpiresAt <= x.now {
		return invalid("token %s has expired at %s", t.ID, t.ExpiresAt)
	}
	if x.tokens.has(t.ID) {
		return conflict("there is a token %s", t.ID)
	}
	t.CreatedAt, t.CreatedBy = x.now, x.actor
	t.UsedAt, t.UsedBy, t.RevokedAt = 0, "", 0
	put(x, x.tokens, t.ID, t)
	return done()
}

func (x *tx) tokenUse(b *proto.TokenUse) proto.Result {
	t, ok := x.tokens.get(b.ID)
	if !ok {
		return missing("token", b.ID)
	}
	if err := proto.ValidName("joiner", b.Name); err != nil {
		return invalid("%s", err)
	}
	switch {
	case t.Kind != proto.TokenJoin:
		return refused("token %s is not for joining: make one with: glidepath token create --role %s", t.ID, b.Role)
	case t.RevokedAt != 0:
		return refused("token %s was revoked at %s: make another one with: glidepath token create --role %s", t.ID, t.RevokedAt, t.Role)
	case t.UsedAt != 0:
		return conflict("token %s was used by %s at %s, and is good for one join: make another one with: glidepath token create --role %s", t.ID, t.UsedBy, t.UsedAt, t.Role)
	case t.ExpiresAt <= x.now:
		return refused("token %s expired at %s: make another one with: glidepath token create --role %s", t.ID, t.ExpiresAt, t.Role)
	case t.Role != b.Role:
		return refused("token %s is for joining as %s, not as %s", t.ID, t.Role, b.Role)
	case t.Name != "" && t.Name != b.Name:
		return refused("token %s is for %s, not for %s", t.ID, t.Name, b.Name)
	}
	t.UsedAt, t.UsedBy = x.now, b.Name
	put(x, x.tokens, t.ID, t)
	if t.Role == proto.RoleAgent {
		x.readmit(b.Name)
	}
	return done()
}

func (x *tx) tokenRevoke(b *proto.TokenRevoke) proto.Result {
	t, ok := x.tokens.get(b.ID)
	if !ok {
		return missing("token", b.ID)
	}
	if t.RevokedAt == 0 {
		t.RevokedAt = x.now
		put(x, x.tokens, t.ID, t)
	}
	return done()
}
