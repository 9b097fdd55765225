package enforce

import (
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
)

// What a unit's own configuration limits stays while it is observed. When limits of ours end they are lifted before systemd is told, so that
// it sets the unit's own again.
func TestWhatAUnitLimitsItselfIsNotLifted(t *testing.T) {
	h, e := newFakeHost(t)
	h.put("/system.slice/"+fakeUnit, "cpu.max", "180000 100000")
	observed := cache()
	observed.Limited = false
	mustAttach(t, e, observed)
	h.holds(map[string]string{"cpu.max": "180000 100000"})

	mustAttach(t, e, cache())
	mustApply(t, e, change(resource.CPU, 500), change(resource.NetTx, 1_000_000))
	if limits, err := h.cfg.DropInLimits(fakeUnit); err != nil || !limits {
		t.Errorf("while it is limited its drop-in limits it: %v %v", limits, err)
	}
	h.reloaded = func() {
		h.holds(map[string]string{"cpu.max": "max 100000"})
		h.put("/system.slice/"+fakeUnit, "cpu.max", "180000 100000")
	}
	mustAttach(t, e, observed)
	h.holds(map[string]string{"cpu.max": "180000 100000"})
	if limits, err := h.cfg.DropInLimits(fakeUnit); err != nil || limits {
		t.Errorf("while it is observed its drop-in limits it: %v %v", limits, err)
	}
	if held, err := e.ReadBack(t.Context(), "cache-1"); err != nil || held.Limits[resource.NetTx] != resource.Unlimited {
		t.Errorf("its traffic is limited to %d, %v", held.Limits[resource.NetTx], err)
	}

	// Another life of the agent finds it as it is.
	h.reloaded = func() { t.Error("systemd is reloaded for nothing") }
	next := open(h.cfg, h, h, e.files)
	defer next.Close()
	mustAttach(t, next, observed)
	h.holds(map[string]string{"cpu.max": "180000 100000"})
	if limits, err := h.cfg.DropInLimits("no-such.service"); err != nil || limits {
		t.Errorf("a unit without a drop-in: %v %v", limits, err)
	}
}
