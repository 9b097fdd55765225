package fence_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
	"github.com/glidepath/glidepath/proto"
)

var noon = fence.Moment{Boot: "boot-1", Since: time.Hour}

func request(n uint64) fence.Request {
	return fence.Request{Instance: instance, Migration: "m-1", Token: fence.Token{Incarnation: 1, Fence: n}, Units: []string{unit}}
}

// in returns the record in a state that was reached by the shortest way, under fence 10.
func in(t *testing.T, state proto.FenceState) fence.Record {
	t.Helper()
	var r fence.Record
	step := func(next fence.Record, err error) {
		if err != nil {
			t.Fatal(err)
		}
		r = next
	}
	switch state {
	case proto.FenceOwner:
		step(r.Adopt(request(10)))
	case proto.FenceTarget:
		step(r.Prepare(request(10)))
	case proto.FenceFrozen:
		step(r.Adopt(request(9)))
		step(r.Freeze(request(10)))
	case proto.FenceStarting:
		step(r.Prepare(request(9)))
		step(r.Start(request(10), fence.NewPermit(noon, 15*time.Second), noon))
	case proto.FenceRefused:
		step(r.Prepare(request(9)))
		step(r.Refuse(request(10)))
	case proto.FenceRetired:
		step(r.Adopt(request(8)))
		step(r.Freeze(request(9)))
		step(r.Retire(request(10)))
	}
	return r
}

var states = []proto.FenceState{proto.FenceNone, proto.FenceOwner, proto.FenceTarget, proto.FenceFrozen, proto.FenceStarting, proto.FenceRefused, proto.FenceRetired}

// transitions by name, so that tables can go through all of them.
var transitions = map[string]func(fence.Record, fence.Request) (fence.Record, error){
	"adopt":   fence.Record.Adopt,
	"prepare": fence.Record.Prepare,
	"freeze":  fence.Record.Freeze,
	"start": func(r fence.Record, q fence.Request) (fence.Record, error) {
		return r.Start(q, fence.NewPermit(noon, 15*time.Second), noon)
	},
	"confirm": func(r fence.Record, q fence.Request) (fence.Record, error) { return r.Confirm(q, noon) },
	"refuse":  fence.Record.Refuse,
	"thaw":    fence.Record.Thaw,
	"retire":  fence.Record.Retire,
	"clean":   fence.Record.Clean,
	"release": fence.Record.Release,
}

func TestWhichStateFollowsWhich(t *testing.T) {
	want := map[string]string{ // under a newer token, same migration
		" adopt": "owner", " prepare": "target", " refuse": "refused", " clean": "", " release": "",
		"owner adopt": "owner", "owner freeze": "frozen", "owner thaw": "owner", "owner confirm": "owner", "owner release": "",
		"target prepare": "target", "target start": "starting", "target refuse": "refused", "target clean": "",
		"frozen thaw": "owner", "frozen retire": "retired",
		"starting confirm": "owner", "starting refuse": "refused",
		"refused refuse": "refused", "refused clean": "",
		"retired retire": "retired", "retired thaw": "owner", "retired refuse": "retired", "retired clean": "retired", "retired release": "",
	}
	// An adopted owner has no migration; confirming needs the one that started it.
	delete(want, "owner confirm")
	for _, state := range states {
		for name, transition := range transitions {
			key := string(state) + " " + name
			r := in(t, state)
			if state == proto.FenceOwner {
				r.Migration = ""
			}
			next, err := transition(r, request(11))
			expected, allowed := want[key]
			switch {
			case allowed && (err != nil || string(next.State) != expected):
				t.Errorf("%s: became %q, %v; want %q", key, next.State, err, expected)
			case !allowed && err == nil:
				t.Errorf("%s: became %q, want a refusal", key, next.State)
			}
		}
	}
}

