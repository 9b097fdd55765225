package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// DebianPackages returns the packages that this package's tools come from, for apt-get install.
func DebianPackages() []string {
	return []string{
		"qemu-system-x86", "qemu-utils", "mmdebstrap", "e2fsprogs", "iproute2", "nftables", "util-linux", "tar", "debian-archive-keyring",
	}
}

// tools names, for each program that is run, the Debian package that has it.
func tools() [][2]string {
	return [][2]string{
		{"qemu-system-x86_64", "qemu-system-x86"},
		{"qemu-img", "qemu-utils"},
		{"mmdebstrap", "mmdebstrap"},
		{"mke2fs", "e2fsprogs"},
		{"ip", "iproute2"},
		{"tc", "iproute2"},
		{"nft", "nftables"},
		{"nsenter", "util-linux"},
		{"tar", "tar"},
	}
}

// Check returns nil if fleets can be run here, and otherwise an error that names everything
// that is missing and what to do about it.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the test bed can't run here: it needs Linux, this is %s: use a Linux machine, a VM or a container with --privileged", runtime.GOOS)
	}
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("the test bed can't run here: its guests are amd64, this is %s: use an amd64 machine", runtime.GOARCH)
	}
	var missing []error
	if os.Geteuid() != 0 {
		missing = append(missing, errors.New("not root (it makes network namespaces and file systems): run as root"))
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		missing = append(missing, errors.New("no apt-get (its guests are made from Debian packages): use Debian or a derivative"))
	}
	missing = append(missing, missingTools(), canMakeNetworks())
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing = append(missing, errors.New("no /dev/net/tun: run modprobe tun, or give the container that device"))
	}
	if err := errors.Join(missing...); err != nil {
		return fmt.Errorf("the test bed can't run here: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

func missingTools() error {
	var names []string
	packages := map[string]bool{}
	for _, tool := range tools() {
		if _, err := exec.LookPath(tool[0]); err != nil {
			names = append(names, tool[0])
			packages[tool[1]] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	var install []string
	for _, name := range DebianPackages() {
		if packages[name] {
			install = append(install, name)
		}
	}
	return fmt.Errorf("missing %s: apt-get install %s", strings.Join(names, ", "), strings.Join(install, " "))
}
