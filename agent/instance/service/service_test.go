package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const m1, m2 = "m-1", "m-2"

// A story is a sequence of operations as a leader sends them, and what must be so at its end.
var stories = map[string]func(l *lab){
	"move": func(l *lab) {
		moved(l)
		a, b := l.hosts[0], l.hosts[1]
		l.expectRunning(b)
		if u := b.units[unitName]; u.UnitFileState != "enabled" {
			l.t.Errorf("on the target the unit is %s at boot", u.UnitFileState)
		}
		if u := a.units[unitName]; u.UnitFileState != "disabled" {
			l.t.Errorf("on the source the unit is %s at boot", u.UnitFileState)
		}
		kept, err := filepath.Glob(a.path("keep/retained/*-" + name + "-" + m1 + a.path("lib/redis/sub/data.aof")))
		if err != nil || len(kept) != 1 {
			l.t.Errorf("retained data: %v, %v", kept, err)
		}
		if exists(a.path("lib/redis")) {
			l.t.Error("the source's data are still in place")
		}
		if ok, _ := fence.MayRun(a.path("fence"), unitName); ok || !a.dropIns[unitName] {
			l.t.Errorf("the source may run the instance (%v), drop-in %v", ok, a.dropIns)
		}
	},
	"abort while preparing": func(l *lab) {
		before := prepared(l)
		l.done(1, proto.OpRefuse, 2, m1, nil)
		l.done(1, proto.OpCleanTarget, 2, m1, nil)
		l.done(0, proto.OpThaw, 2, m1, nil)
		l.expectRunning(l.hosts[0])
		l.expectAsBefore(before)
	},
	"abort after freezing": func(l *lab) {
		before := prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.expectFrozen(l.hosts[0])
		l.hosts[0].copyTo(l.hosts[1])
		l.done(1, proto.OpCleanTarget, 3, m1, nil)
		l.done(0, proto.OpThaw, 3, m1, nil)
		l.expectRunning(l.hosts[0])
		l.expectAsBefore(before)
	},
	"abort while starting": func(l *lab) {
		before := started(l)
		l.done(1, proto.OpRefuse, 4, m1, nil)
		l.done(1, proto.OpCleanTarget, 4, m1, nil)
		l.done(0, proto.OpThaw, 4, m1, nil)
		l.expectRunning(l.hosts[0])
		l.expectAsBefore(before)
	},
	"return": func(l *lab) {
		moved(l)
		back(l)
		l.done(1, proto.OpFreeze, 4, m2, nil)
		l.hosts[1].copyTo(l.hosts[0])
		l.done(0, proto.OpStart, 5, m2, nil)
		l.done(0, proto.OpConfirm, 5, m2, nil)
		l.done(1, proto.OpRetire, 5, m2, nil)
		l.expectRunning(l.hosts[0])
	},
	"return aborted": func(l *lab) {
		moved(l)
		before := l.hosts[0].tree()
		back(l)
		l.done(0, proto.OpCleanTarget, 4, m2, nil)
		l.done(1, proto.OpThaw, 4, m2, nil)
		l.expectRunning(l.hosts[1])
		if d := cmp.Diff(before, l.hosts[0].tree()); d != "" {
			l.t.Errorf("the old source is not as before: %s", d)
		}
		if r := l.hosts[0].driver.Fence.Get(name); r.State != proto.FenceRetired {
			l.t.Errorf("the old source is %s", r.State)
		}
	},
	"given up as lost, and there after all": func(l *lab) {
		started(l)
		a, b := l.hosts[0], l.hosts[1]
		l.done(1, proto.OpConfirm, 3, m1, nil)
		l.done(1, proto.OpRetire, 4, m1, nil)
		kept, err := filepath.Glob(b.path("keep/retained/*-" + name + "-" + m1 + b.path("lib/redis/sub/data.aof")))
		if err != nil || len(kept) != 1 {
			l.t.Errorf("what was written there: %v, %v", kept, err)
		}
		l.done(0, proto.OpThaw, 4, m1, nil)
		l.expectRunning(a)
		facts := l.done(0, proto.OpVerifySource, 4, m2, nil).Source
		l.done(1, proto.OpVerifyTarget, 4, m2, facts)
		l.done(1, proto.OpPrepareTarget, 4, m2, facts)
	},
	"put away, and gone back to": func(l *lab) {
		prepared(l)
		before := l.hosts[0].tree()
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.done(0, proto.OpRetire, 3, m1, nil)
		l.done(0, proto.OpThaw, 4, m1, nil)
		l.expectRunning(l.hosts[0])
		after := l.hosts[0].tree()
		delete(after, "keep/retained") // the folder itself stays
		if d := cmp.Diff(before, after); d != "" {
			l.t.Errorf("it is not as before: %s", d)
		}
		if s, _, err := l.hosts[0].driver.load(name); err != nil || len(s.Retained) > 0 {
			l.t.Errorf("it still counts as retained: %+v, %v", s.Retained, err)
		}
	},
	"put away for a way back that was given up, and gone back to": func(l *lab) {
		moved(l)
		back(l)
		l.done(0, proto.OpCleanTarget, 4, m2, nil)
		l.hosts[1].units[unitName].ActiveState, l.hosts[1].units[timer].ActiveState, l.hosts[1].units[socket].ActiveState = "inactive", "inactive", "inactive"
		l.hosts[1].places = both(address.Nowhere) // it died
		l.done(0, proto.OpThaw, 5, m1, nil)
		l.expectRunning(l.hosts[0])
	},
	"taken out of the fleet": func(l *lab) {
		l.done(0, proto.OpAdopt, 1, "", nil)
		a := l.hosts[0]
		for again := true; again; { // it hears of it each time that it asks
			_, again = l.survive(a, func() proto.OperationResult {
				a.boot()
				l.must(a.driver.Recover(context.Background()))
				l.must(a.driver.GiveUp(context.Background()))
				return proto.OperationResult{}
			})
		}
		l.expectFrozen(a)
		kept, err := ReadRetention(context.Background(), a.path("keep"))
		if err != nil || len(kept.Items) != 1 || !exists(filepath.Join(kept.Items[0].Paths[0], "sub/data.aof")) {
			l.t.Errorf("what is retained: %+v, %v", kept, err)
		}
		refusedFor(l.t, l.do(0, proto.OpThaw, 5, "", nil), proto.FaultRefused, "can't be thawed")
		if _, why := fence.MayRun(a.path("fence"), unitName); !strings.Contains(why, "taken out of the fleet") {
			l.t.Errorf("it may not run because %q", why)
		}
	},
	"cut off before the commit": func(l *lab) {
		before := prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.thawDirectly(m1, 3)
		l.expectRunning(l.hosts[0])
		refusedFor(l.t, l.do(1, proto.OpStart, 3, m1, nil), proto.FaultStale, "durably refused")
		refusedFor(l.t, l.do(0, proto.OpFreeze, 2, m1, nil), proto.FaultStale, "seen")
		// What the coordinators decide when they are back.
		l.done(1, proto.OpCleanTarget, 4, m1, nil)
		l.done(0, proto.OpThaw, 4, m1, nil)
		l.expectRunning(l.hosts[0])
		l.expectAsBefore(before)
	},
	"release": func(l *lab) {
		before := l.hosts[0].tree()
		l.done(0, proto.OpAdopt, 1, "", nil)
		l.done(0, proto.OpRelease, 2, "", nil)
		if d := cmp.Diff(before, l.hosts[0].tree()); d != "" {
			l.t.Errorf("the unit is not as before adoption: %s", d)
		}
		if exists(l.hosts[0].driver.statePath(name)) {
			l.t.Error("a state file remains")
		}
	},
}