func TestAnOlderTokenChangesNothing(t *testing.T) {
	for _, state := range states[1:] {
		for name, transition := range transitions {
			r := in(t, state)
			next, err := transition(r, request(7))
			var fault *proto.Fault
			if name == "refuse" && err == nil && r.Refused.Fence >= 7 { // refused for good already
				continue
			}
			if !errors.As(err, &fault) || fault.Code != proto.FaultStale || fmt.Sprint(next) != fmt.Sprint(r) {
				t.Errorf("%s in %s under an older token: %v", name, state, err)
			}
		}
	}
}

func TestTheSameRequestAgainChangesNothing(t *testing.T) {
	for _, state := range states {
		for name, transition := range transitions {
			once, err := transition(in(t, state), request(11))
			if err != nil {
				continue
			}
			twice, err := transition(once, request(11))
			if err != nil || fmt.Sprint(twice) != fmt.Sprint(once) {
				t.Errorf("%s in %q, twice: %v\n%+v\n%+v", name, state, err, once, twice)
			}
		}
	}
}

func TestRefusedFenceNeverStarts(t *testing.T) {
	r := in(t, proto.FenceRefused)
	for _, n := range []uint64{9, 10} {
		if _, err := r.Start(request(n), fence.NewPermit(noon, time.Minute), noon); err == nil {
			t.Errorf("started under fence %d", n)
		}
	}
	r, err := r.Clean(request(10))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prepare(request(10)); err == nil {
		t.Error("a late prepare of the cleaned migration was taken")
	}
	other := request(10)
	other.Migration = "m-2"
	if r, err = r.Prepare(other); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Start(other, fence.NewPermit(noon, time.Minute), noon); err == nil {
		t.Error("another migration started under the refused fence")
	}
}

