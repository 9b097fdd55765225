// Package frame cuts a byte stream into frames with a kind and a bounded length.
package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Max is the length in bytes of the largest payload.
const Max = 256 << 10

const headerSize = 5

// ErrMalformed says that what was read is no frame.
var ErrMalformed = errors.New("malformed frame")

// Append appends a frame of the parts, joined, to dst.
func Append(dst []byte, kind byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// Write writes one frame of the parts, joined. A payload above Max is refused: the reader would refuse it, too.
func Write(w io.Writer, kind byte, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > Max {
		return fmt.Errorf("write a frame of %d bytes: the most is %d", n, Max)
	}
	if n <= 4<<10 {
		// One write for a small frame: it may be a system call, or a TLS record.
		_, err := w.Write(Append(make([]byte, 0, headerSize+n), kind, parts...))
		return err
	}
	var h [headerSize]byte
	h[0] = kind
	binary.BigEndian.PutUint32(h[1:], uint32(n))
	if _, err := w.Write(h[:]); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Reader reads frames. It never allocates more than the limit that it was made with, whatever a header declares.
type Reader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

// NewReader returns a reader of frames with payloads of at most limit bytes.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), max: min(limit, Max)}
}

// Limit changes how long payloads may be from now on.
func (r *Reader) Limit(limit int) { r.max = min(limit, Max) }

// Next returns the next frame. The payload is good until the next call. The error is io.EOF at an end between two frames,
// io.ErrUnexpectedEOF inside one, and wraps ErrMalformed when the frame is too long.
func (r *Reader) Next() (kind byte, payload []byte, err error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if int64(n) > int64(r.max) {
		return 0, nil, fmt.Errorf("%w: kind %q declares %d bytes, the most is %d", ErrMalformed, h[0], n, r.max)
	}
	if cap(r.buf) < int(n) {
		r.buf = make([]byte, n)
	}
	payload = r.buf[:n]
	if _, err := io.ReadFull(r.r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return h[0], payload, nil
}

// Rest returns what follows the frames that were read, for a stream that goes over to plain bytes.
func (r *Reader) Rest() io.Reader { return r.r }
