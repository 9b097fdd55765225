package pki

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustMint(t testing.TB, addresses ...string) JoinToken {
	t.Helper()
	tok, err := MintJoin(Agent, "host-a", Pin{1, 2, 3}, addresses, noon, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestJoinTokenComesBackWhole(t *testing.T) {
	for _, want := range []JoinToken{mustMint(t), mustMint(t, "10.0.0.1:7647", "[fd00::1]:7647", "coord-1.example:7647")} {
		got, err := ParseJoin(" " + want.Encode() + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(JoinToken{})); diff != "" {
			t.Error(diff)
		}
		if !got.Hash().Matches(want.Hash()) {
			t.Error("the hash changed")
		}
		if !got.Expires.Equal(noon.Add(time.Hour)) {
			t.Errorf("expires %v", got.Expires)
		}
	}
}

func TestNoTwoTokensAreAlike(t *testing.T) {
	a, b := mustMint(t), mustMint(t)
	if a.ID == b.ID || a.Hash().Matches(b.Hash()) {
		t.Error("two tokens are alike")
	}
	// A secret is worth nothing under another ID, or as a token of the other sort.
	b.secret = a.secret
	if a.Hash().Matches(b.Hash()) || a.Hash().Matches(AdminToken{ID: a.ID, secret: a.secret}.Hash()) {
		t.Error("the hash covers the secret alone")
	}
}

// Every change of one character is found, except by those who know what they do, whom the hash stops.
func TestTamperedJoinTokenIsRefused(t *testing.T) {
	text := mustMint(t, "10.0.0.1:7647").Encode()
	for i := range text {
		for _, c := range []byte("A_-z0.\n ") {
			if text[i] == c {
				continue
			}
			changed := text[:i] + string(c) + text[i+1:]
			if strings.TrimSpace(changed) == text {
				continue
			}
			if tok, err := ParseJoin(changed); !errors.Is(err, ErrToken) {
				t.Fatalf("character %d as %q: %v, %v", i, c, tok, err)
			}
		}
	}
	for _, bad := range []string{"", "gpj1.", text[:len(text)-1], text + "A", strings.ToUpper(text), "gpa1" + text[4:], "gpj1." + strings.Repeat("A", 1<<20)} {
		if _, err := ParseJoin(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func TestMintJoinRefusesWhatDoesNotFit(t *testing.T) {
	for name, mint := range map[string]func() (JoinToken, error){
		"kind":           func() (JoinToken, error) { return MintJoin("admin", "", Pin{}, nil, noon, 0) },
		"name":           func() (JoinToken, error) { return MintJoin(Agent, "Host A", Pin{}, nil, noon, 0) },
		"many addresses": func() (JoinToken, error) { return MintJoin(Agent, "", Pin{}, make([]string, 9), noon, 0) },
		"empty address":  func() (JoinToken, error) { return MintJoin(Agent, "", Pin{}, []string{""}, noon, 0) },
		"long address": func() (JoinToken, error) {
			return MintJoin(Agent, "", Pin{}, []string{strings.Repeat("a", 256)}, noon, 0)
		},
	} {
		if _, err := mint(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestAdminTokenComesBackWholeAndNothingElse(t *testing.T) {
	want := MintAdmin()
	text := want.Encode()
	got, err := ParseAdmin(text + "\n")
	if err != nil || got != want || !got.Hash().Matches(want.Hash()) {
		t.Fatalf("%v, %v", got, err)
	}
	other, err := ParseAdmin(text[:len(text)-1] + map[bool]string{true: "1", false: "0"}[text[len(text)-1] == '0'])
	if err != nil || other.Hash().Matches(want.Hash()) {
		t.Errorf("another secret matches: %v", err)
	}
	for _, bad := range []string{"", text[:len(text)-1], text + "0", strings.ToUpper(text), "gpa1.AB" + text[7:], strings.Replace(text[5:], ".", "x", 1), mustMint(t).Encode()} {
		if _, err := ParseAdmin(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
}

func TestTokensDoNotPrintTheirSecret(t *testing.T) {
	join, admin := mustMint(t), MintAdmin()
	for _, printed := range []string{
		fmt.Sprint(join), fmt.Sprintf("%v %+v %#v %s", join, join, join, &join),
		fmt.Sprint(admin), fmt.Sprintf("%v %+v %#v %s", admin, admin, admin, &admin),
	} {
		for _, s := range []secret{join.secret, admin.secret} {
			_, goForm, _ := strings.Cut(fmt.Sprintf("%#v", s), "{")
			for _, form := range []string{fmt.Sprintf("%x", s[:]), strings.Trim(fmt.Sprint(s[:]), "[]"), goForm} {
				if strings.Contains(printed, form) {
					t.Errorf("a secret is in %s", printed)
				}
			}
		}
	}
}

func FuzzParseJoin(f *testing.F) {
	f.Add(mustMint(f).Encode())
	f.Add(mustMint(f, "a:1", "b:2").Encode())
	f.Fuzz(func(t *testing.T, text string) {
		if tok, err := ParseJoin(text); err == nil && tok.Encode() != strings.TrimSpace(text) {
			t.Errorf("%q has a second spelling", text)
		}
	})
}

func FuzzParseAdmin(f *testing.F) {
	f.Add(MintAdmin().Encode())
	f.Fuzz(func(t *testing.T, text string) {
		if tok, err := ParseAdmin(text); err == nil && tok.Encode() != strings.TrimSpace(text) {
			t.Errorf("%q has a second spelling", text)
		}
	})
}
