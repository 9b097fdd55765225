package coordinator

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

func TestARefusalIsToldFromWhatFailed(t *testing.T) {
	for _, err := range []error{ErrFounded, ErrOtherCA, durable.ErrLocked, pki.ErrPin, wire.Errorf(wire.Unauthorized, "the join token is not known")} {
		if !IsRefusal(fmt.Errorf("join: %w", err)) {
			t.Errorf("%v is none", err)
		}
	}
	for _, err := range []error{nil, fs.ErrNotExist, wire.Errorf(wire.Unavailable, "gone"), errors.New("connection refused"), wire.NotLeaderError("")} {
		if IsRefusal(err) {
			t.Errorf("%v is one", err)
		}
	}
}
