//go:build linux

package vm

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path that fits the address of a Unix socket, in bytes.
const maxSocketPath = 107

// processor is what Debian and Go need at least (x86-64-v2), and no more: each further feature
// makes translated code slower, or makes the kernel load modules. A boot takes a quarter less
// than with "max".
const processor = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand,-svm"

// qemuCommand returns the command that runs the guest.
func (g *Guest) qemuCommand() *exec.Cmd {
	return exec.Command("qemu-system-x86_64",
		"-name", "guest="+g.fleet.Name()+"."+g.node.Name,
		"-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35", "-accel", accelerator(), "-cpu", processor,
		"-smp", strconv.Itoa(g.node.CPUs), "-m", strconv.Itoa(g.node.MemoryMiB),
		"-rtc", "base=utc",
		"-chardev", "file,id=console,append=on,path="+escape(g.Console()), "-serial", "chardev:console",
		"-chardev", "socket,id=qmp,server=on,wait=off,path="+escape(g.qmpSocket()), "-mon", "chardev=qmp,mode=control",
		// Unsafe towards a crash of this machine only: the guest's disk does not outlive it.
		"-drive", "if=none,id=root,format=qcow2,cache=unsafe,discard=unmap,file="+escape(g.disk()),
		"-device", "virtio-blk-pci,drive=root",
		"-netdev", "tap,id=data,script=no,downscript=no,ifname="+g.node.tap(),
		"-device", "virtio-net-pci,netdev=data,romfile=,mac="+g.node.dataMAC().String(),
		"-netdev", "tap,id=control,script=no,downscript=no,ifname="+g.node.control(),
		"-device", "virtio-net-pci,netdev=control,romfile=,mac="+g.node.controlMAC().String(),
		"-device", "virtio-rng-pci",
		"-kernel", g.fleet.image.kernel, "-initrd", g.fleet.image.initrd, "-append", g.kernelArguments())
}

// accelerator returns how QEMU runs the guest's code: translated, unless $GLIDEPATH_VM_ACCEL
// names something else, such as kvm. A /dev/kvm that is there need not work. A guest in use has 500 MiB of translated code after
// four minutes; when the buffer (MiB) is full all is thrown away and translated anew, in the middle of whatever is measured.
func accelerator() string {
	if accel := os.Getenv("GLIDEPATH_VM_ACCEL"); accel != "" {
		return accel
	}
	return "tcg,thread=multi,tb-size=1024"
}

func (g *Guest) kernelArguments() string {
	// Given here, the first boot is no "first boot", in which systemd presets all units.
	machine := sha256.Sum256([]byte(g.fleet.Name() + "\x00" + g.node.Name))
	return strings.Join([]string{
		"root=/dev/vda rw rootfstype=ext4 console=ttyS0 loglevel=4 panic=5 oops=panic net.ifnames=0",
		// So that a guest that hangs can be asked where: see trace.
		"nokaslr unknown_nmi_panic",
		// The others come up when the kernel has rewritten what it rewrites: see cpusUnit.
		"maxcpus=1 noreplace-smp",
		// Nobody attacks the guests, and translated code gains nothing from mitigations.
		"mitigations=off tsc=reliable random.trust_cpu=on audit=0 psi=1 cryptomgr.notests",
		"systemd.machine_id=" + hex.EncodeToString(machine[:16]), "systemd.show_status=no systemd.unified_cgroup_hierarchy=1",
		g.node.bootConfig().CommandLine(),
	}, " ")
}

// escape writes a path as the value of a QEMU option.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }
