package api

import (
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func listTokens(c *call) (any, error) {
	return items(slices.Collect(c.view.Tokens())), nil
}

// longestToken is how far ahead a token may expire.
const longestToken = 100 * 365 * 24 * time.Hour

// createToken makes a token. Only its hash is kept: the reply is the one time that its secret is seen.
func createToken(c *call) (any, error) {
	var in v1.TokenRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Expires < 0 || in.Expires > longestToken.Milliseconds() {
		return nil, invalid("expires_ms: %d is not between 0 and %d", in.Expires, longestToken.Milliseconds())
	}
	token, secret, err := c.mint(in)
	if err != nil {
		return nil, err
	}
	result, err := c.propose(&proto.TokenCreate{Token: token})
	if err != nil {
		return nil, err
	}
	if result.Repeated {
		return nil, &v1.Error{
			Code: v1.CodeConflict, Message: "a token was made by an earlier request of this " + v1.HeaderKey + "; its secret was shown then",
			Remedy: "see glidepath token list, revoke it if it got lost, and make another one",
		}
	}
	token, _ = c.view.Token(token.ID)
	return v1.TokenReply{Token: token, Secret: secret}, nil
}

// mint returns a new token as the fleet keeps it, and its secret.
func (c *call) mint(in v1.TokenRequest) (proto.Token, string, error) {
	life := time.Duration(in.Expires) * time.Millisecond
	switch in.Role {
	case proto.RoleAgent, proto.RoleCoordinator:
		var addrs []string
		for m := range c.view.Coordinators() {
			if len(addrs) < pki.MaxTokenAddresses {
				addrs = append(addrs, m.RPCAddr)
			}
		}
		t, err := pki.MintJoin(pki.Kind(in.Role), in.Name, c.cfg.Pin, addrs, c.now.Std(), life)
		if err != nil {
			return proto.Token{}, "", invalid("%s", err)
		}
		hash := t.Hash()
		return proto.Token{
			ID: t.ID, Kind: proto.TokenJoin, Role: in.Role, Name: in.Name, Hash: hash[:], ExpiresAt: timeline.Of(t.Expires),
		}, t.Encode(), nil
	case proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin:
		t := pki.MintAdmin()
		hash := t.Hash()
		out := proto.Token{ID: t.ID, Kind: proto.TokenAPI, Role: in.Role, Name: in.Name, Hash: hash[:], ExpiresAt: timeline.Forever}
		if life > 0 {
			out.ExpiresAt = c.now.Add(life)
		}
		return out, t.Encode(), nil
	}
	return proto.Token{}, "", invalid("role: %q is none of viewer, operator, admin, agent, coordinator", in.Role)
}

func revokeToken(c *call) (any, error) {
	_, err := c.propose(&proto.TokenRevoke{ID: c.r.PathValue("id")})
	return v1.Empty{}, err
}