func (l *lab) expectRunning(h *labHost) {
	l.t.Helper()
	if h.places != both(address.Announced) {
		l.t.Errorf("%s: the addresses are %s", h.name, h.places)
	}
	for n, u := range h.units {
		if u.ActiveState != "active" {
			l.t.Errorf("%s: %s is %s", h.name, n, u.ActiveState)
		}
	}
	if data, err := os.ReadFile(h.path("lib/redis/sub/data.aof")); err != nil || string(data) != "precious" {
		l.t.Errorf("%s: data: %q, %v", h.name, data, err)
	}
	if data, err := os.ReadFile(h.path("etc/redis/redis.conf")); err != nil || string(data) != "of host-a" {
		l.t.Errorf("%s: configuration: %q, %v", h.name, data, err)
	}
	if r := h.driver.Fence.Get(name); r.State != proto.FenceOwner {
		l.t.Errorf("%s: the record says %s", h.name, r.State)
	}
}

func (l *lab) expectFrozen(h *labHost) {
	l.t.Helper()
	for n, u := range h.units {
		if u.ActiveState != "inactive" {
			l.t.Errorf("frozen, but %s is %s", n, u.ActiveState)
		}
	}
	if h.places != both(address.Nowhere) {
		l.t.Errorf("frozen, but the addresses are %s", h.places)
	}
	if ok, _ := fence.MayRun(h.path("fence"), unitName); ok || !h.dropIns[unitName] {
		l.t.Errorf("frozen, but a start by hand would bring it up: may run %v, drop-ins %v", ok, h.dropIns)
	}
}

