package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Code says what kind of failure a call ended in, so that the caller can decide. Codes travel as numbers: never renumber them.
type Code uint8

// The codes. Only Unavailable, Deadline and Canceled leave open whether the call was carried out.
const (
	OK           Code = 0
	Invalid      Code = 1  // the request makes no sense, now or later
	Refused      Code = 2  // the request makes sense, and the answer is no
	NotFound     Code = 3  // what it names does not exist
	Conflict     Code = 4  // the world changed since the request was made
	Unavailable  Code = 5  // the other end is gone, closing or too busy: try again
	NotLeader    Code = 6  // only the leader can: see LeaderOf
	Deadline     Code = 7  // it took too long
	Internal     Code = 8  // a fault of the other end
	Unauthorized Code = 9  // the peer may not
	Canceled     Code = 10 // the caller gave up
)

var codeNames = [...]string{
	"ok", "invalid", "refused", "not_found", "conflict", "unavailable", "not_leader", "deadline", "internal", "unauthorized", "canceled",
}

// String returns the code's name in logs and metrics.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// Error is a failure that survives the trip: errors.As finds it on the calling side as the handler returned it.
type Error struct {
	Code    Code
	Message string // for people: what failed, for which object, what to do
	Detail  []byte // for programs, by the code; at most MaxDetail bytes
	cause   error  // stays on the side where it happened
}

// Limits of an Error on the wire, in bytes.
const (
	MaxDetail  = 16 << 10
	maxMessage = 4 << 10
)

// Errorf makes an Error as fmt.Errorf does. What %w wraps is found by errors.Is and errors.As on this side only.
func Errorf(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// NotLeaderError tells the caller where the leader is; an empty address says that it is not known.
func NotLeaderError(leader string) error {
	message := "this coordinator is not the leader, and does not know it"
	if leader != "" {
		message = "this coordinator is not the leader; " + leader + " is"
	}
	return &Error{Code: NotLeader, Message: message, Detail: []byte(leader)}
}

// takenOut is the detail of an error that says so.
const takenOut = "taken-out"

// TakenOutError tells the caller that its key was taken out of the fleet, for good.
func TakenOutError(format string, args ...any) error {
	return &Error{Code: Unauthorized, Message: fmt.Sprintf(format, args...), Detail: []byte(takenOut)}
}

// TakenOut reports whether an error says that the key of this process was taken out of the fleet.
func TakenOut(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == Unauthorized && string(e.Detail) == takenOut
}

// LeaderOf returns the address that a NotLeaderError carries.
func LeaderOf(err error) (address string, ok bool) {
	var e *Error
	if errors.As(err, &e) && e.Code == NotLeader && len(e.Detail) > 0 {
		return string(e.Detail), true
	}
	return "", false
}

// Error returns the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Message
}

// Unwrap returns what Errorf wrapped.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of an error from anywhere: OK for nil, Internal for one that has none.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Internal
}

// encodeError returns the payload of a reset frame: code, length of the message, message, detail.
func encodeError(err error) []byte {
	message := err.Error()
	var detail []byte
	var e *Error
	if errors.As(err, &e) {
		detail = e.Detail
	}
	if len(detail) > MaxDetail {
		message += fmt.Sprintf(" (%d bytes of detail left out)", len(detail))
		detail = nil
	}
	if len(message) > maxMessage {
		message = message[:maxMessage]
		for !utf8.ValidString(message) && len(message) > maxMessage-utf8.UTFMax {
			message = message[:len(message)-1]
		}
	}
	b := []byte{byte(CodeOf(err))}
	b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	return append(append(b, message...), detail...)
}

func decodeError(b []byte) (*Error, error) {
	if len(b) < 3 || b[0] == byte(OK) {
		return nil, errors.New("an error frame without an error")
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n > len(b)-3 {
		return nil, errors.New("an error frame that ends early")
	}
	e := &Error{Code: Code(b[0]), Message: string(b[3 : 3+n])}
	if rest := b[3+n:]; len(rest) > 0 {
		e.Detail = rest
	}
	return e, nil
}
