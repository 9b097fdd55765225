package main

import (
	"context"
	"regexp"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func TestStatusSaysWhichCoordinatorIsAway(t *testing.T) {
	f := apitest.New(t)
	for _, name := range []string{"c2", "c3"} {
		f.Must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: name, RPCAddr: name + ":7647", APIAddr: name + ":7648", Program: "1.2.2", Commands: proto.KnownCommands()}})
	}
	f.Config.Members = func(context.Context) ([]v1.Member, error) {
		return []v1.Member{
			{Name: "c1", Listed: true, Voter: true, Leader: true, Reached: true, Program: "1.2.3"},
			{Name: "c2", Listed: true, Voter: true, Program: "1.2.2", Why: "connection\nrefused"},
			{Name: "c3", Listed: true, Reached: true, Program: "1.2.3"},
		}, nil
	}
	pointAt(t, f)
	code, out, stderr := glidepath(t, t.Context(), "status")
	for _, want := range []string{
		`(?m)^c1 +leader +1\.2\.3 `, `(?m)^c2 +not reached +1\.2\.2 `, `(?m)^c3 +joining +1\.2\.3 `, // as it says itself
		`(?m)^AWAY: coordinator c2 is not reached: connection refused$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	if code != exitFine || regexp.MustCompile("AWAY: coordinator c[13]").MatchString(out) {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
}
