package netlimit

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

func TestReceiveQueueTakesAFewMergedPacketsAtAnyRate(t *testing.T) {
	for _, c := range []struct {
		rate int64
		want time.Duration
	}{
		{100e6, 100 * time.Millisecond}, {1e9, 100 * time.Millisecond}, {1e6, 4 * 65536 * 8 * time.Microsecond},
	} {
		got := limitOf(Receive, c.rate)
		if time.Duration(got.Queue) != c.want || got.Rate != uint64(c.rate) || got.Mark == 0 {
			t.Errorf("%d bits/s: %+v, want a queue of %s", c.rate, got, c.want)
		}
	}
	if got := limitOf(Transmit, 0); got != (netLimit{}) {
		t.Errorf("no limit: %+v", got)
	}
}

func TestEmbeddedProgramsAreForCgroupsAndSuitOldKernels(t *testing.T) {
	spec, err := loadNet()
	if err != nil {
		t.Fatal(err)
	}
	for name, attach := range map[string]ebpf.AttachType{
		netProgPaceEgress: ebpf.AttachCGroupInetEgress, netProgPaceIngress: ebpf.AttachCGroupInetIngress,
	} {
		p := spec.Programs[name]
		if p.Type != ebpf.CGroupSKB || p.AttachType != attach || p.License != "GPL" {
			t.Errorf("%s: %s %s %s", name, p.Type, p.AttachType, p.License)
		}
		for _, ins := range p.Instructions {
			// Linux 5.10 knows helpers up to this one; atomic instructions that fetch came with 5.12.
			if ins.IsBuiltinCall() && ins.Constant > int64(asm.FnPerCpuPtr) {
				t.Errorf("%s calls helper %d, which 5.10 does not have", name, ins.Constant)
			}
			if ins.OpCode.Class() == asm.StXClass && ins.OpCode.Mode() == asm.AtomicMode && ins.OpCode.AtomicOp() != asm.AddAtomic {
				t.Errorf("%s uses an atomic instruction that 5.10 does not have: %v", name, ins)
			}
		}
	}
}
