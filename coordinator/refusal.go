package coordinator

import (
	"errors"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// ErrOtherCA is wrapped when a snapshot is of another fleet than the CA that is to restore it.
var ErrOtherCA = errors.New("the CA is of another fleet")

// IsRefusal reports whether an error of Init, Join or Restore is an answer of no, from the fleet that is to be joined or from what the data folder
// has: nothing was changed. Others are about what could not be read, written or reached.
func IsRefusal(err error) bool {
	return refusesJoin(err) || errors.Is(err, ErrFounded) || errors.Is(err, ErrOtherCA) || errors.Is(err, durable.ErrLocked)
}

// refusesJoin reports whether whoever was asked has decided that this coordinator does not join: asking another one does not help.
func refusesJoin(err error) bool {
	switch wire.CodeOf(err) {
	case wire.Refused, wire.Invalid, wire.Unauthorized, wire.Conflict, wire.NotFound:
		return true
	}
	return errors.Is(err, pki.ErrPin)
}

// told returns a refusal of the tables so that the caller on another machine can tell it from what failed.
func told(err error) error {
	var r *proto.Refusal
	if !errors.As(err, &r) {
		return err
	}
	code := wire.Refused
	switch r.Result.Code {
	case proto.ResultInvalid:
		code = wire.Invalid
	case proto.ResultNotFound:
		code = wire.NotFound
	case proto.ResultConflict, proto.ResultStale:
		code = wire.Conflict
	}
	return wire.Errorf(code, "%s", r.Result.Message)
}
