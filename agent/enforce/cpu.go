package enforce

import (
	"fmt"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
)

// The period over which cpu.max counts, and what an idle instance may save up of it.
const (
	cpuPeriod  = 100_000 // µs
	burstShare = 2       // half a period's quota may be saved up and spent in one later period
)

// cpuQuota is µs of CPU time per period for thousandths of a core.
func cpuQuota(milli int64) int64 {
	if milli >= resource.Unlimited {
		return resource.Unlimited
	}
	return milli * cpuPeriod / 1000
}

// readCPU returns the quota in thousandths of a core, as cpu.max holds it for whatever period.
func readCPU(c cgroup) (int64, error) {
	s, err := c.read("cpu.max")
	if err != nil {
		return 0, err
	}
	quota, period, ok := strings.Cut(s, " ")
	q, err1 := parseAmount(quota)
	p, err2 := parseAmount(period)
	if !ok || err1 != nil || err2 != nil || p <= 0 {
		return 0, fmt.Errorf("cpu.max of %s: %q is not a quota and a period", c, s)
	}
	if q >= resource.Unlimited {
		return resource.Unlimited, nil
	}
	return q * 1000 / p, nil
}

// setCPU makes cpu.max hold milli thousandths of a core, and reports whether anything had to be written.
func setCPU(c cgroup, milli int64) (wrote bool, err error) {
	is := cpuState{burst: -1}
	if is.max, err = c.read("cpu.max"); err != nil {
		return false, err
	}
	if c.has("cpu.max.burst") { // since Linux 5.14
		if is.burst, err = c.readAmount("cpu.max.burst"); err != nil {
			return false, err
		}
	}
	writes := cpuWrites(is, milli)
	return len(writes) > 0, c.writeAll(writes)
}

// cpuState is what the kernel holds of a CPU limit.
type cpuState struct {
	max   string
	burst int64 // µs; -1 where the kernel knows none
}

// cpuWrites returns what leads from a state to a limit of milli thousandths of a core. The kernel refuses a burst above the
// quota, and a quota below the burst: the burst is lowered first and raised last.
func cpuWrites(is cpuState, milli int64) (writes []fileWrite) {
	want := fmt.Sprintf("%s %d", printAmount(cpuQuota(milli)), cpuPeriod)
	burst := int64(0)
	if milli < resource.Unlimited {
		burst = cpuQuota(milli) / burstShare
	}
	if is.burst > burst {
		writes = append(writes, fileWrite{"cpu.max.burst", printAmount(burst)})
	}
	if is.max != want {
		writes = append(writes, fileWrite{"cpu.max", want})
	}
	if is.burst >= 0 && is.burst < burst {
		writes = append(writes, fileWrite{"cpu.max.burst", printAmount(burst)})
	}
	return writes
}

// defaultWeight is the kernel's cpu.weight.
const defaultWeight = 100

func setWeight(c cgroup, weight int64) error {
	is, err := c.readAmount("cpu.weight")
	if err != nil || is == weight {
		return err
	}
	return c.write("cpu.weight", printAmount(weight))
}
