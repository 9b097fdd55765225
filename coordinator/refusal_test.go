package coordinator

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func TestWhatTheTablesRefuseIsToldOverTheWireAsARefusal(t *testing.T) {
	for code, want := range map[proto.ResultCode]wire.Code{
		proto.ResultRefused: wire.Refused, proto.ResultConflict: wire.Conflict, proto.ResultStale: wire.Conflict, proto.ResultNotFound: wire.NotFound, proto.ResultInvalid: wire.Invalid,
	} {
		err := told(fmt.Errorf("join: %w", proto.Result{Code: code, Message: "token x was used"}.Err()))
		if wire.CodeOf(err) != want || err.Error() != "token x was used" || !IsRefusal(err) {
			t.Errorf("%s: %s, %v", code, wire.CodeOf(err), err)
		}
	}
	if broken := errors.New("no leader"); !errors.Is(told(broken), broken) || told(nil) != nil {
		t.Error("what failed is taken for a refusal")
	}
}

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
