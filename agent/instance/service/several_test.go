package service

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/proto"
)

// What a unit starts may only be a wrapper: then what its main process runs has to be the same on both hosts, too.
func TestWhatAWrapperRunsIsPartOfTheSourcesFacts(t *testing.T) {
	own, err := filepath.EvalSymlinks("/bin/sh") // what the unit starts
	other, err2 := filepath.EvalSymlinks("/bin/cat")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for runs, want := range map[string]string{other: other, other + " (deleted)": other, own: "", "/no/such": "", "": ""} {
		l := newLab(t)
		a := l.hosts[0]
		l.done(0, proto.OpAdopt, 1, "", nil)
		a.runs, a.units[unitName].MainPID = runs, 77
		facts := l.done(0, proto.OpVerifySource, 1, m1, nil).Source
		if got := facts.Main; (got != nil) != (want != "") || got != nil && (got.Path != want || got.Digest == "") {
			t.Errorf("it runs %q: %+v", runs, got)
		}
		l.done(1, proto.OpVerifyTarget, 1, m1, facts)
	}
}

func TestWhatAUnitIsPartOfIsTold(t *testing.T) {
	l := newLab(t)
	l.hosts[0].units[unitName].PartOf = []string{"all.service"}
	notes := l.done(0, proto.OpAdopt, 1, "", nil).Adopt.Notes
	if len(notes) != 1 || !strings.Contains(notes[0], "all.service stops and restarts "+unitName) {
		t.Errorf("notes: %q", notes)
	}
}

func TestOneOfSeveralAddressesThatIsNotInItsPlaceIsPutThere(t *testing.T) {
	for i := range floatingAddrs {
		l := newLab(t)
		a := l.hosts[0]
		l.done(0, proto.OpAdopt, 1, "", nil)
		a.places[i] = address.Nowhere
		a.driver.settle(context.Background())
		if a.places != both(address.Announced) {
			t.Errorf("without number %d the owner's addresses stay %s", i, a.places)
		}
		l.done(0, proto.OpFreeze, 2, m1, nil)
		a.places[i] = address.Silent
		a.driver.settle(context.Background())
		if a.places != both(address.Nowhere) {
			t.Errorf("frozen, but the addresses are %s", a.places)
		}
	}
}
