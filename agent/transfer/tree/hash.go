package tree

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/poly1305" //nolint:staticcheck // deprecated as a MAC for messages; here it is a universal hash, see DESIGN.md
)

// BlockSize is the unit in which content is compared, in bytes.
const BlockSize = 32 << 10

// Key makes tags unpredictable for those who choose the content. It is drawn for every index.
type Key [32]byte

// Tag stands for the content of a block: Poly1305 under a random key. Two different blocks have the same tag with a
// probability below 2⁻⁹² (Bernstein, The Poly1305-AES message-authentication code, 2005, theorem 3.3) if they were chosen without knowing the key.
type Tag [poly1305.TagSize]byte

func newKey() (k Key) {
	rand.Read(k[:])
	return k
}

func (k *Key) tag(b []byte) Tag {
	var t [poly1305.TagSize]byte
	poly1305.Sum(&t, b, (*[32]byte)(k))
	return t
}

// zeros knows the tags of blocks of zeros.
type zeros struct {
	key  Key
	full Tag
	buf  []byte
}

func newZeros(key Key) *zeros {
	z := &zeros{key: key, buf: make([]byte, BlockSize)}
	z.full = key.tag(z.buf)
	return z
}

// of returns the tag of n zeros.
func (z *zeros) of(n int) Tag {
	if n == BlockSize {
		return z.full
	}
	return z.key.tag(z.buf[:n])
}

// digest sums up a tree: every entry in order and the tags of its content. Both sides compute it from what they hold.
type digest struct {
	h   hash.Hash
	buf []byte
}

func newDigest(key Key) *digest {
	d := &digest{h: sha256.New()}
	d.h.Write(key[:])
	return d
}

// entry adds an entry; the tags of a file's blocks must follow.
func (d *digest) entry(e *Entry) {
	d.buf = e.append(append(d.buf[:0], 0, 0, 0, 0))
	binary.BigEndian.PutUint32(d.buf, uint32(len(d.buf)))
	d.h.Write(d.buf)
}

func (d *digest) tag(t Tag) { d.h.Write(t[:]) }

func (d *digest) sum() []byte { return d.h.Sum(nil) }
