package state

import (
	"bytes"
	"testing"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"pgregory.net/rapid"
)

func TestAFleetThatIsNotThereIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.must(&proto.HostSet{Host: "a", Cordoned: true})
	w.must(&proto.HostWindow{Host: "a", Put: &proto.CapacityWindow{ID: "disks", Span: timeline.Span{Start: w.now, End: w.now + 1000}, Whole: true}, Force: true})
	v := w.s.View()
	got, err := v.With(proto.WhatIf{Add: 2, Like: "a", Without: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	fits := func(host string, n int64) bool {
		return got.Ledger().Fits(ledger.Change{Hold: []proto.Reservation{w.keep("x", host, n)}}) == nil
	}
	for _, host := range []string{"a+1", "a+2"} {
		if h, ok := got.Host(host); !ok || h.Cordoned || len(h.Windows) != 0 || LeftOut(h) || !fits(host, 95) || fits(host, 96) { // as on a, 5 are the system's
			t.Errorf("%s: %+v", host, h)
		}
		if has := got.InstancesOn(host); len(has) != 0 {
			t.Errorf("%s has %+v", host, has)
		}
	}
	b, _ := got.Host("b")
	if c, _ := got.Host("c"); !b.Cordoned || !LeftOut(b) || c.Cordoned || LeftOut(c) || !fits("c", 95) {
		t.Errorf("%+v, %+v", b, c)
	}
	if was, _ := v.Host("b"); was.Cordoned || LeftOut(was) {
		t.Errorf("%+v", was)
	}
	if proto.ValidID("window", leftOut) == nil {
		t.Error("a window of a fleet can be called as that of a host that is left out")
	}
	more, err := got.With(proto.WhatIf{Add: 1, Like: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := more.Host("a+3"); !ok {
		t.Error("a host more in a fleet that has two more already takes the place of one of them")
	}
	if proto.ValidName("host", Added("a", 1)) == nil {
		t.Error("a host of the fleet can have the name of one that is added")
	}
	for _, bad := range []proto.WhatIf{{Add: 1, Like: "x"}, {Add: -1, Like: "a"}, {Add: proto.MaxList + 1, Like: "a"}, {Without: []string{"x"}}} {
		if _, err := v.With(bad); err == nil {
			t.Errorf("%+v is answered", bad)
		}
	}
}

func TestAskingLeavesTheFleetAsItIs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := &fuzzyWorld{newWorld(rt), rt}
		for range rapid.IntRange(0, 40).Draw(rt, "commands") {
			f.step()
		}
		v := f.s.View()
		before := export(rt, v)
		for range rapid.IntRange(1, 3).Draw(rt, "questions") {
			got, err := v.With(proto.WhatIf{Add: rapid.IntRange(0, 3).Draw(rt, "add"), Like: "c", Without: rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b"}), rapid.ID).Draw(rt, "without")})
			if err != nil {
				continue // a host of that name was forgotten
			}
			for host := range got.Hosts() {
				_ = got.Ledger().Clone().Hold(f.keep("what-if", host.Facts.Name, 1))
			}
		}
		if !bytes.Equal(before, export(rt, v)) || !bytes.Equal(before, export(rt, f.s.View())) {
			rt.Fatal("a question changed the state")
		}
	})
}
