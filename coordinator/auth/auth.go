// Package auth says who asks the API, what he may do, and keeps the record of what was done.
package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Tokens finds what the fleet knows of a token; a view of the state does.
type Tokens interface {
	Token(id string) (proto.Token, bool)
}

// Principal is whoever showed a good token.
type Principal struct {
	Token string // identifier, no secret
	Name  string // whose token it is; may be empty
	Role  proto.Role
}

// Actor returns the principal as commands and records name him: NAME/TOKEN, so that two people of one name are told apart.
func (p Principal) Actor() string {
	if p.Name == "" {
		return "token/" + p.Token
	}
	return p.Name + "/" + p.Token
}

// ErrUnauthorised is wrapped when a request shows no token that is good now; ErrOver, too, when it shows one that was good once: then the error
// says how to get another one.
var (
	ErrUnauthorised = errors.New("unauthorised")
	ErrOver         = fmt.Errorf("%w", ErrUnauthorised)
)

// Denied says which role a request needs that its token does not have.
type Denied struct {
	Who  Principal
	Need proto.Role
}

// Error names the missing role.
func (d *Denied) Error() string {
	return fmt.Sprintf("%s has the role %s: this takes the role %s", d.Who.Actor(), d.Who.Role, d.Need)
}

// maxHeader bounds what is looked at of an Authorization header, in bytes.
const maxHeader = 256

// Authenticate returns who shows the value of an Authorization header at the time now. The error wraps ErrUnauthorised, and
// is the same for a token that is not known and one whose secret is wrong.
func Authenticate(tokens Tokens, header string, now timeline.Time) (Principal, error) {
	scheme, text, _ := strings.Cut(header, " ")
	if header == "" || len(header) > maxHeader || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, fmt.Errorf("%w: show a token: Authorization: Bearer gpa1.…", ErrUnauthorised)
	}
	shown, err := pki.ParseAdmin(text)
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthorised, err)
	}
	record, ok := tokens.Token(shown.ID)
	var hash pki.TokenHash
	if copy(hash[:], record.Hash) != len(hash) {
		ok = false
	}
	// Compared whether it is known or not, so that the time it takes says nothing.
	if !shown.Hash().Matches(hash) || !ok || record.Kind != proto.TokenAPI {
		return Principal{}, fmt.Errorf("%w: the token is not known to this fleet: is it of another one?", ErrUnauthorised)
	}
	if record.RevokedAt != 0 {
		return Principal{}, fmt.Errorf("%w: token %s was revoked at %s: ask an admin for another one: glidepath token create --role %s", ErrOver, record.ID, record.RevokedAt, record.Role)
	}
	if record.ExpiresAt <= now {
		return Principal{}, fmt.Errorf("%w: token %s expired at %s: ask an admin for another one: glidepath token create --role %s", ErrOver, record.ID, record.ExpiresAt, record.Role)
	}
	return Principal{Token: record.ID, Name: record.Name, Role: record.Role}, nil
}

// Authorise returns a *Denied unless the principal's role covers the one that is needed.
func Authorise(p Principal, need proto.Role) error {
	if rank(p.Role) < rank(need) || rank(need) == 0 {
		return &Denied{Who: p, Need: need}
	}
	return nil
}

// rank orders the roles of API tokens: each may do what the ones below may. Others are 0.
func rank(r proto.Role) int {
	switch r {
	case proto.RoleViewer:
		return 1
	case proto.RoleOperator:
		return 2
	case proto.RoleAdmin:
		return 3
	}
	return 0
}
