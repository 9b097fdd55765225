package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
)

// JoinTokenLife is how long a join token is good for unless said otherwise.
const JoinTokenLife = time.Hour

// Limits of what a join token carries.
const (
	MaxTokenAddresses = 8
	maxAddress        = 255
	maxToken          = 4 << 10
)

const (
	joinPrefix  = "gpj1."
	adminPrefix = "gpa1."
	tokenIDSize = 8
)

// ErrToken is wrapped by the errors of tokens that are no tokens, or were damaged on their way.
var ErrToken = errors.New("not a valid token")

// TokenHash is what the fleet keeps of a token.
//
// It is a plain SHA-256: slow password hashes are for secrets that people choose. This one has 128 random bits, which nobody
// guesses at any speed, and a slow hash would only make a flood of wrong tokens expensive for the coordinator.
type TokenHash [sha256.Size]byte

// Matches compares in constant time.
func (h TokenHash) Matches(other TokenHash) bool {
	return subtle.ConstantTimeCompare(h[:], other[:]) == 1
}

// secret is 128 random bits.
type secret [16]byte

// hashToken covers prefix and ID, so that a secret is good for the one token that it was made for.
func hashToken(prefix, id string, s secret) TokenHash {
	h := sha256.New()
	h.Write([]byte(prefix + id + "."))
	h.Write(s[:])
	return TokenHash(h.Sum(nil))
}

