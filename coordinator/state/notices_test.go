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
	for id, want := range map[string]bool{"short/0700": false, "short/0300": false, "short/0000": false, "short/0001": true, "short/2002": true} {
		if _, there := w.s.View().Notice(id); there != want {
			t.Errorf("%s is there: %v", id, there)
		}
	}
}
