package main

import (
	"regexp"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestNoticesAreShownByThemselvesAndInTheStatus(t *testing.T) {
	f := reach(t)
	f.Must(&proto.NoticePut{Put: []proto.Notice{
		{ID: "revision-refused/cache-1", Kind: proto.NoticeRefused, Host: "host-a", Instance: "cache-1", Says: "cache-1 needs more\nthan host-a has left", Proposes: "move it to host-c"},
		{ID: "short/host-c", Kind: proto.NoticeShort, Host: "host-c", Says: "host-c is short", Proposes: "batch gives way"},
	}})
	span := timeline.Span{Start: timeline.Of(time.Now().Add(-time.Hour)), End: timeline.Of(time.Now().Add(time.Hour))}
	held := timeline.Flat(timeline.Span{Start: span.Start, End: timeline.Forever}, resource.Vector{resource.CPU: 1 << 40})
	f.Must(&proto.HostSystem{Host: "host-c", Envelope: proto.FirmEnvelope(held)}) // more than there is
	for command, wants := range map[string][]string{
		"status":      {`(?m)^SHORT: host-c is short of cpu by .*\n  proposed: batch gives way$`, `(?m)^NOTICE: cache-1 needs more than host-a has left\n  proposed: move it to host-c$`},
		"notice list": {`(?m)^revision-refused/cache-1 since 2\S+ \S+\n  cache-1 needs more than host-a has left\n  proposed: move it to host-c$`, `(?m)^short/host-c since `},
	} {
		args := []string{command}
		if command == "notice list" {
			args = []string{"notice", "list"}
		}
		code, out, stderr := glidepath(t, t.Context(), args...)
		for _, want := range wants {
			if code != exitFine || !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%s: exit code %d: %s is not in\n%s%s", command, code, want, out, stderr)
			}
		}
		if command == "status" && regexp.MustCompile("NOTICE: host-c").MatchString(out) {
			t.Errorf("it is said twice that host-c is short:\n%s", out)
		}
	}
	f.Must(&proto.NoticePut{Clear: []string{"short/host-c", "revision-refused/cache-1"}})
	if _, out, _ := glidepath(t, t.Context(), "notice", "list"); out != "There is nothing to tell: every promise can be kept\n" {
		t.Error(out)
	}
	if _, out, _ := glidepath(t, t.Context(), "notice", "list", "--all", "--host", "host-c"); !regexp.MustCompile(`^short/host-c since .*, until 2`).MatchString(out) {
		t.Error(out)
	}
}
