package collect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
)

func TestFactsSayWhatIsKnownAndWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("memory cpu pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/etc/machine-id"); err != nil {
		t.Skip("this machine has no machine-id")
	}
	f, err := Facts(t.Context(), FactsConfig{
		Name: "host-a", Cgroups: dir, DataPath: dir, Interface: "lo", Segment: "rack-1",
		Capacity: resource.Vector{resource.WriteIOPS: 500},
		Reserve:  resource.Vector{resource.CPU: 100, resource.Memory: 1 << 20, resource.ReadIOPS: 10},
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.CPUs < 1 || f.Capacity[resource.CPU] != int64(1000*f.CPUs) || f.Allocatable[resource.CPU] != f.Capacity[resource.CPU]-100 {
		t.Errorf("%d CPUs, capacity %v, allocatable %v", f.CPUs, f.Capacity, f.Allocatable)
	}
	if f.Capacity[resource.WriteIOPS] != 500 || f.Capacity[resource.ReadIOPS] != resource.Unlimited || f.Allocatable[resource.ReadIOPS] != resource.Unlimited {
		t.Errorf("storage: capacity %v, allocatable %v", f.Capacity, f.Allocatable)
	}
	if f.Capacity[resource.Memory] < 1<<20 || f.BootID == "" || f.Kernel == "" || f.DiskFree <= 0 || f.Segment != "rack-1" {
		t.Errorf("%+v", f)
	}
	if got := strings.Join(f.Controllers, " "); got != "cpu memory pids" {
		t.Errorf("controllers %q", got)
	}
	found := false
	for _, m := range f.Missing {
		found = found || m.What == "cgroup controller io" && m.Remedy != ""
	}
	if !found {
		t.Errorf("missing %v: want the io controller with a remedy", f.Missing)
	}
}

func TestHostWithoutCgroupV2SaysSo(t *testing.T) {
	have, missing := controllers(filepath.Join(t.TempDir(), "none"))
	if len(have) != 0 || len(missing) != 1 || !strings.Contains(missing[0].Remedy, "unified_cgroup_hierarchy") {
		t.Fatalf("%v, %v", have, missing)
	}
}

func TestDefaultRouteIsTheOneWithTheLowestMetric(t *testing.T) {
	const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth1	00000000	0102A8C0	0003	0	0	200	00000000	0	0	0
eth0	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
`
	if got := defaultRoute(table); got != "eth0" {
		t.Errorf("%q, want eth0", got)
	}
	if got := defaultRoute("Iface\tDestination\n"); got != "" {
		t.Errorf("%q, want none", got)
	}
}

func TestInterfaceThatIsNotThereIsAnErrorThatNamesIt(t *testing.T) {
	if _, err := uplink("nic-of-another-host"); err == nil || !strings.Contains(err.Error(), "nic-of-another-host") {
		t.Fatalf("%v", err)
	}
}
