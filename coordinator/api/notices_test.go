package api_test

import (
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func TestNoticesAreListedUntilTheyAreClearedAndThenIfAskedFor(t *testing.T) {
	w := newWorld(t)
	if none := ok[v1.List[proto.Notice]](w, "GET /v1/notices", nil); none.Items == nil || len(none.Items) != 0 {
		t.Errorf("%+v", none)
	}
	short := proto.Notice{ID: "short/host-b", Kind: proto.NoticeShort, Host: "host-b", Says: "it is short", Proposes: "move"}
	w.Must(&proto.NoticePut{Put: []proto.Notice{short, {ID: "revision-refused/cache-1", Kind: proto.NoticeRefused, Host: "host-a", Instance: "cache-1", Says: "it needs more"}}})
	w.Must(&proto.NoticePut{Clear: []string{"revision-refused/cache-1"}})
	for path, want := range map[string]int{"": 1, "?all=true": 2, "?all=true&host=host-a": 1, "?host=host-a": 0, "?host=host-b": 1} {
		if got := ok[v1.List[proto.Notice]](w, "GET /v1/notices"+path, nil); len(got.Items) != want {
			t.Errorf("%s: %+v, want %d", path, got.Items, want)
		}
	}
	if s := ok[v1.Status](w, "GET /v1/status", nil); len(s.Notices) != 1 || s.Notices[0].Proposes != "move" || s.Notices[0].Since == 0 {
		t.Errorf("%+v", s.Notices)
	}
	w.fails(v1.CodeNotFound, 404, "GET /v1/notices?host=host-z", nil)
	w.fails(v1.CodeInvalid, 400, "GET /v1/notices?all=perhaps", nil)
}