func (l *lab) expectAsBefore(before map[string]string) {
	l.t.Helper()
	if d := cmp.Diff(before, l.hosts[1].tree()); d != "" {
		l.t.Errorf("the target is not as before: %s", d)
	}
	if exists(l.hosts[1].driver.statePath(name)) {
		l.t.Error("a state file remains on the target")
	}
	if len(l.hosts[1].driver.Fence.List()) != 0 {
		l.t.Errorf("records remain on the target: %+v", l.hosts[1].driver.Fence.List())
	}
}

// tell runs a story with agents that die at the given points, and returns how many points it passed.
func tell(t *testing.T, story func(*lab), crashAt ...int) (points int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.points, l.crashAt = 0, crashAt
		story(l)
		for _, b := range l.broken {
			t.Error(b)
		}
		if t.Failed() {
			t.Logf("crashes at %v", crashAt)
		}
		points = l.points
	})
	return points
}

func TestStoriesEndAsTheyShould(t *testing.T) {
	for title, story := range stories {
		t.Run(title, func(t *testing.T) { tell(t, story) })
	}
}

// TestAnAgentThatDiesAnywhereGoesOn has the agent die once at every point of every story.
func TestAnAgentThatDiesAnywhereGoesOn(t *testing.T) {
	for title, story := range stories {
		t.Run(title, func(t *testing.T) {
			total := tell(t, story)
			for at := 1; at <= total && !t.Failed(); at++ {
				tell(t, story, at)
			}
			t.Logf("%d points", total)
		})
	}
}

// TestAgentsThatDieAgainAndAgainGoOn has them die at any number of points.
func TestAgentsThatDieAgainAndAgainGoOn(t *testing.T) {
	for title, story := range stories {
		t.Run(title, func(t *testing.T) {
			total := tell(t, story)
			rapid.Check(t, func(rt *rapid.T) {
				tell(t, story, rapid.SliceOfNDistinct(rapid.IntRange(1, 2*total), 2, 12, rapid.ID).Draw(rt, "crashes")...)
				if t.Failed() {
					rt.FailNow()
				}
			})
		})
	}
}

func refusedFor(t *testing.T, result proto.OperationResult, code, word string) {
	t.Helper()
	if result.Error == nil || result.Error.Code != code || !strings.Contains(result.Error.Error(), word) {
		t.Errorf("got %v, want %s that says %q", result.Error, code, word)
	}
}

