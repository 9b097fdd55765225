package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// A frame is kind (1 byte), flags (1), length of the payload (2), stream (8), payload; integers big-endian. See DESIGN.md.

type kind uint8

const (
	kindOpen   kind = 1 // milliseconds until the deadline (4 bytes, 0: none), method
	kindData   kind = 2 // a piece of a message
	kindReset  kind = 3 // the stream is over both ways; an error
	kindCredit kind = 4 // how much more may be sent (4 bytes)
	kindPing   kind = 5 // 8 bytes, returned as they are
	kindPong   kind = 6
)

type flags uint8

const (
	flagLast      flags = 1 << 0 // of data: the message ends here
	flagEnd       flags = 1 << 1 // of data: the sender sends nothing more; without flagLast the payload is empty
	flagStreaming flags = 1 << 2 // of open: a stream, else a call
)

const (
	headerSize = 12
	// maxPayload is small enough that one large message does not hold up the others on a slow link for long.
	maxPayload = 32 << 10
	maxMethod  = 128
	// window is how much of a stream may be on its way or waiting to be received.
	window = 256 << 10
	// frameCost is counted against the window for every frame beside its payload, so that empty ones are not free.
	frameCost = 64
)

// errProtocol is wrapped by what the peer can only send by being broken or hostile; it ends the session.
var errProtocol = errors.New("protocol violation")

type frame struct {
	kind    kind
	flags   flags
	stream  uint64
	payload []byte
}

func appendFrame(dst []byte, f frame) []byte {
	dst = append(dst, byte(f.kind), byte(f.flags))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.payload)))
	dst = binary.BigEndian.AppendUint64(dst, f.stream)
	return append(dst, f.payload...)
}

// readFrame reads one frame and checks all that can be checked without knowing its stream. It allocates at most maxPayload.
func readFrame(r io.Reader) (frame, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: kind(h[0]), flags: flags(h[1]), stream: binary.BigEndian.Uint64(h[4:])}
	length := int(binary.BigEndian.Uint16(h[2:]))
	if err := f.check(length); err != nil {
		return frame{}, err
	}
	if length > 0 {
		f.payload = make([]byte, length)
		if _, err := io.ReadFull(r, f.payload); err != nil {
			return frame{}, noEOF(err)
		}
	}
	return f, nil
}

func (f frame) check(length int) error {
	var least, most int
	var allowed flags
	switch f.kind {
	case kindOpen:
		least, most, allowed = 4+1, 4+maxMethod, flagStreaming
	case kindData:
		most, allowed = maxPayload, flagLast|flagEnd
		if f.flags == flagEnd {
			most = 0
		}
	case kindReset:
		least, most = 3, 3+maxMessage+MaxDetail
	case kindCredit:
		least, most = 4, 4
	case kindPing, kindPong:
		least, most = 8, 8
	default:
		return fmt.Errorf("%w: unknown frame %d", errProtocol, f.kind)
	}
	switch {
	case length < least || length > most:
		return fmt.Errorf("%w: frame %d with %d bytes", errProtocol, f.kind, length)
	case f.flags&^allowed != 0:
		return fmt.Errorf("%w: frame %d with flags %#x", errProtocol, f.kind, f.flags)
	case (f.stream == 0) != (f.kind == kindPing || f.kind == kindPong):
		return fmt.Errorf("%w: frame %d on stream %d", errProtocol, f.kind, f.stream)
	}
	return nil
}

// openPayload carries the time that is left, not a time of day: the two clocks may differ.
func openPayload(method string, left time.Duration) []byte {
	ms := uint32(0)
	if left > 0 {
		// Rounded up, so that a caller with half a millisecond left does not say "no deadline".
		ms = uint32(min((left+time.Millisecond-1)/time.Millisecond, math.MaxUint32))
	}
	return append(binary.BigEndian.AppendUint32(nil, ms), method...)
}

func parseOpen(payload []byte) (method string, left time.Duration) {
	return string(payload[4:]), time.Duration(binary.BigEndian.Uint32(payload)) * time.Millisecond
}

// noEOF keeps a connection that ends inside a frame from looking like one that ended properly.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
