package state

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/proto"
)

func done() proto.Result { return proto.Result{Code: proto.ResultOK} }

func fenced(fence uint64) proto.Result { return proto.Result{Code: proto.ResultOK, Fence: fence} }

func answer(c proto.ResultCode, format string, args ...any) proto.Result {
	return proto.Result{Code: c, Message: fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) proto.Result {
	return answer(proto.ResultRefused, format, args...)
}

func invalid(format string, args ...any) proto.Result {
	return answer(proto.ResultInvalid, format, args...)
}

func stale(format string, args ...any) proto.Result {
	return answer(proto.ResultStale, format, args...)
}

func conflict(format string, args ...any) proto.Result {
	return answer(proto.ResultConflict, format, args...)
}

func missing(what, name string) proto.Result {
	return answer(proto.ResultNotFound, "there is no %s %q", what, name)
}

// refusal is the result of what the ledger refused.
func refusal(err error) proto.Result {
	var s *proto.Shortfall
	switch {
	case errors.As(err, &s):
		return proto.Result{Code: proto.ResultRefused, Message: s.Error(), Shortfall: s}
	case errors.Is(err, ledger.ErrUnknownHost), errors.Is(err, ledger.ErrUnknownReservation):
		return answer(proto.ResultNotFound, "%s", err)
	case errors.Is(err, ledger.ErrConflict):
		return conflict("%s", err)
	case errors.Is(err, ledger.ErrFull), errors.Is(err, ledger.ErrInUse):
		return refused("%s", err)
	default:
		return invalid("%s", err)
	}
}

// equal reports whether two records encode alike: an empty list is the same as none, as it is after an export.
func equal(a, b any) bool {
	x, errX := proto.Marshal(a)
	y, errY := proto.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// text returns an error unless s is short enough to be kept for good.
func text(what, s string) error {
	if len(s) > proto.MaxTextLength {
		return fmt.Errorf("the %s has %d bytes: use at most %d", what, len(s), proto.MaxTextLength)
	}
	return nil
}
