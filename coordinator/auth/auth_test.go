package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

type known map[string]proto.Token

func (k known) Token(id string) (proto.Token, bool) {
	t, ok := k[id]
	return t, ok
}

const now = timeline.Time(1_800_000_000_000)

// record is what the fleet keeps of a token.
func record(t pki.AdminToken) proto.Token {
	hash := t.Hash()
	return proto.Token{ID: t.ID, Kind: proto.TokenAPI, Role: proto.RoleOperator, Name: "ann", Hash: hash[:], ExpiresAt: timeline.Forever}
}

func TestAGoodTokenSaysWhoAsks(t *testing.T) {
	token := pki.MintAdmin()
	got, err := Authenticate(known{token.ID: record(token)}, "bearer "+token.Encode(), now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Principal{Token: token.ID, Name: "ann", Role: proto.RoleOperator}, got); diff != "" {
		t.Fatal(diff)
	}
	if want := "ann/" + token.ID; got.Actor() != want {
		t.Errorf("actor %q, want %q", got.Actor(), want)
	}
}

func TestNoOtherTokenIsGood(t *testing.T) {
	token, other := pki.MintAdmin(), pki.MintAdmin()
	with := func(change func(*proto.Token)) known {
		r := record(token)
		change(&r)
		return known{token.ID: r}
	}
	wrongSecret := token.Encode()[:len(token.Encode())-1] + "0"
	if wrongSecret == token.Encode() {
		wrongSecret = token.Encode()[:len(token.Encode())-1] + "1"
	}
	good := "Bearer " + token.Encode()
	for name, c := range map[string]struct {
		tokens known
		header string
		says   string
	}{
		"none":           {known{token.ID: record(token)}, "", "show a token"},
		"another scheme": {known{token.ID: record(token)}, "Basic " + token.Encode(), "show a token"},
		"long":           {known{token.ID: record(token)}, good + strings.Repeat(" ", maxHeader), "show a token"},
		"damaged":        {known{token.ID: record(token)}, good[:len(good)-1], "not a valid token"},
		"unknown":        {known{token.ID: record(token)}, "Bearer " + other.Encode(), "not known to this fleet"},
		"wrong secret":   {known{token.ID: record(token)}, "Bearer " + wrongSecret, "not known to this fleet"},
		"for joining":    {with(func(r *proto.Token) { r.Kind = proto.TokenJoin }), good, "not known to this fleet"},
		"without a hash": {with(func(r *proto.Token) { r.Hash = nil }), good, "not known to this fleet"},
		"revoked":        {with(func(r *proto.Token) { r.RevokedAt = now - 1 }), good, "was revoked"},
		"expired":        {with(func(r *proto.Token) { r.ExpiresAt = now }), good, "expired"},
	} {
		if p, err := Authenticate(c.tokens, c.header, now); !errors.Is(err, ErrUnauthorised) || !strings.Contains(err.Error(), c.says) || p != (Principal{}) {
			t.Errorf("%s: %v %v, want %q", name, p, err, c.says)
		}
	}
}

func TestARoleCoversThoseBelowIt(t *testing.T) {
	order := []proto.Role{proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin}
	for have, role := range order {
		for need, needed := range order {
			err := Authorise(Principal{Name: "ann", Token: "1", Role: role}, needed)
			if (err == nil) != (have >= need) {
				t.Errorf("%s for %s: %v", role, needed, err)
			}
			var denied *Denied
			if err != nil && (!errors.As(err, &denied) || !strings.Contains(err.Error(), "takes the role "+string(needed))) {
				t.Errorf("%s for %s: %v", role, needed, err)
			}
		}
	}
	for _, r := range []proto.Role{"", proto.RoleAgent, proto.RoleCoordinator} {
		if Authorise(Principal{Role: r}, proto.RoleViewer) == nil || Authorise(Principal{Role: proto.RoleAdmin}, r) == nil {
			t.Errorf("the role %q counts", r)
		}
	}
}

func TestARecordIsOneLineOfJSON(t *testing.T) {
	var out bytes.Buffer
	a := NewAudit(slog.NewJSONHandler(&out, nil))
	a.Write(t.Context(), Record{Actor: "ann/1", Role: "operator", Method: "PUT /v1/types/{name}", Object: "m.small\n{}", Code: "refused", Reason: "in use"})
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]string{
		"level": "INFO", "msg": "audit", "actor": "ann/1", "role": "operator", "from": "", "method": "PUT /v1/types/{name}",
		"object": "m.small\n{}", "request": "", "result": "refused", "reason": "in use",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
		t.Errorf("%d lines", n)
	}
}