func TestRefusingWhatWasNeverHereClaimsNoUnit(t *testing.T) {
	r, err := fence.Record{}.Refuse(request(10))
	if err != nil || r.State != proto.FenceRefused || len(r.Units) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestThawOnTheTargetsWord(t *testing.T) {
	r := in(t, proto.FenceFrozen)
	token := func(n uint64) fence.Token { return fence.Token{Incarnation: 1, Fence: n} }
	if _, err := r.ThawRefused("m-1", token(10)); err == nil {
		t.Error("thawed though the target may still start under the commit's fence")
	}
	if _, err := r.ThawRefused("m-2", token(11)); err == nil {
		t.Error("thawed on the word about another migration")
	}
	r, err := r.ThawRefused("m-1", token(1<<60))
	if err != nil || r.State != proto.FenceOwner || r.Token != token(11) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := r.Freeze(request(10)); err == nil {
		t.Error("a late copy of the freeze was taken")
	}
}

func TestPermitEndsWithTimeAndWithTheBoot(t *testing.T) {
	r := in(t, proto.FenceStarting)
	later := func(d time.Duration) fence.Moment { return fence.Moment{Boot: noon.Boot, Since: noon.Since + d} }
	if ok, why := r.MayRun(later(14 * time.Second)); !ok {
		t.Error(why)
	}
	for name, now := range map[string]fence.Moment{"run out": later(15 * time.Second), "another boot": {Boot: "boot-2", Since: noon.Since}} {
		if ok, _ := r.MayRun(now); ok {
			t.Errorf("%s: may run", name)
		}
		if _, err := r.Confirm(request(10), now); err == nil {
			t.Errorf("%s: confirmed", name)
		}
		if _, err := r.Renew(request(10), fence.NewPermit(now, time.Minute), now); err == nil {
			t.Errorf("%s: renewed", name)
		}
		if got := r.Recover(now); got.State != proto.FenceRefused {
			t.Errorf("%s: recovered as %s", name, got.State)
		}
	}
	if r, err := r.Renew(request(10), fence.NewPermit(later(5*time.Second), 15*time.Second), later(6*time.Second)); err != nil || r.Permit.Remaining(noon) != 20*time.Second {
		t.Errorf("renewed: %v, %v left", err, r.Permit.Remaining(noon))
	}
}

func TestMayRun(t *testing.T) {
	for _, state := range states {
		disk := crashfs.New()
		store, err := fence.Open(disk, dir)
		if err != nil {
			t.Fatal(err)
		}
		if state != proto.FenceNone {
			if _, err := store.Change(instance, func(fence.Record) (fence.Record, error) { return in(t, state), nil }); err != nil {
				t.Fatal(err)
			}
		}
		want := state == proto.FenceNone || state == proto.FenceOwner || state == proto.FenceStarting
		ok, why := fence.MayRunAt(disk, dir, unit, noon)
		if ok != want || ok != (why == "") {
			t.Errorf("%q: may run %v, %q", state, ok, why)
		}
		if ok, why := fence.MayRunAt(disk, dir, "other.service", noon); !ok {
			t.Errorf("%q: a unit that is in no record: %s", state, why)
		}
	}
}

func TestNothingRunsOnARecordThatCannotBeRead(t *testing.T) {
	for name, content := range map[string]string{
		"damaged":      `{"version":1,`,
		"newer format": `{"version":2,"instance":"cache-1","state":"owner"}`,
		"renamed":      `{"version":1,"instance":"cache-2","state":"owner"}`,
	} {
		disk := crashfs.New()
		if err := durable.WriteFile(disk, dir+"/cache-1.json", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if ok, why := fence.MayRunAt(disk, dir, unit, noon); ok || !strings.Contains(why, "cache-1.json") {
			t.Errorf("%s: may run %v, %q", name, ok, why)
		}
		if _, err := fence.Open(disk, dir); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if ok, why := fence.MayRun(t.TempDir()+"/gone", unit); ok || why == "" {
		t.Errorf("without the directory: may run %v", ok)
	}
}

func TestAChangeIsWholeAfterAPowerCutAtAnyStep(t *testing.T) {
	for cut := 1; ; cut++ {
		disk := crashfs.New()
		store, err := fence.Open(disk, dir)
		if err != nil {
			t.Fatal(err)
		}
		adopt := func(r fence.Record) (fence.Record, error) { return r.Adopt(request(10)) }
		freeze := func(r fence.Record) (fence.Record, error) { return r.Freeze(request(11)) }
		if _, err := store.Change(instance, adopt); err != nil {
			t.Fatal(err)
		}
		disk.LosePowerAt(cut)
		_, err = store.Change(instance, freeze)
		for seed := range uint64(20) {
			up := disk.Restart(rand.New(rand.NewPCG(seed, 1)))
			again, openErr := fence.Open(up, dir)
			if openErr != nil {
				t.Fatalf("step %d: %v", cut, openErr)
			}
			got := again.Get(instance).State
			if err == nil && got != proto.FenceFrozen || got != proto.FenceFrozen && got != proto.FenceOwner {
				t.Fatalf("step %d: acknowledged with %v, found %q", cut, err, got)
			}
			if r, err := again.Change(instance, freeze); err != nil || r.State != proto.FenceFrozen {
				t.Fatalf("step %d, again: %v", cut, err)
			}
		}
		if err == nil {
			return
		}
	}
}

func TestNamesThatCannotBePaths(t *testing.T) {
	for _, name := range []string{"", "-x", "a/b", "..", "a.b", strings.Repeat("a", 64)} {
		if fence.CheckName(name) == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := fence.CheckName("cache-1"); err != nil {
		t.Error(err)
	}
}

func TestAnOwnerIsRetiredOnlyByANewerDecisionOnTheMigrationThatBroughtIt(t *testing.T) {
	owner := in(t, proto.FenceStarting)
	owner, err := owner.Confirm(request(10), noon)
	if err != nil {
		t.Fatal(err)
	}
	other := request(11)
	other.Migration = "m-2"
	for name, q := range map[string]fence.Request{"the fence that it got it with": request(10), "another migration": other} {
		if r, err := owner.Retire(q); err == nil {
			t.Errorf("%s: became %q", name, r.State)
		}
	}
	if r, err := owner.Retire(request(11)); err != nil || r.State != proto.FenceRetired || r.RetiredBy != "m-1" {
		t.Errorf("%+v, %v", r, err)
	}
}
