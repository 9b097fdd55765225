package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors that Check finds. They wrap ErrMalformed.
var (
	ErrMalformed = errors.New("malformed message")
	errTruncated = fmt.Errorf("%w: it ends early", ErrMalformed)
	errTrailing  = fmt.Errorf("%w: bytes follow the value", ErrMalformed)
	errDeep      = fmt.Errorf("%w: nested deeper than %d", ErrMalformed, MaxDepth)
	errCount     = fmt.Errorf("%w: it declares more elements than it has bytes", ErrMalformed)
	errExtension = fmt.Errorf("%w: extension types are not used here", ErrMalformed)
)

// Check reports whether b is exactly one msgpack value whose declared lengths fit in the bytes that are left and which
// nests at most MaxDepth deep. It allocates nothing: msgpack's decoder allocates what a length declares before it
// has seen a byte of it, and recurses without bound.
func Check(b []byte) error {
	rest, err := skip(b, 0)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return errTrailing
	}
	return nil
}

// skip returns what follows the first value of b.
func skip(b []byte, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, errDeep
	}
	if len(b) == 0 {
		return nil, errTruncated
	}
	c, b := b[0], b[1:]
	switch {
	case c <= 0x7f || c >= 0xe0: // small integers
		return b, nil
	case c <= 0x8f:
		return skipMany(b, 2*uint64(c&0x0f), depth)
	case c <= 0x9f:
		return skipMany(b, uint64(c&0x0f), depth)
	case c <= 0xbf:
		return drop(b, uint64(c&0x1f))
	}
	switch c {
	case 0xc0, 0xc2, 0xc3: // nil, false, true
		return b, nil
	case 0xc4, 0xd9: // bin 8, str 8
		return dropCounted(b, 1)
	case 0xc5, 0xda:
		return dropCounted(b, 2)
	case 0xc6, 0xdb:
		return dropCounted(b, 4)
	case 0xcc, 0xd0:
		return drop(b, 1)
	case 0xcd, 0xd1:
		return drop(b, 2)
	case 0xca, 0xce, 0xd2:
		return drop(b, 4)
	case 0xcb, 0xcf, 0xd3:
		return drop(b, 8)
	case 0xdc, 0xdd, 0xde, 0xdf: // array 16/32, map 16/32
		size := 2
		if c == 0xdd || c == 0xdf {
			size = 4
		}
		n, b, err := count(b, size)
		if err != nil {
			return nil, err
		}
		if c >= 0xde {
			n *= 2
		}
		return skipMany(b, n, depth)
	default: // 0xc1 is unused; the rest are extensions
		return nil, errExtension
	}
}

// skipMany skips n values. Each takes at least a byte, so a count above the bytes left is a lie.
func skipMany(b []byte, n uint64, depth int) ([]byte, error) {
	if n > uint64(len(b)) {
		return nil, errCount
	}
	var err error
	for ; n > 0; n-- {
		if b, err = skip(b, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func drop(b []byte, n uint64) ([]byte, error) {
	if n > uint64(len(b)) {
		return nil, errTruncated
	}
	return b[n:], nil
}

func dropCounted(b []byte, size int) ([]byte, error) {
	n, b, err := count(b, size)
	if err != nil {
		return nil, err
	}
	return drop(b, n)
}

// count reads a big-endian length of 1, 2 or 4 bytes.
func count(b []byte, size int) (uint64, []byte, error) {
	if len(b) < size {
		return 0, nil, errTruncated
	}
	switch size {
	case 1:
		return uint64(b[0]), b[1:], nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), b[2:], nil
	default:
		return uint64(binary.BigEndian.Uint32(b)), b[4:], nil
	}
}
