package proto

import (
	"strings"
	"testing"
)

func TestKernelsAreComparedByNumbers(t *testing.T) {
	for _, c := range []struct {
		release, version string
		want             bool
	}{
		{"6.1.0-18-amd64", "6.1", true}, {"6.1.0", "6.1.0", true}, {"6.10.2", "6.9", true}, {"5.15.0-91-generic", "6.1", false}, {"6.1-rc3", "6.1.1", false},
		{"6", "6.0.0", true}, {"", "6.1", false}, {"linux", "6.1", false},
	} {
		if got := KernelAtLeast(c.release, c.version); got != c.want {
			t.Errorf("%q is at least %q: %v", c.release, c.version, got)
		}
	}
}

func TestProblemsOfAPlacementAreNamed(t *testing.T) {
	good := &Placement{
		Require: []Label{{"disk", "nvme"}, {"zone", "a"}}, Avoid: []Label{{"spot", "yes"}}, Apart: []string{"db"}, CPU: "EPYC", Kernel: "6.1", Needs: []string{"io controller"},
	}
	if wrong := good.Problems(); len(wrong) > 0 {
		t.Error(wrong)
	}
	if wrong := (*Placement)(nil).Problems(); len(wrong) > 0 {
		t.Error(wrong)
	}
	for says, p := range map[string]Placement{
		"label":      {Require: []Label{{"zone", "a"}, {"zone", "b"}}},
		"has no key": {Avoid: []Label{{"", "a"}}},
		"elements":   {Needs: make([]string, MaxList+1)},
		"bytes":      {CPU: strings.Repeat("x", MaxTextLength+1)},
		"version":    {Kernel: "new"},
	} {
		if wrong := p.Problems(); len(wrong) != 1 || !strings.Contains(wrong[0], says) {
			t.Errorf("%s: %v", says, wrong)
		}
	}
}

func TestAPlanThatHasEndedStaysSo(t *testing.T) {
	all := []PlanStatus{PlanKept, PlanSuggested, PlanScheduled, PlanQueued, PlanRunning, PlanPaused, PlanBlocked, PlanDone, PlanCancelled, PlanStale}
	for _, s := range all {
		if !s.Known() {
			t.Errorf("%s is not known", s)
		}
		for _, next := range all {
			if s.Ended() && s.May(next) {
				t.Errorf("%s may become %s", s, next)
			}
			if !s.Ended() && s != PlanKept && s != PlanSuggested && !s.May(PlanBlocked) && s != PlanBlocked {
				t.Errorf("%s can't be blocked", s)
			}
		}
		if !s.Ended() && (!s.May(PlanCancelled) || !s.May(PlanStale)) {
			t.Errorf("%s has no end", s)
		}
		if (s == PlanKept || s == PlanSuggested) && s.May(PlanRunning) {
			t.Errorf("%s would run without anybody's word", s)
		}
	}
	if PlanStatus("").Known() || PlanStatus("").May(PlanQueued) {
		t.Error("no status is one")
	}
}

func TestHoldsOfAPlanAreToldApart(t *testing.T) {
	if h := PlanHold("p", 12, "target"); h != "plan/p/12/target" || !HoldsOf("p", h) || HoldsOf("p1", h) || HoldsOf("p", PlanHold("p1", 2, "target")) {
		t.Error(h)
	}
}

func TestADrainGoesOnOnlyWhereItIs(t *testing.T) {
	for _, c := range []struct {
		from, to DrainState
		want     bool
	}{
		{DrainNone, DrainGoesOn, true}, {DrainGoesOn, DrainPaused, true}, {DrainPaused, DrainGoesOn, true}, {DrainGoesOn, DrainBlocked, true}, {DrainBlocked, DrainGoesOn, true},
		{DrainGoesOn, DrainDone, true}, {DrainBlocked, DrainDone, true}, {DrainDone, DrainGoesOn, true}, {DrainDone, DrainNone, true}, {DrainPaused, DrainNone, true},
		{DrainNone, DrainPaused, false}, {DrainNone, DrainDone, false}, {DrainDone, DrainPaused, false}, {DrainDone, DrainBlocked, false}, {DrainNone, DrainNone, false}, {DrainGoesOn, "x", false},
	} {
		if got := c.from.May(c.to); got != c.want {
			t.Errorf("%q to %q: %v", c.from, c.to, got)
		}
	}
}
