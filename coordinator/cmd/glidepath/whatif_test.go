package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func TestAPlanOfAFleetThatIsNotThereSaysSoWhereverItIsShown(t *testing.T) {
	f := reach(t)
	applied := f.View().Applied()
	said := func(args, of string, want ...string) {
		t.Helper()
		code, out, stderr := glidepath(t, t.Context(), strings.Fields(args)...)
		if code != exitFine {
			t.Errorf("%s: %d, %s", args, code, stderr)
		}
		if !strings.HasPrefix(out, of) {
			t.Errorf("%s: it should begin with %q:\n%s", args, of, out)
		}
		for _, text := range want {
			if !strings.Contains(out, text) {
				t.Errorf("%s: %q is not in\n%s", args, text, out)
			}
		}
	}
	said("plan migrate cache-1 --to host-a+2 --add 2 --like host-a --without host-c", "Of a fleet that is not there, with 2 hosts more like host-a and without host-c:\n\nMigration of cache-1 from host-a to host-a+2",
		"2 hosts are added like host-a (host-a+1 to host-a+2)", "1 host is left out (host-c): nothing is placed there, and what is there stays")
	said("plan explain cache-1 --without host-c", "Of a fleet that is not there, without host-c:\n\n", "from host-a to host-b")
	said("plan explain cache-1 --without host-c --why-not host-c", "Of a fleet that is not there, without host-c:\n\n", "it is left out")
	said("host drain host-a --dry-run --without host-c", "Of a fleet that is not there, without host-c:\n\nHost host-a would be emptied of 1 instance; nothing is changed",
		"nothing is placed there, and what is there goes elsewhere")
	said("plan migrate cache-1", "Migration of cache-1")
	if f.View().Applied() != applied {
		t.Error("asking changed something")
	}
	said("plan migrate cache-1 --without host-c --store", "Of a fleet", "which never begins")
	said("host drain host-a --dry-run --add 1 --like host-a --store", "Of a fleet", "Stored as plan")
	plans := slices.Collect(f.View().Plans())
	if len(plans) != 2 {
		t.Fatalf("%+v", plans)
	}
	slices.SortFunc(plans, func(a, b proto.StoredPlan) int { return strings.Compare(string(b.Kind), string(a.Kind)) }) // the migration's first
	said("plan show "+plans[0].ID, "Plan ", "it is of a fleet that is not there, without host-c, and never begins")
	said("plan list", "PLAN", "in a fleet that is not there")
	for n, remedy := range []string{"glidepath plan migrate cache-1", "glidepath host drain host-a"} {
		code, out, stderr := glidepath(t, t.Context(), "plan", "begin", plans[n].ID)
		if code != exitRefused || !strings.Contains(stderr, "a fleet that is not there") || !strings.Contains(stderr, remedy) {
			t.Errorf("%d, %s%s", code, out, stderr)
		}
	}
	code, out, stderr := glidepath(t, t.Context(), "host", "drain", "host-a", "--dry-run", "--without", "host-b,host-c", "--add", "1", "--like", "host-b", "--json")
	var d v1.Drain
	if err := json.Unmarshal([]byte(out), &d); code != exitFine || err != nil || d.Plan.WhatIf == nil || d.Plan.Moves[0].Target != "host-b+1" {
		t.Errorf("%d, %v: %s%s", code, err, out, stderr)
	}
}

func TestADrainThatFindsNoPlaceInAnotherFleetIsToldSo(t *testing.T) {
	f := reach(t)
	f.Must(&proto.HostSet{Host: "host-b", Cordoned: true})
	code, out, stderr := glidepath(t, t.Context(), "host", "drain", "host-a", "--dry-run", "--without", "host-c")
	if code != exitRefused || !strings.Contains(out, "instance cache-1 finds no other place") {
		t.Errorf("%d, %s%s", code, out, stderr)
	}
	code, out, _ = glidepath(t, t.Context(), "host", "drain", "host-a", "--dry-run", "--store")
	if code != exitFine || !strings.Contains(out, "Stored as plan") {
		t.Errorf("%d, %s", code, out)
	}
	p := slices.Collect(f.View().Plans())
	if code, out, _ := glidepath(t, t.Context(), "plan", "show", p[0].ID); code != exitFine || !strings.Contains(out, "by a plan made anew:  glidepath host drain host-a") {
		t.Errorf("%d, %s", code, out)
	}
}
