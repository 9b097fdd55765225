package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// FactsConfig is what the agent's configuration says of the host, beside what can be found out.
type FactsConfig struct {
	Name         string
	AgentVersion string
	SyncAddr     string
	Labels       []proto.Label   // sorted by key
	Cgroups      string          // mount point of cgroup v2
	DataPath     string          // where instances' data are: its file system's free space counts
	Interface    string          // where addresses are announced; "" for that of the default route
	Segment      string          // L2 segment; "" to derive it from the interface's network
	Capacity     resource.Vector // amounts that the operator states; 0 for what is found out
	Reserve      resource.Vector // kept for the system: never promised
}

// Facts finds out what the host is and has. Of storage it knows only what the operator states; of the network what the
// interface's link says. What is neither stated nor known is Unlimited: it is measured and forecast, but never short.
func Facts(ctx context.Context, c FactsConfig) (proto.HostFacts, error) {
	f := proto.HostFacts{Name: c.Name, AgentVersion: c.AgentVersion, SyncAddr: c.SyncAddr, Labels: c.Labels}
	var err error
	if f.MachineID, err = line("/etc/machine-id"); err != nil {
		return f, fmt.Errorf("identify host %s: %w: run systemd-machine-id-setup", c.Name, err)
	}
	if f.BootID, err = line("/proc/sys/kernel/random/boot_id"); err != nil {
		return f, fmt.Errorf("identify the boot of host %s: %w", c.Name, err)
	}
	if f.Kernel, err = host.KernelVersionWithContext(ctx); err != nil {
		return f, fmt.Errorf("read the kernel's version: %w", err)
	}
	platform, _, version, err := host.PlatformInformationWithContext(ctx)
	if err != nil {
		return f, fmt.Errorf("read the system's version: %w", err)
	}
	f.OS = strings.TrimSpace(platform + " " + version)

	if f.CPUs, err = cpu.CountsWithContext(ctx, true); err != nil {
		return f, fmt.Errorf("count CPUs: %w", err)
	}
	if models, err := cpu.InfoWithContext(ctx); err == nil && len(models) > 0 {
		f.CPUModel = models[0].ModelName // for people; some architectures print none
	}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return f, fmt.Errorf("read memory: %w", err)
	}
	space, err := disk.UsageWithContext(ctx, c.DataPath)
	if err != nil {
		return f, fmt.Errorf("read the free space of %s: %w: create it, or set the data path to a folder that exists", c.DataPath, err)
	}
	f.DiskFree = int64(min(space.Free, uint64(resource.Unlimited)))

	if f.Interface, err = uplink(c.Interface); err != nil {
		return f, err
	}
	f.Segment = c.Segment
	if f.Segment == "" {
		if f.Segment, err = segment(f.Interface); err != nil {
			return f, err
		}
	}
	f.Capacity = capacity(c.Capacity, f.CPUs, memory.Total, linkSpeed(f.Interface))
	f.Allocatable = f.Capacity.Sub(c.Reserve)
	f.Controllers, f.Missing = controllers(c.Cgroups)
	return f, nil
}

// capacity returns what is stated, and where nothing is what was found out.
func capacity(stated resource.Vector, cpus int, memory uint64, link int64) resource.Vector {
	found := resource.Uniform(resource.Unlimited)
	found[resource.CPU] = int64(cpus) * 1000
	found[resource.Memory] = int64(min(memory, uint64(resource.Unlimited)))
	found[resource.NetTx], found[resource.NetRx] = link, link
	for k, n := range stated {
		if n > 0 {
			found[k] = n
		}
	}
	return found
}

