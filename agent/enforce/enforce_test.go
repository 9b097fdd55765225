package enforce

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
)

func TestApplyWritesTheFilesOfTheUnitAndReadsThemBack(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	for _, o := range mustApply(t, e, change(resource.CPU, 500), change(resource.Memory, 128<<20), change(resource.NetTx, 10e6), change(resource.NetRx, 20e6)) {
		if !o.Wrote || o.Event != "" || o.Debt != 0 || o.Held != o.Amount {
			t.Errorf("%+v", o)
		}
	}
	h.holds(map[string]string{"cpu.max": "50000 100000", "cpu.max.burst": "25000", "cpu.weight": "400", "memory.high": "134217728", "memory.max": "150994944"})
	if got := h.pacers["cache-1"].rates; got != [2]int64{10e6, 20e6} {
		t.Errorf("network rates %v", got)
	}
	held, err := e.ReadBack(t.Context(), "cache-1")
	if err != nil {
		t.Fatal(err)
	}
	want := resource.Uniform(resource.Unlimited)
	want[resource.CPU], want[resource.Memory], want[resource.NetTx], want[resource.NetRx] = 500, 128<<20, 10e6, 20e6
	if held.Limits != want {
		t.Errorf("read back %v, want %v", held.Limits, want)
	}
	if len(held.Files) != len(limitFiles)+2 || held.Files[0].Name != "cpu.max" || held.Files[0].Value != "50000 100000" {
		t.Errorf("files %v", held.Files)
	}
}

func TestApplyWritesNothingThatTheKernelHoldsAlready(t *testing.T) {
	_, e := newFakeHost(t)
	mustAttach(t, e, cache())
	mustApply(t, e, change(resource.CPU, 500), change(resource.Memory, 100e6), change(resource.NetRx, 1234567))
	for _, o := range mustApply(t, e, change(resource.CPU, 500), change(resource.Memory, 100e6), change(resource.NetRx, 1234567)) {
		if o.Wrote || o.Event != "" {
			t.Errorf("%+v", o)
		}
	}
}

func TestNoLimitAboveTheEnvelope(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	for _, amount := range []int64{2001, 1 << 40, resource.Unlimited} {
		o := mustApply(t, e, change(resource.CPU, amount))[0]
		if o.Held != 2000 || !strings.Contains(o.Event, "above the envelope") {
			t.Errorf("%d: %+v", amount, o)
		}
	}
	h.holds(map[string]string{"cpu.max": "200000 100000"})
}

func TestTheEnvelopeHoldsFromTheStartAlsoWhereSystemdCanNotKeepIt(t *testing.T) {
	h, e := newFakeHost(t)
	h.addCgroup("/own")
	own := cache()
	own.Unit, own.Cgroup = "", "/own"
	mustAttach(t, e, own)
	held, err := e.ReadBack(t.Context(), "cache-1")
	if err != nil || held.Limits != own.Envelope {
		t.Errorf("%v %v, want %v", held.Limits, err, own.Envelope)
	}
}

func TestAmountsThatWouldStrangleAreRaised(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	mustApply(t, e, change(resource.CPU, 0), change(resource.NetTx, 0))
	h.holds(map[string]string{"cpu.max": "1000 100000"})
	if got := h.pacers["cache-1"].rates[0]; got != 100_000 {
		t.Errorf("transmit %d bits/s", got)
	}
}

func TestReconcileSetsAgainWhatADaemonReloadReset(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	mustApply(t, e, change(resource.CPU, 500), change(resource.Memory, 128<<20))
	if o := e.Reconcile(t.Context()); len(o) != 0 {
		t.Fatalf("nothing changed: %+v", o)
	}
	h.put("/system.slice/"+fakeUnit, "cpu.max", "200000 100000\n")
	h.put("/system.slice/"+fakeUnit, "memory.max", "max\n")
	got := e.Reconcile(t.Context())
	if len(got) != 2 || got[0].Kind != resource.CPU || got[1].Kind != resource.Memory || got[0].Event == "" {
		t.Fatalf("%+v", got)
	}
	h.holds(map[string]string{"cpu.max": "50000 100000", "memory.max": "150994944"})
}

func TestAUnitThatDoesNotRunIsNoEventAndGetsItsLimitsWhenItDoes(t *testing.T) {
	h, e := newFakeHost(t)
	h.units[fakeUnit] = ""
	if err := os.RemoveAll(filepath.Join(h.cfg.CgroupRoot, "system.slice", fakeUnit)); err != nil {
		t.Fatal(err)
	}
	mustAttach(t, e, cache())
	if o := e.Apply(t.Context(), changes(change(resource.CPU, 700))); !errors.Is(o[0].Err, ErrNotRunning) {
		t.Fatalf("%+v", o)
	}
	if o := e.Reconcile(t.Context()); len(o) != 0 {
		t.Fatalf("%+v", o)
	}
	if _, err := e.ReadBack(t.Context(), "cache-1"); !errors.Is(err, ErrNotRunning) {
		t.Fatal(err)
	}
	h.addCgroup("/system.slice/" + fakeUnit)
	h.units[fakeUnit] = "/system.slice/" + fakeUnit
	e.Reconcile(t.Context())
	h.holds(map[string]string{"cpu.max": "70000 100000", "cpu.weight": "400"})
}

