package fence

import (
	"testing"

	"github.com/glidepath/glidepath/proto"
)

func TestAHostThatGaveAnInstanceAwayCanBecomeItsTargetUnderTheSameFence(t *testing.T) {
	token := Token{Incarnation: 1, Fence: 3}
	retired := Record{Instance: "cache-1", Migration: "m1", State: proto.FenceRetired, Token: token}
	back := Request{Instance: "cache-1", Migration: "m2", Token: token}
	r, err := retired.Prepare(back)
	if err != nil || r.State != proto.FenceTarget {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := retired.Prepare(Request{Instance: "cache-1", Migration: "m1", Token: token}); err == nil {
		t.Fatal("the migration that it gave the instance away in prepared it again")
	}
	refused := retired
	refused.State = proto.FenceRefused
	if _, err := refused.Prepare(back); err == nil {
		t.Fatal("a host that refused this fence became a target under it")
	}
}
