package coordinator

import (
	"errors"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

// ErrOtherCA is wrapped when a snapshot is of another fleet than the CA that is to restore it.
var ErrOtherCA = errors.New("the CA is of another fleet")

// IsRefusal reports whether an error of Init, Join or Restore is an answer of no, from the fleet that is to be joined or from what the data folder
// has: nothing was changed. Others are about what could not be read, written or reached.
func IsRefusal(err error) bool {
	return refusesJoin(err) || wire.CodeOf(err) == wire.Unauthorized || errors.Is(err, pki.ErrPin) || errors.Is(err, ErrFounded) || errors.Is(err, ErrOtherCA) || errors.Is(err, durable.ErrLocked)
}

// refusesJoin reports whether whoever was asked has decided that this coordinator does not join: asking another one does not help. One that does not know
// the token may only be behind, and one of another fleet be at an address that was this fleet's.
func refusesJoin(err error) bool {
	switch wire.CodeOf(err) {
	case wire.Refused, wire.Invalid, wire.Conflict, wire.NotFound:
		return true
	}
	return false
}
