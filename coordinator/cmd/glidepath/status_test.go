package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
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

func TestAConflictSaysWhatToDecide(t *testing.T) {
	f := apitest.New(t)
	f.Must(&proto.HostRegister{Facts: apitest.Facts("host-b", 1000), Incarnation: f.View().Fleet().Incarnation, Conflicts: []proto.Conflict{
		{Instance: "old", What: "by the tables host-a is its owner", Blocks: true}, {Instance: "new", What: "the tables don't know it"}, {Instance: "other", What: "it runs", Blocks: true},
	}})
	pointAt(t, f)
	_, out, _ := glidepath(t, t.Context(), "status")
	if !strings.Contains(out, "CONFLICT: host-b reports otherwise than the tables say; what to decide is told by  glidepath host show host-b\n") {
		t.Errorf("%s", out)
	}
	_, out, _ = glidepath(t, t.Context(), "host", "show", "host-b")
	if !strings.Contains(out, "CONFLICT over new: ") || !strings.Contains(out, "  glidepathd restore FILE --forget old --forget other\n") {
		t.Errorf("%s", out)
	}
}

func TestStatusShowsPlansAndDrainsWhereThereAreAny(t *testing.T) {
	f := reach(t)
	if _, out, _ := glidepath(t, t.Context(), "status"); regexp.MustCompile(`(?m)plan|drain`).MatchString(out) {
		t.Errorf("nothing of that is there:\n%s", out)
	}
	i, _ := f.View().Instance("cache-1")
	at := func(d time.Duration) timeline.Time { return timeline.Of(time.Now().Add(d)) }
	put := func(id string, s proto.PlanStatus, start timeline.Time, what *proto.WhatIf) {
		t.Helper()
		f.Must(&proto.PlanPut{Plan: proto.StoredPlan{
			ID: id, Kind: proto.PlanMigrate, Status: s, WhatIf: what,
			Moves: []proto.Move{{Instance: "cache-1", Source: "host-a", Target: "host-c", FromType: "m.small", ToType: "m.small", Fence: i.Fence, Start: start}},
		}})
	}
	put("p-kept", proto.PlanKept, at(0), &proto.WhatIf{Without: []string{"host-b"}})
	put("p-later", proto.PlanScheduled, at(2*time.Hour), nil)
	put("p-due", proto.PlanQueued, at(-time.Minute), nil)
	put("p-stale", proto.PlanQueued, at(time.Hour), nil)
	f.Must(&proto.PlanChange{ID: "p-stale", From: proto.PlanQueued, To: proto.PlanStale, Reason: "it does not\nfit any more"})
	put("p-over", proto.PlanQueued, at(time.Hour), nil)
	f.Must(&proto.PlanChange{ID: "p-over", From: proto.PlanQueued, To: proto.PlanCancelled})
	f.Must(&proto.HostDrain{Host: "host-a", To: proto.DrainGoesOn, Deadline: at(time.Hour)})
	f.Must(&proto.HostDrain{Host: "host-a", From: proto.DrainGoesOn, To: proto.DrainBlocked, Reason: "cache-1 finds no other place"})
	f.Must(&proto.HostDrain{Host: "host-c", To: proto.DrainGoesOn})
	f.Must(&proto.HostDrain{Host: "host-c", From: proto.DrainGoesOn, To: proto.DrainDone})
	code, out, stderr := glidepath(t, t.Context(), "status")
	for _, want := range []string{
		`(?m)^1 drain:\nHOST +STATE +TO LEAVE +MOVING +DEADLINE +REASON\nhost-a +blocked +1 +0 +\S.* +cache-1 finds no other place$`,
		`(?m)^3 plans: 1 stale, 1 due, 1 scheduled\nPLAN .*\np-stale +stale +cache-1 from host-a to host-c .* it does not fit any more\np-due +due .*\np-later +scheduled `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	if code != exitFine || regexp.MustCompile(`p-kept|p-over|host-c +drained`).MatchString(out) {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	_, out, _ = glidepath(t, t.Context(), "status", "--json")
	var s v1.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || len(s.Plans) != 3 || len(s.Drains) != 1 || s.Drains[0].Drain.State != proto.DrainBlocked || s.Drains[0].Left != 1 {
		t.Errorf("%v: %+v, %+v", err, s.Plans, s.Drains)
	}
}

func TestStatusShowsOfManyPlansThoseThatAskForSomebody(t *testing.T) {
	s := v1.Status{Now: 1000}
	for n := range 30 {
		s.Plans = append(s.Plans, v1.PlanSummary{ID: fmt.Sprintf("p%02d", n), Status: proto.PlanScheduled, Start: timeline.Time(5000 - n), Moves: 2})
	}
	s.Plans[20].Status = proto.PlanBlocked
	var out bytes.Buffer
	if err := (&app{stdout: &out}).printPlansIn(s); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2+mostShown+1 || !strings.HasPrefix(lines[2], "p20 ") || !strings.HasPrefix(lines[3], "p29 ") ||
		!strings.HasPrefix(lines[len(lines)-1], "… and 22 more: glidepath plan list") {
		t.Error(out.String())
	}
}
