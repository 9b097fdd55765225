package fence_test

import (
	"testing"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

func TestASourceCanMakeOnlyItsOwnPreparedTargetRefuse(t *testing.T) {
	for _, state := range states {
		r, err := in(t, state).RefuseSource(request(12))
		if allowed := state == proto.FenceTarget; (err == nil) != allowed || allowed && (r.State != proto.FenceRefused || r.Refused != fence.Token{Incarnation: 1, Fence: 12}) {
			t.Errorf("%q: became %q, %v", state, r.State, err)
		}
	}
	other, later, restored := request(12), request(13), request(12)
	other.Migration = "m-2"
	restored.Token.Incarnation = 2
	for name, q := range map[string]fence.Request{"another migration": other, "beyond the commit's token": later, "another incarnation": restored} {
		if r, err := in(t, proto.FenceTarget).RefuseSource(q); err == nil {
			t.Errorf("%s: became %q", name, r.State)
		}
	}
}

func TestOnlyARefusalThatReachesTheTokenIsOne(t *testing.T) {
	other := request(10)
	other.Migration = "m-2"
	for _, state := range states {
		r := in(t, state)
		if got := r.HasRefused(request(10)); got != (state == proto.FenceRefused) {
			t.Errorf("%q: %v", state, got)
		}
		if r.HasRefused(request(11)) || r.HasRefused(other) {
			t.Errorf("%q has refused what it was not asked for", state)
		}
	}
	cleaned, err := in(t, proto.FenceRefused).Clean(request(11))
	if err != nil || !cleaned.HasRefused(request(10)) {
		t.Errorf("cleaned: %+v, %v", cleaned, err)
	}
}

func TestThatASourceWasNotStartedYetIsForgottenWithAnyNewerDecision(t *testing.T) {
	thawed, err := in(t, proto.FenceFrozen).ThawRefused("m-1", fence.Token{Incarnation: 1, Fence: 11})
	if err != nil || !thawed.Unstarted || thawed.Peer != (proto.Peer{}) {
		t.Fatalf("%+v, %v", thawed, err)
	}
	if thawed.Started().Unstarted {
		t.Error("it was started")
	}
	for name, transition := range transitions {
		if next, err := transition(thawed, request(12)); err == nil && next.Unstarted {
			t.Errorf("%s: still unstarted", name)
		}
	}
}
