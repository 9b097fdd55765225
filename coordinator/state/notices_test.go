package state

import (
	"fmt"
	"testing"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestANoticeIsToldOnceAndCleared(t *testing.T) {
	w := newWorld(t)
	n := proto.Notice{ID: "short/a", Kind: proto.NoticeShort, Host: "a", Says: "a is short", Proposes: "move i", Missing: 5}
	w.must(&proto.NoticePut{Put: []proto.Notice{n}})
	began := w.now
	w.now += 60_000
	if _, changes := w.send(w.command(&proto.NoticePut{Put: []proto.Notice{n}})); len(changes) != 0 {
		t.Fatalf("what is told already changed %v", changes)
	}
	n.Missing = 7
	w.must(&proto.NoticePut{Put: []proto.Notice{n}})
	if got, _ := w.s.View().Notice("short/a"); got.Since != began || got.ChangedAt != w.now || got.Missing != 7 {
		t.Fatalf("%+v", got)
	}
	w.must(&proto.NoticePut{Clear: []string{"short/a", "short/none"}})
	if got, _ := w.s.View().Notice("short/a"); got.ClearedAt != w.now {
		t.Fatalf("%+v", got)
	}
	if _, changes := w.send(w.command(&proto.NoticePut{Clear: []string{"short/a"}})); len(changes) != 0 {
		t.Fatalf("what is cleared changed %v", changes)
	}
	w.now += 60_000
	w.must(&proto.NoticePut{Put: []proto.Notice{n}})
	if got, _ := w.s.View().Notice("short/a"); got.Since != w.now || got.ClearedAt != 0 {
		t.Fatalf("it is so again, since then: %+v", got)
	}
}

func TestNoticesThatCanNotBeAreRefused(t *testing.T) {
	w := newWorld(t)
	good := proto.Notice{ID: "short/a", Kind: proto.NoticeShort}
	for name, change := range map[string]func(*proto.Notice){
		"identifier": func(n *proto.Notice) { n.ID = "" },
		"kind":       func(n *proto.Notice) { n.Kind = "no kind" },
		"text":       func(n *proto.Notice) { n.Says = string(make([]byte, proto.MaxTextLength+1)) },
		"span":       func(n *proto.Notice) { n.Span = timeline.Span{Start: 2, End: 1} },
		"resource":   func(n *proto.Notice) { n.Resource = 8 },
	} {
		n := good
		change(&n)
		if r := w.do(&proto.NoticePut{Put: []proto.Notice{good, n}}); r.Code != proto.ResultInvalid {
			t.Errorf("%s: %s: %s", name, r.Code, r.Message)
		}
	}
	w.want(proto.ResultInvalid, &proto.NoticePut{Clear: make([]string, proto.MaxList+1)})
}

func TestTheNoticesThatWereClearedLongestAgoGoFirst(t *testing.T) {
	w := newWorld(t)
	put := func(n int) {
		w.now += 1000
		w.s.Apply(w.command(&proto.NoticePut{Put: []proto.Notice{{ID: fmt.Sprintf("short/%04d", n), Kind: proto.NoticeShort}}}))
	}
	for n := range proto.MaxNotices {
		put(n)
	}
	w.now += 1000
	w.must(&proto.NoticePut{Clear: []string{"short/0700"}})
	w.now += 1000
	w.must(&proto.NoticePut{Clear: []string{"short/0300"}})
	for n := range 3 {
		put(2000 + n)
	}
	w.must(&proto.Tick{})
	for id, want := range map[string]bool{"short/0700": false, "short/0300": false, "short/0000": true, "short/2001": true, "short/2002": false} {
		if _, there := w.s.View().Notice(id); there != want {
			t.Errorf("%s is there: %v", id, there)
		}
	}
}

// With as many notices as there may be, none that is so goes for one that says no more than it does: what comes first is told.
func TestNoticesDoNotDisplaceEachOther(t *testing.T) {
	w := newWorld(t)
	notice := func(kind proto.NoticeKind, host, about string) proto.Notice {
		return proto.Notice{ID: proto.NoticeID(kind, about), Kind: kind, Host: host, Says: "so"}
	}
	there := func(n proto.Notice) bool {
		_, ok := w.s.View().Notice(n.ID)
		return ok
	}
	var one []proto.Notice // of each host but a
	for n := range proto.MaxNotices - 3 {
		host := fmt.Sprintf("h-%04d", n)
		one = append(one, notice(proto.NoticeShort, host, host))
	}
	of := []proto.Notice{notice(proto.NoticeRefused, "a", "i-1"), notice(proto.NoticeRefused, "a", "i-2"), notice(proto.NoticeRefused, "a", "i-3")}
	for _, n := range append(of, one...) {
		if !w.s.View().KeepsNotice(n) {
			t.Fatalf("%s is not kept", n.ID)
		}
		w.now += 1000
		w.must(&proto.NoticePut{Put: []proto.Notice{n}})
	}
	for _, c := range []struct {
		n    proto.Notice
		goes proto.Notice
	}{
		{notice(proto.NoticeRefused, "a", "i-0"), proto.Notice{ID: "revision-refused/i-0"}},
		{notice(proto.NoticeShort, "b", "b"), of[2]},
		{of[2], of[2]},
		{notice(proto.NoticeProposed, "h-0000", "h-0000"), of[1]},
		{notice(proto.NoticeShort, "c", "c"), proto.Notice{ID: "short/c"}},
	} {
		w.now += 1000
		keeps := w.s.View().KeepsNotice(c.n)
		w.must(&proto.NoticePut{Put: []proto.Notice{c.n}})
		if keeps != (c.goes.ID != c.n.ID) || there(c.n) != keeps || there(c.goes) {
			t.Fatalf("%s: to be kept %v, is there %v; %s, which should go, is there %v", c.n.ID, keeps, there(c.n), c.goes.ID, there(c.goes))
		}
	}
	w.must(&proto.NoticePut{Clear: []string{one[5].ID}})
	if n := notice(proto.NoticeShort, "c", "c"); !w.s.View().KeepsNotice(n) {
		t.Fatal("it is not kept in the place of one that is not so any more")
	}
	changed := one[7]
	changed.Says = "so, and more"
	w.must(&proto.NoticePut{Put: []proto.Notice{changed}})
	if n, _ := w.s.View().Notice(changed.ID); n.Says != changed.Says || !there(one[5]) {
		t.Fatalf("what is told already has to stay and to change: %+v", n)
	}
}
