package state

import (
	"slices"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

func TestEachPauseIsTakenBackByItself(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	on := func(host string) []proto.PausedBy { return w.s.View().PausedBy(w.instance("i"), host) }
	if by := on("a"); by != nil {
		t.Fatalf("at first it is paused by %v", by)
	}
	there := facts("a", 100)
	there.PausedAt = start
	for _, c := range []struct {
		body proto.Body
		want []proto.PausedBy
	}{
		{&proto.Pause{Instance: "i", Paused: true}, []proto.PausedBy{proto.PausedInstance}},
		{&proto.Pause{Instance: "i", Paused: true}, []proto.PausedBy{proto.PausedInstance}},
		{&proto.Pause{Host: "a", Paused: true}, []proto.PausedBy{proto.PausedHost, proto.PausedInstance}},
		{&proto.Pause{Paused: true}, []proto.PausedBy{proto.PausedFleet, proto.PausedHost, proto.PausedInstance}},
		{&proto.HostRegister{Facts: there, Incarnation: 1}, []proto.PausedBy{proto.PausedFleet, proto.PausedHost, proto.PausedThere, proto.PausedInstance}},
		{&proto.Pause{Host: "a"}, []proto.PausedBy{proto.PausedFleet, proto.PausedThere, proto.PausedInstance}},
		{&proto.Pause{}, []proto.PausedBy{proto.PausedThere, proto.PausedInstance}},
		{&proto.HostRegister{Facts: facts("a", 100), Incarnation: 1}, []proto.PausedBy{proto.PausedInstance}},
		{&proto.Pause{Instance: "i"}, nil},
		{&proto.Pause{Instance: "i"}, nil},
	} {
		w.must(c.body)
		if got := on("a"); !slices.Equal(got, c.want) {
			t.Fatalf("after %+v it is paused by %v, want %v", c.body, got, c.want)
		}
	}
	w.must(&proto.Pause{Host: "a", Paused: true})
	if by := on("b"); by != nil {
		t.Errorf("on another host it is paused by %v", by)
	}
	w.want(proto.ResultNotFound, &proto.Pause{Host: "z", Paused: true})
	w.want(proto.ResultNotFound, &proto.Pause{Instance: "z", Paused: true})
	w.want(proto.ResultInvalid, &proto.Pause{Host: "a", Instance: "i", Paused: true})
}

// What is paused stays so through a snapshot, a move and another word about the instance.
func TestAPauseLastsUntilItIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.must(&proto.Pause{Instance: "i", Paused: true})
	w.must(&proto.HostRegister{Facts: facts("a", 120), Incarnation: 1})
	w.must(&proto.Pause{Host: "a", Paused: true})
	w.must(&proto.HostRegister{Facts: facts("a", 100), Incarnation: 1})
	w.must(&proto.InstanceMode{Instance: "i", Mode: proto.Observe})
	w.must(&proto.InstanceMode{Instance: "i", Mode: proto.Enforce})
	w.settled("m", "i", "b", 40)
	w.must(&proto.MigrationComplete{Migration: "m", Fence: w.fence("i")})
	if by := w.s.View().PausedBy(w.instance("i"), "b"); !slices.Equal(by, []proto.PausedBy{proto.PausedInstance}) {
		t.Errorf("after its move it is paused by %v", by)
	}
	if by := w.s.View().PausedOn("a"); !slices.Equal(by, []proto.PausedBy{proto.PausedHost}) {
		t.Errorf("its old host is paused by %v", by)
	}
}
