package enforce

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/internal/resource"
)

func changes(c ...limit.Change) []limit.Change { return c }

func TestDropInHoldsTheEnvelopeOnWholeDisks(t *testing.T) {
	target := cache()
	target.Envelope[resource.CPU] = 255
	target.Envelope[resource.ReadIOPS] = 300
	target.Envelope[resource.WriteBytes] = 10 << 20
	got := dropIn(target, []Disk{{"254:0", "/dev/vda"}, {"8:0", "/dev/sda"}}, "glidepath-agent.service", "/usr/bin/glidepath-agent may-run")
	want := dropInHead + `[Unit]
After=glidepath-agent.service

[Service]
ExecCondition=+/usr/bin/glidepath-agent may-run %n
CPUAccounting=yes
MemoryAccounting=yes
IOAccounting=yes
CPUWeight=400
CPUQuota=25.5%
CPUQuotaPeriodSec=100ms
MemoryHigh=268435456
MemoryMax=301989888
IOReadIOPSMax=/dev/vda 300
IOReadIOPSMax=/dev/sda 300
IOWriteBandwidthMax=/dev/vda 10485760
IOWriteBandwidthMax=/dev/sda 10485760
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDropInOfAMeasuredUnitLimitsNothing(t *testing.T) {
	target := cache()
	target.Limited = false
	got := dropIn(target, []Disk{{"254:0", "/dev/vda"}}, "glidepath-agent.service", "/usr/bin/glidepath-agent may-run")
	for _, word := range []string{"Quota", "Weight", "MemoryHigh", "MemoryMax", "IOPSMax", "BandwidthMax"} {
		if strings.Contains(got, word) {
			t.Errorf("%s in\n%s", word, got)
		}
	}
	if !strings.Contains(got, "ExecCondition=+") || strings.Contains(got, "Requires") {
		t.Errorf("it must ask may-run, and not need the agent:\n%s", got)
	}
}

func TestAttachingAgainTouchesNothing(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	if h.reloads != 1 {
		t.Errorf("%d reloads, want 1 for both drop-ins", h.reloads)
	}
	mustAttach(t, e, cache())
	again := open(h.cfg, h, h, e.files) // the agent has started anew
	mustAttach(t, again, cache())
	if h.reloads != 1 {
		t.Errorf("%d reloads: attaching again must not reload", h.reloads)
	}
}

func TestAnEnvelopeThatChangesRewritesTheDropInAndKeepsTheLimits(t *testing.T) {
	h, e := newFakeHost(t)
	a := mustAttach(t, e, cache())
	mustApply(t, e, change(resource.CPU, 500))
	wider := cache()
	wider.Envelope[resource.CPU] = 3000
	mustAttach(t, e, wider)
	b, err := os.ReadFile(a.DropIn)
	if err != nil || !strings.Contains(string(b), "CPUQuota=300.0%") || h.reloads != 2 {
		t.Errorf("%d reloads, %v:\n%s", h.reloads, err, b)
	}
	h.holds(map[string]string{"cpu.max": "50000 100000"})
}

func TestLiftTakesAllOffAtOnceAndDropInsToo(t *testing.T) {
	h, e := newFakeHost(t)
	a := mustAttach(t, e, cache())
	mustApply(t, e, change(resource.CPU, 500), change(resource.Memory, 128<<20), change(resource.NetTx, 10e6))
	if err := e.Lift(t.Context(), "cache-1"); err != nil {
		t.Fatal(err)
	}
	h.holds(freshCgroup)
	if got := h.pacers["cache-1"].rates; got != [2]int64{} {
		t.Errorf("rates %v", got)
	}
	if len(h.paced) != 0 {
		t.Error("fq stays on the device with nothing left to pace")
	}
	if b, err := os.ReadFile(a.DropIn); err != nil || strings.Contains(string(b), "Quota") {
		t.Errorf("%v\n%s", err, b)
	}
	mustAttach(t, e, cache()) // and back again
	mustApply(t, e, change(resource.CPU, 500))
	h.holds(map[string]string{"cpu.max": "50000 100000"})
}

func TestNothingLeaks(t *testing.T) {
	h, e := newFakeHost(t)
	operators := h.cfg.UnitDir + "/" + fakeUnit + ".d/override.conf"
	h.mkdir(h.cfg.UnitDir + "/" + fakeUnit + ".d")
	if err := os.WriteFile(operators, []byte("[Service]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustAttach(t, e, cache())
	mustApply(t, e, change(resource.CPU, 500), change(resource.Memory, 128<<20))
	if err := e.Detach(t.Context(), "cache-1"); err != nil {
		t.Fatal(err)
	}
	if got := h.dropIns(); len(got) != 2 || !slices.Contains(got, e.dropInPath(cache())) {
		t.Errorf("the drop-in that asks may-run must stay: %v", got)
	}
	if h.reloads != 2 {
		t.Errorf("%d reloads, want one to attach and one to detach", h.reloads)
	}
	if len(h.pacers) != 0 || len(h.paced) != 0 {
		t.Errorf("left behind: %v %v", h.pacers, h.paced)
	}
	if err := e.Release(t.Context(), cache()); err != nil {
		t.Fatal(err)
	}
	if got := h.dropIns(); !slices.Equal(got, []string{operators}) {
		t.Errorf("left behind: %v", got)
	}
	h.holds(freshCgroup)
	if err := e.Release(t.Context(), cache()); err != nil {
		t.Errorf("releasing twice: %v", err)
	}
}