func newTokenID() string {
	var id [tokenIDSize]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

func newSecret() secret {
	var s secret
	rand.Read(s[:])
	return s
}

// JoinToken lets one process join the fleet once. What it says of role, name and expiry is for the joiner to know beforehand; what
// holds is what the fleet keeps beside the hash.
type JoinToken struct {
	ID        string // 16 hexadecimal digits, no secret
	Kind      Kind
	Name      string // bound to this name; empty: any
	Pin       Pin
	Expires   time.Time // whole seconds, UTC
	Addresses []string  // of coordinators, host:port; may be empty
	secret    secret
}

// MintJoin makes a join token with a new ID and secret, valid for life (0: JoinTokenLife) from now.
func MintJoin(kind Kind, name string, pin Pin, addresses []string, now time.Time, life time.Duration) (JoinToken, error) {
	if life == 0 {
		life = JoinTokenLife
	}
	t := JoinToken{
		ID: newTokenID(), Kind: kind, Name: name, Pin: pin, Addresses: addresses,
		Expires: now.Add(life).UTC().Truncate(time.Second), secret: newSecret(),
	}
	if err := t.check(); err != nil {
		return JoinToken{}, fmt.Errorf("make a join token: %w", err)
	}
	return t, nil
}

func (t JoinToken) check() error {
	if !t.Kind.Valid() {
		return fmt.Errorf("%q is neither agent nor coordinator", t.Kind)
	}
	if t.Name != "" {
		if err := CheckName(t.Name); err != nil {
			return err
		}
	}
	if len(t.Addresses) > MaxTokenAddresses {
		return fmt.Errorf("%d addresses are more than the %d that fit", len(t.Addresses), MaxTokenAddresses)
	}
	for _, a := range t.Addresses {
		if a == "" || len(a) > maxAddress {
			return fmt.Errorf("%.40q is no address", a)
		}
	}
	return nil
}

// Hash returns what the fleet keeps to recognise the token.
func (t JoinToken) Hash() TokenHash { return hashToken(joinPrefix, t.ID, t.secret) }

// String returns the token without its secret, for logs and tables.
func (t JoinToken) String() string { return joinPrefix + t.ID + "…" }

// GoString does what String does, for %#v.
func (t JoinToken) GoString() string { return t.String() }

// Encode returns the token as it is handed over: whoever reads it can join.
//
// Binary, in base64: ID 8, secret 16, expiry 8 (Unix seconds), pin 32, kind 1, name and addresses each with a length before them, CRC-32C 4.
func (t JoinToken) Encode() string {
	id, _ := hex.DecodeString(t.ID)
	b := slices.Concat(id, t.secret[:])
	b = binary.BigEndian.AppendUint64(b, uint64(t.Expires.Unix()))
	b = append(b, t.Pin[:]...)
	b = append(b, kindByte(t.Kind))
	b = appendString(b, t.Name)
	b = append(b, byte(len(t.Addresses)))
	for _, a := range t.Addresses {
		b = appendString(b, a)
	}
	b = binary.BigEndian.AppendUint32(b, tokenSum(b))
	return joinPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseJoin reads a token that Encode wrote. It does not judge the expiry: the joiner's clock may be wrong, the fleet's counts.
func ParseJoin(text string) (JoinToken, error) {
	t, err := parseJoin(strings.TrimSpace(text))
	if err != nil {
		return JoinToken{}, fmt.Errorf("join token: %w: %w; copy it again, or make a new one with: glidepath token create --role agent, or --role coordinator", ErrToken, err)
	}
	return t, nil
}

func parseJoin(text string) (JoinToken, error) {
	if len(text) > maxToken {
		return JoinToken{}, fmt.Errorf("it has %d characters, more than %d", len(text), maxToken)
	}
	body, ok := strings.CutPrefix(text, joinPrefix)
	if !ok {
		return JoinToken{}, fmt.Errorf("it does not begin with %q", joinPrefix)
	}
	// Strict, and no line breaks: one token has one spelling.
	data, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || strings.ContainsAny(body, "\r\n") {
		return JoinToken{}, errors.New("it has characters that no token has")
	}
	if len(data) < 4 || tokenSum(data[:len(data)-4]) != binary.BigEndian.Uint32(data[len(data)-4:]) {
		return JoinToken{}, errors.New("a part is missing or changed")
	}
	r := reader{rest: data[:len(data)-4]}
	t := JoinToken{ID: hex.EncodeToString(r.take(tokenIDSize))}
	copy(t.secret[:], r.take(len(t.secret)))
	t.Expires = time.Unix(int64(r.uint64()), 0).UTC()
	copy(t.Pin[:], r.take(len(t.Pin)))
	t.Kind = kindOf(r.byte())
	t.Name = r.string()
	for range min(r.byte(), MaxTokenAddresses+1) {
		t.Addresses = append(t.Addresses, r.string())
	}
	if r.short || len(r.rest) > 0 {
		return JoinToken{}, errors.New("its parts do not add up")
	}
	return t, t.check()
}

// AdminToken is what a person or program shows to the API.
type AdminToken struct {
	ID     string // 16 hexadecimal digits, no secret
	secret secret
}

// MintAdmin makes an admin token.
func MintAdmin() AdminToken { return AdminToken{ID: newTokenID(), secret: newSecret()} }

// Hash returns what the fleet keeps to recognise the token.
func (t AdminToken) Hash() TokenHash { return hashToken(adminPrefix, t.ID, t.secret) }

// String returns the token without its secret, for logs and tables.
func (t AdminToken) String() string { return adminPrefix + t.ID + "…" }

// GoString does what String does, for %#v.
func (t AdminToken) GoString() string { return t.String() }

// Encode returns the token as it is handed over: gpa1.ID.SECRET.
func (t AdminToken) Encode() string {
	return adminPrefix + t.ID + "." + hex.EncodeToString(t.secret[:])
}

// ParseAdmin reads a token that Encode wrote.
func ParseAdmin(text string) (AdminToken, error) {
	text = strings.TrimSpace(text)
	var t AdminToken
	const size = len(adminPrefix) + 2*tokenIDSize + 1 + 2*len(t.secret)
	if len(text) != size || !strings.HasPrefix(text, adminPrefix) || text[len(adminPrefix)+2*tokenIDSize] != '.' {
		return AdminToken{}, fmt.Errorf("admin token: %w: it is not of the form %sID.SECRET", ErrToken, adminPrefix)
	}
	id, key, _ := strings.Cut(text[len(adminPrefix):], ".")
	idBytes, err := hex.DecodeString(id)
	keyBytes, keyErr := hex.DecodeString(key)
	if err != nil || keyErr != nil || text != strings.ToLower(text) {
		return AdminToken{}, fmt.Errorf("admin token: %w: it has characters that no token has", ErrToken)
	}
	t.ID = hex.EncodeToString(idBytes)
	copy(t.secret[:], keyBytes)
	return t, nil
}

// GossipKeySize is the length of a gossip key in bytes: AES-256.
const GossipKeySize = 32

// NewGossipKey makes a key for the encryption of gossip.
func NewGossipKey() []byte {
	key := make([]byte, GossipKeySize)
	rand.Read(key)
	return key
}

func kindByte(k Kind) byte {
	if k == Coordinator {
		return 2
	}
	return 1
}

func kindOf(b int) Kind {
	switch b {
	case 1:
		return Agent
	case 2:
		return Coordinator
	}
	return ""
}

func tokenSum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

func appendString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// reader takes fields off a slice; once it runs short it gives zeros.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if r.short = r.short || len(r.rest) < n; r.short {
		return make([]byte, n)
	}
	var field []byte
	field, r.rest = r.rest[:n], r.rest[n:]
	return bytes.Clone(field)
}

func (r *reader) byte() int      { return int(r.take(1)[0]) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) string() string { return string(r.take(r.byte())) }