// controllers returns the cgroup v2 controllers that are there, sorted, and what the agent needs and does not find.
func controllers(mount string) (have []string, missing []proto.Missing) {
	text, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	if err != nil {
		return nil, []proto.Missing{{
			What:   "cgroup v2 at " + mount,
			Remedy: "boot with systemd.unified_cgroup_hierarchy=1, or set the mount point in the agent's configuration",
		}}
	}
	have = strings.Fields(string(text))
	slices.Sort(have)
	for _, need := range []struct{ name, remedy string }{
		{"cpu", "use a kernel with CONFIG_CFS_BANDWIDTH, and free the controller from cgroup v1"},
		{"io", "use a kernel with CONFIG_BLK_DEV_THROTTLING, and free blkio from cgroup v1"},
		{"memory", "boot with cgroup_enable=memory, and free the controller from cgroup v1"},
		{"pids", "use a kernel with CONFIG_CGROUP_PIDS"},
	} {
		if !slices.Contains(have, need.name) {
			missing = append(missing, proto.Missing{What: "cgroup controller " + need.name, Remedy: need.remedy})
		}
	}
	if _, err := os.ReadFile("/proc/pressure/cpu"); err != nil {
		missing = append(missing, proto.Missing{What: "pressure stall information", Remedy: "boot with psi=1"})
	}
	return have, missing
}

// uplink returns the interface where addresses are announced: the one that is named, or that of the default route.
func uplink(named string) (string, error) {
	if named != "" {
		if _, err := net.InterfaceByName(named); err != nil {
			return "", fmt.Errorf("interface %s: %w: name one that this host has", named, err)
		}
		return named, nil
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return "", fmt.Errorf("look for the default route: %w", err)
	}
	if name := defaultRoute(string(routes)); name != "" {
		return name, nil
	}
	return "", errors.New("this host has no default route: name the interface of its instances' addresses in the configuration")
}

// defaultRoute returns the interface of the default route with the lowest metric of a kernel routing table.
func defaultRoute(table string) string {
	const (
		iface, destination, metric, mask = 0, 1, 6, 7
		zero                             = "00000000"
	)
	best, name := -1, ""
	for l := range strings.Lines(table) {
		col := strings.Fields(l)
		if len(col) <= mask || col[destination] != zero || col[mask] != zero {
			continue
		}
		if m, err := strconv.Atoi(col[metric]); err == nil && (best < 0 || m < best) {
			best, name = m, col[iface]
		}
	}
	return name
}

// segment names the L2 segment behind an interface by its network: hosts with an address in the same network reach each
// other's addresses directly, whatever their interfaces are called.
func segment(name string) (string, error) {
	nic, err := net.InterfaceByName(name)
	if err != nil {
		return "", fmt.Errorf("interface %s: %w", name, err)
	}
	addrs, err := nic.Addrs()
	if err != nil {
		return "", fmt.Errorf("read the addresses of interface %s: %w", name, err)
	}
	var networks []*net.IPNet
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if ones, size := n.Mask.Size(); ones < size { // a single address, as a floating one may be, is no network
			networks = append(networks, &net.IPNet{IP: n.IP.Mask(n.Mask), Mask: n.Mask})
		}
	}
	if len(networks) == 0 {
		return "", fmt.Errorf("interface %s has no network: name the segment in the agent's configuration", name)
	}
	// IPv4 first, then in order: hosts with the same networks must name the same one.
	return slices.MinFunc(networks, func(a, b *net.IPNet) int {
		return cmp.Or(cmp.Compare(len(a.Mask), len(b.Mask)), cmp.Compare(a.String(), b.String()))
	}).String(), nil
}

// linkSpeed returns an interface's bits per second as its driver states it, Unlimited where it does not.
func linkSpeed(name string) int64 {
	text, err := line(filepath.Join(sysNet, name, "speed"))
	if err != nil {
		return resource.Unlimited // virtual interfaces have none
	}
	mbit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || mbit <= 0 || mbit > 1_000_000_000 {
		return resource.Unlimited
	}
	return mbit * 1_000_000
}

// line returns the first line of a file.
func line(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	if first = strings.TrimSpace(first); first == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return first, nil
}