func TestAMissingControllerIsNamedWithItsRemedy(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	if err := os.Remove(filepath.Join(h.cfg.CgroupRoot, "system.slice", fakeUnit, "memory.high")); err != nil {
		t.Fatal(err)
	}
	o := e.Apply(t.Context(), changes(change(resource.Memory, 64<<20)))[0]
	var missing *MissingError
	if !errors.As(o.Err, &missing) || missing.Controller != "memory" || !strings.Contains(o.Err.Error(), "cgroup_enable=memory") {
		t.Fatal(o.Err)
	}
	if held, err := e.ReadBack(t.Context(), "cache-1"); err != nil || held.Limits[resource.Memory] != resource.Unlimited {
		t.Errorf("%v %v", held.Limits, err)
	}
}

func TestDataOnNoDiskAreNotedAndTheirLimitsRefused(t *testing.T) {
	_, e := newFakeHost(t)
	target := cache()
	target.Data = []string{"/proc"}
	target.Envelope[resource.ReadIOPS] = 100
	if a := mustAttach(t, e, target); len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "no local disk") {
		t.Errorf("%+v", a)
	}
	if o := e.Apply(t.Context(), changes(change(resource.ReadIOPS, 50)))[0]; !errors.Is(o.Err, ErrNoDisk) {
		t.Errorf("%+v", o)
	}
}

func TestMemoryLowIsLeftOutWhileTheSliceProtectsNothing(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	mustApply(t, e, change(resource.Memory, 100<<20))
	e.Reconcile(t.Context())
	h.holds(map[string]string{"memory.low": "0"})
	h.put("/system.slice", "memory.low", "1073741824\n")
	e.Reconcile(t.Context())
	h.holds(map[string]string{"memory.low": "94371840"}) // 90 % of 100 MiB
}

func TestAnInstanceOutsideTheAgentsCgroupOnly(t *testing.T) {
	h, e := newFakeHost(t)
	h.units["inner.service"] = "/system.slice/glidepath-agent.service/inner"
	for _, target := range []Target{
		{Instance: "a", Cgroup: "/system.slice/glidepath-agent.service/a"},
		{Instance: "a", Cgroup: "/system.slice/glidepath-agent.service"},
		{Instance: "a", Unit: "glidepath-agent.service"},
		{Instance: "a", Unit: "inner.service"},
		{Instance: "a", Cgroup: "/x/../system.slice"},
		{Instance: "../a", Unit: fakeUnit},
		{Instance: "a", Unit: "../x.service"},
		{Instance: "a", Unit: fakeUnit, Cgroup: "/x"},
		{Instance: "a"},
	} {
		if _, err := e.Attach(t.Context(), target); err == nil {
			t.Errorf("attached %+v", target)
		}
	}
	h.addCgroup("/system.slice/glidepath-agent.service-other")
	mustAttach(t, e, Target{Instance: "b", Cgroup: "/system.slice/glidepath-agent.service-other"})
	if got := h.pacers["b"].linked; !strings.HasSuffix(got, "agent.service-other") {
		t.Errorf("linked to %q", got)
	}
}

func TestCountersWorkInObserveMode(t *testing.T) {
	h, e := newFakeHost(t)
	target := cache()
	target.Limited = false
	mustAttach(t, e, target)
	tx, rx, err := e.Counters("cache-1")
	if err != nil || tx.Bytes != 100 || rx.Bytes != 101 {
		t.Error(tx, rx, err)
	}
	if h.paced["eth0"] {
		t.Error("fq was put on the device for an instance that is only measured")
	}
	if o := e.Apply(t.Context(), changes(change(resource.CPU, 500)))[0]; !errors.Is(o.Err, ErrNotLimited) {
		t.Error(o.Err)
	}
	h.holds(freshCgroup)
}

func TestAForeignQueueingDisciplineIsToldNotTouched(t *testing.T) {
	h, e := newFakeHost(t)
	h.foreign = true
	if a := mustAttach(t, e, cache()); len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "htb") {
		t.Errorf("%+v", a)
	}
}

func TestAReloadThatFailedIsTriedAgainUntilSystemdHasRead(t *testing.T) {
	h, e := newFakeHost(t)
	h.reloading = errors.New("the connection timed out")
	for range 2 {
		if _, err := e.Attach(t.Context(), cache()); err == nil {
			t.Fatal("attached although systemd has not read the drop-ins")
		}
	}
	h.reloading = nil
	mustAttach(t, e, cache())
	mustAttach(t, e, cache())
	if h.reloads != 3 {
		t.Errorf("%d reloads, want 3: two that failed, and one", h.reloads)
	}
	h.reloading = errors.New("the connection timed out")
	if err := e.Release(t.Context(), cache()); err == nil {
		t.Fatal("released although systemd still has the drop-ins")
	}
	h.reloading = nil
	if err := e.Release(t.Context(), cache()); err != nil {
		t.Fatal(err)
	}
	if h.reloads != 5 {
		t.Errorf("%d reloads, want 5", h.reloads)
	}
}