func TestTargetsThatCannotTakeItSayWhyAndChangeNothing(t *testing.T) {
	for title, c := range map[string]struct {
		spoil func(l *lab, f *proto.SourceFacts)
		word  string
	}{
		"no unit": {func(l *lab, _ *proto.SourceFacts) { delete(l.hosts[1].units, unitName) }, "no unit"},
		"unit runs": {func(l *lab, _ *proto.SourceFacts) {
			l.hosts[1].units[unitName].ActiveState = "active"
			l.hosts[0].units[unitName].ActiveState = "inactive"
		}, "is active"},
		"no companion":    {func(l *lab, _ *proto.SourceFacts) { delete(l.hosts[1].units, timer) }, timer},
		"another program": {func(_ *lab, f *proto.SourceFacts) { f.Digest = "other" }, "differs"},
		"another program that it starts": {func(_ *lab, f *proto.SourceFacts) {
			f.Main = &proto.Program{Path: "/bin/cat", Digest: "other"}
		}, "program /bin/cat differs"},
		"no program that it starts": {func(_ *lab, f *proto.SourceFacts) { f.Main = &proto.Program{Path: "/no/such"} }, "no /no/such"},
		"another path":              {func(_ *lab, f *proto.SourceFacts) { f.Executable = "/opt/redis" }, "/opt/redis"},
		"no user":                   {func(_ *lab, f *proto.SourceFacts) { f.Users = append(f.Users, "no-such-user") }, "no-such-user"},
		"data there":                {func(l *lab, _ *proto.SourceFacts) { l.must(os.MkdirAll(l.hosts[1].path("lib/redis/x"), 0o755)) }, "not empty"},
		"no space":                  {func(_ *lab, f *proto.SourceFacts) { f.DataBytes = 1 << 60 }, "MiB free"},
		"controller": {func(l *lab, _ *proto.SourceFacts) {
			l.must(os.WriteFile(l.hosts[1].path("cgroup.controllers"), []byte("cpu memory"), 0o644))
		}, "controller io"},
		"address there":   {func(l *lab, _ *proto.SourceFacts) { l.hosts[1].places[1] = address.Silent }, "already"},
		"another segment": {func(l *lab, _ *proto.SourceFacts) { l.hosts[0].places[1] = address.Nowhere }, "L2 segment"},
		"address in config": {func(l *lab, _ *proto.SourceFacts) {
			l.must(os.MkdirAll(l.hosts[1].path("etc/network"), 0o755))
			l.must(os.WriteFile(l.hosts[1].path("etc/network/interfaces"), []byte("address 10.77.0.60"), 0o644))
		}, "persistently"},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.done(0, proto.OpAdopt, 1, "", nil)
				facts := l.done(0, proto.OpVerifySource, 1, m1, nil).Source
				c.spoil(l, facts)
				before := l.hosts[1].tree()
				result := l.do(1, proto.OpVerifyTarget, 1, m1, facts)
				refusedFor(t, result, proto.FaultRefused, c.word)
				if !strings.Contains(result.Error.What, "host-b") || result.Error.Remedy == "" {
					t.Errorf("without host or remedy: %+v", result.Error)
				}
				if d := cmp.Diff(before, l.hosts[1].tree()); d != "" || len(l.hosts[1].driver.Fence.List()) > 0 {
					t.Errorf("something changed: %s", d)
				}
			})
		})
	}
}

func TestAdoptionRefusesWhatItCannotHold(t *testing.T) {
	for title, c := range map[string]struct {
		spoil func(h *labHost, op *proto.Operation)
		code  string
		word  string
	}{
		"inactive": {func(h *labHost, _ *proto.Operation) { h.units[unitName].ActiveState = "inactive" }, proto.FaultRefused, "systemctl start"},
		"a template's wrapper": {func(h *labHost, _ *proto.Operation) {
			h.units[unitName].Type, h.units[unitName].ConsistsOf = "oneshot", []string{"redis@a.service", "redis.slice"}
		}, proto.FaultRefused, "runs: redis@a.service"},
		"alias":       {func(h *labHost, _ *proto.Operation) { h.units[unitName].Name = "real.service" }, proto.FaultRefused, "real.service"},
		"not allowed": {func(_ *labHost, op *proto.Operation) { op.Spec.Service.Unit = "ssh.service" }, proto.FaultNotAllowed, "units: [ssh.service]"},
		"path":        {func(_ *labHost, op *proto.Operation) { op.Spec.Service.Data = []string{"/etc"} }, proto.FaultNotAllowed, "paths: [/etc]"},
		"address configured persistently": {func(h *labHost, _ *proto.Operation) {
			file := filepath.Join(h.dir, "etc/network/interfaces")
			h.lab.must(errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("iface eth0 inet static\n  address 10.77.0.60/24\n"), 0o644)))
		}, proto.FaultRefused, "etc/network/interfaces:2"},
		"no description": {func(_ *labHost, op *proto.Operation) { op.Spec.Service = nil }, proto.FaultRefused, "description"},
		"bad name":       {func(_ *labHost, op *proto.Operation) { op.Instance = "../x" }, proto.FaultRefused, "../x"},
		"bad migration":  {func(_ *labHost, op *proto.Operation) { op.Migration = "../x" }, proto.FaultRefused, "../x"},
	} {
		l := newLab(t)
		op := proto.Operation{Kind: proto.OpAdopt, Instance: name, Incarnation: 1, Fence: 1, Spec: l.hosts[0].spec()}
		c.spoil(l.hosts[0], &op)
		t.Run(title, func(t *testing.T) {
			refusedFor(t, l.hosts[0].driver.Operate(context.Background(), op), c.code, c.word)
			if len(l.hosts[0].dropIns) > 0 || len(l.hosts[0].driver.Fence.List()) > 0 {
				t.Error("something was adopted")
			}
		})
	}
}

func TestCleaningWhatWasNeverPreparedTouchesNoUnit(t *testing.T) {
	l := newLab(t)
	b := l.hosts[1]
	l.hosts[0].units[unitName].ActiveState = "inactive"
	b.units[unitName].ActiveState = "active" // somebody else's, of the same name
	l.must(os.MkdirAll(b.path("lib/redis/theirs"), 0o755))
	before := b.tree()
	l.done(1, proto.OpRefuse, 2, m1, nil)
	l.must(b.driver.Recover(context.Background()))
	l.done(1, proto.OpCleanTarget, 2, m1, nil)
	refusedFor(t, l.do(1, proto.OpPrepareTarget, 2, m1, nil), proto.FaultRefused, "is active")
	l.must(b.driver.Recover(context.Background()))
	if d := cmp.Diff(before, b.tree()); d != "" {
		t.Errorf("changed: %s", d)
	}
}

func TestRefusedPermitStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.permit = 0
		refusedFor(t, l.do(1, proto.OpStart, 3, m1, nil), proto.FaultRefused, "may not start")
		l.permit = 15_000
		refusedFor(t, l.do(1, proto.OpStart, 3, m1, nil), proto.FaultStale, "durably refused")
		if l.hosts[1].units[unitName].ActiveState != "inactive" {
			t.Error("it runs")
		}
	})
}

func TestWhatASourceKeptIsNotGivenUpWhereThereIsNoRoomForTheWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		a := l.hosts[0]
		before := a.tree()
		refusedFor(t, l.do(0, proto.OpRetire, 3, m1, &proto.SourceFacts{DataBytes: 1 << 60}), proto.FaultRefused, "MiB free")
		if d := cmp.Diff(before, a.tree()); d != "" {
			t.Errorf("it was touched: %s", d)
		}
		if state := a.driver.Fence.Get(name).State; state != proto.FenceFrozen {
			t.Errorf("it is %s", state)
		}
		l.done(0, proto.OpRetire, 3, m1, &proto.SourceFacts{DataBytes: 1})
	})
}

func TestNoTargetIsPreparedWhoseFenceDoesNotHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		prepared := func() proto.OperationResult { return l.do(1, proto.OpPrepareTarget, 1, m1, nil) }
		l.lax = true
		refusedFor(t, prepared(), proto.FaultFailed, "may run")
		l.lax, l.unfenced = false, errors.New("exec format error")
		refusedFor(t, prepared(), proto.FaultFailed, "exec format error")
		l.unfenced = nil
		if r := prepared(); r.Error != nil {
			t.Error(r.Error)
		}
	})
}

func TestNothingStartsWithoutAGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		b := l.hosts[1]
		b.guard, l.unguarded = "", true // somebody has ended it, and it can't be had again
		refusedFor(t, l.do(1, proto.OpStart, 3, m1, nil), proto.FaultFailed, "guards")
		if b.units[unitName].ActiveState != "inactive" {
			t.Error("it runs")
		}
		l.unguarded = false
		l.done(1, proto.OpStart, 3, m1, nil)
		l.done(1, proto.OpRefuse, 4, m1, nil)
		l.done(1, proto.OpCleanTarget, 4, m1, nil)
		if b.guard != "" {
			t.Errorf("%s is left", b.guard)
		}
	})
}

// A permit may run out while the record of the confirmation is on its way to the disk.
func TestWhatItsGuardEndedTooLateRunsOnceItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.done(1, proto.OpStart, 3, m1, nil)
		l.hosts[1].units[unitName].ActiveState = "inactive"
		l.done(1, proto.OpConfirm, 3, m1, nil)
		l.expectRunning(l.hosts[1])
	})
}

func TestThawIsRefusedWhileSomebodyAnswersForTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.done(0, proto.OpAdopt, 1, "", nil)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.hosts[1].places[1] = address.Announced
		refusedFor(t, l.do(0, proto.OpThaw, 3, m1, nil), proto.FaultInDoubt, "in use")
		l.expectFrozen(l.hosts[0])
	})
}

func TestACutOffSourceThawsOnTheTargetsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		a, b := l.hosts[0], l.hosts[1]
		thaw := func() error {
			return a.driver.ThawRefused(context.Background(), name, m1, b.driver.Fence.Get(name).Refused)
		}
		if thaw() == nil {
			t.Fatal("thawed though the target may still start")
		}
		l.expectFrozen(a)
		l.done(1, proto.OpRefuse, 3, m1, nil) // what the source asks for: the token after its own
		l.must(thaw())
		l.must(thaw())
		l.expectRunning(a)
		refusedFor(t, l.do(1, proto.OpStart, 3, m1, nil), proto.FaultStale, "durably refused")
		refusedFor(t, l.do(0, proto.OpFreeze, 2, m1, nil), proto.FaultStale, "seen")
	})
}

// TestAnInstanceWithoutPermitIsStopped runs on the real clock, which permits are measured by.
func TestAnInstanceWithoutPermitIsStopped(t *testing.T) {
	for title, after := range map[string]int64{"run out": -1, "refused": 0} {
		t.Run(title, func(t *testing.T) {
			l := newLab(t)
			prepared(l)
			l.done(0, proto.OpFreeze, 2, m1, nil)
			b := l.hosts[1]
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- b.driver.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			l.permit = 300
			b.driver.Permits = &laterPermits{first: 300, then: after}
			_ = l.do(1, proto.OpStart, 3, m1, nil) // healthy or not in time
			deadline, look := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
			defer look.Stop()
			for b.driver.Fence.Get(name).State != proto.FenceRefused {
				select {
				case <-look.C:
				case <-deadline:
					t.Fatal("the record still does not refuse")
				}
			}
			l.done(1, proto.OpRefuse, 3, m1, nil) // waits for nothing, but stands behind the keeper's stop
			defer l.lock()()                      // the keeper may be at the same beside it
			if b.units[unitName].ActiveState != "inactive" || b.places != both(address.Nowhere) {
				t.Errorf("unit %s, address %s", b.units[unitName].ActiveState, b.places)
			}
		})
	}
}

// laterPermits grants the first permit and answers the same to all later requests; a negative answer is none.
type laterPermits struct {
	first, then int64
	asked       bool
}

func (p *laterPermits) Ask(context.Context, proto.PermitRequest) (proto.PermitReply, error) {
	if !p.asked {
		p.asked = true
		return proto.PermitReply{Milliseconds: p.first}, nil
	}
	if p.then < 0 {
		return proto.PermitReply{}, fmt.Errorf("nobody answers")
	}
	return proto.PermitReply{Milliseconds: p.then}, nil
}

func TestRecoverPutsTheOwnersAddressBackAndStopsWhatMayNotRun(t *testing.T) {
	l := newLab(t)
	a := l.hosts[0]
	l.done(0, proto.OpAdopt, 1, "", nil)
	a.places = both(address.Nowhere) // a reboot
	a.boot()
	l.must(a.driver.Recover(context.Background()))
	if a.places != both(address.Announced) {
		t.Errorf("the owner's addresses are %s", a.places)
	}
	l.done(0, proto.OpFreeze, 2, m1, nil)
	a.places, a.units[unitName].ActiveState = both(address.Announced), "active" // somebody got past the fence
	a.boot()
	l.must(a.driver.Recover(context.Background()))
	if a.places != both(address.Nowhere) || a.units[unitName].ActiveState != "inactive" {
		t.Errorf("frozen, but address %s, unit %s", a.places, a.units[unitName].ActiveState)
	}
}

func TestAUnitThatStillAsksWhetherItMayStartIsLeftToTheAnswer(t *testing.T) {
	l := newLab(t)
	a := l.hosts[0]
	l.done(0, proto.OpAdopt, 1, "", nil)
	l.done(0, proto.OpFreeze, 2, m1, nil)
	u := a.units[unitName]
	for sub, want := range map[string]string{"condition": "activating", "start-pre": "inactive"} {
		u.ActiveState, u.SubState = "activating", sub
		a.driver.settle(context.Background())
		if u.ActiveState != want {
			t.Errorf("%s: it is %s, want %s", sub, u.ActiveState, want)
		}
	}
}
