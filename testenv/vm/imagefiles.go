//go:build linux

package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	guestdPath = "/usr/local/sbin/guestd"

	// initramfsHook keeps Debian's initial RAM disk to what these guests need to find their
	// disk: a sixth of the size, unpacked in a fraction of the time.
	initramfsHook = `#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
force_load virtio_pci
force_load virtio_blk
force_load ext4
`

	// These take the place of the scripts that run udev in the initial RAM disk: a third of the
	// boot, to find the one disk that the kernel has found already. The second one also hands on
	// the device files.
	noUdev  = "#!/bin/sh\nexit 0\n"
	moveDev = `#!/bin/sh
[ "$1" = prereqs ] && exit 0
mount -n -o move /dev "$rootmnt/dev"
`

	// guestdUnit serves as early as possible, so that a boot that goes wrong can be looked at.
	guestdUnit = `[Unit]
Description=Control channel of the test bed
DefaultDependencies=no
After=systemd-remount-fs.service systemd-tmpfiles-setup-dev.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target
[Service]
ExecStart=` + guestdPath + `
Environment=HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Restart=always
RestartSec=200ms
KillMode=process
Delegate=yes
OOMScoreAdjust=-1000
[Install]
WantedBy=sysinit.target
`

	// quotaSlice keeps the kernel at counting CPU quotas from the boot on. It would rewrite its own code at the first quota and after the last one, in the
	// middle of the scheduler, and a guest with two translated processors can hang then: one of them goes on running the breakpoint that had stood there for
	// a moment, for ever, with its queue locked. Moves of limited instances do that again and again.
	quotaSlice = "[Unit]\nDescription=CPU quotas are in use\nDefaultDependencies=no\n[Slice]\nCPUQuota=10000%\n"

	// cpusUnit brings up the processors beside the first: a kernel that boots rewrites its code again and again, by quotaSlice for one, and with one
	// processor none can hang. Before anything is started that counts them. See kernelArguments.
	cpusUnit = `[Unit]
Description=All processors
DefaultDependencies=no
Requires=quota.slice
After=quota.slice
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do [ ! -e "$cpu" ] || echo 1 >"$cpu"; done'
`

	// Drivers that udev would load: see maskedUnits.
	modulesConf = "virtio_net\nvirtio_rng\n"

	// Kept on disk, so that the log of a boot that ended badly can be read after the next.
	journaldConf = "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRateLimitIntervalSec=0\n"

	// Guests live short and are reset hard: nothing is gained by waiting for a slow unit.
	managerConf = "[Manager]\nDefaultTimeoutStopSec=20s\n"

	// The journal is replayed on mounting; a check at every boot would find nothing more.
	fstab = "/dev/vda / ext4 rw,noatime 0 0\n"
)

// initramfsFiles are in place before Debian makes the initial RAM disk.
func initramfsFiles() map[string]File {
	const folder = "/etc/initramfs-tools/"
	return map[string]File{
		folder + "conf.d/glidepath-vm":      {Content: []byte("MODULES=list\n")},
		folder + "hooks/glidepath-vm":       {Content: []byte(initramfsHook), Mode: 0o755},
		folder + "scripts/init-top/udev":    {Content: []byte(noUdev), Mode: 0o755},
		folder + "scripts/init-bottom/udev": {Content: []byte(moveDev), Mode: 0o755},
	}
}

// systemFiles are in every image.
func systemFiles() map[string]File {
	return map[string]File{
		"/etc/systemd/system/guestd.service":             {Content: []byte(guestdUnit)},
		"/etc/systemd/system/quota.slice":                {Content: []byte(quotaSlice)},
		"/etc/systemd/system/cpus.service":               {Content: []byte(cpusUnit)},
		"/etc/modules-load.d/glidepath-vm.conf":          {Content: []byte(modulesConf)},
		"/etc/systemd/journald.conf.d/glidepath-vm.conf": {Content: []byte(journaldConf)},
		"/etc/systemd/system.conf.d/glidepath-vm.conf":   {Content: []byte(managerConf)},
		"/etc/fstab":      {Content: []byte(fstab)},
		"/etc/hostname":   {Content: []byte("guest\n")},
		"/etc/machine-id": {Content: []byte{}},
	}
}

// furnish turns an unpacked Debian system below root into that of the image.
func (i Image) furnish(root, guestd string) error {
	files := systemFiles()
	maps.Copy(files, i.Files)
	binary, err := os.ReadFile(guestd)
	if err != nil {
		return err
	}
	files[guestdPath] = File{Content: binary, Mode: 0o755}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := placeFile(filepath.Join(root, name), files[name]); err != nil {
			return err
		}
	}
	units := filepath.Join(root, "etc/systemd/system")
	for _, unit := range i.Disabled {
		if err := disableUnit(units, unit); err != nil {
			return err
		}
	}
	for _, unit := range i.Masked {
		if err := disableUnit(units, unit); err != nil {
			return err
		}
		if err := replaceLink("/dev/null", filepath.Join(units, unit)); err != nil {
			return err
		}
	}
	if err := maskGenerators(root); err != nil {
		return err
	}
	wants := filepath.Join(units, "sysinit.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	for _, unit := range []string{"guestd.service", "quota.slice", "cpus.service"} {
		if err := replaceLink("../"+unit, filepath.Join(wants, unit)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "var/log/journal"), 0o755); err != nil {
		return err
	}
	return replaceLink("/lib/systemd/system/multi-user.target", filepath.Join(units, "default.target"))
}

func placeFile(name string, file File) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(file.Mode)
	if mode == 0 {
		mode = 0o644
	}
	// Never through a link that a package left there and that leads out of the tree.
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(name, file.Content, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// disableUnit removes what systemctl enable has made of the unit.
func disableUnit(units, unit string) error {
	for _, kind := range []string{"wants", "requires"} {
		links, err := filepath.Glob(filepath.Join(units, "*."+kind, unit))
		if err != nil {
			return err
		}
		for _, link := range links {
			if err := os.Remove(link); err != nil {
				return err
			}
		}
	}
	return nil
}

func replaceLink(target, name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, name)
}

// resolveInside follows the links of a file below root, and refuses to be led out of it.
func resolveInside(root, name string) (string, error) {
	found, err := filepath.EvalSymlinks(filepath.Join(root, name))
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(found, root+"/") {
		return "", fmt.Errorf("%s leads out of the image to %s", name, found)
	}
	return found, nil
}

// keptGenerators are the programs that systemd asks for units at boot and at every reload, and that a guest needs. Emulated, each
// of the others costs as long as starting a service, and answers that there is nothing to do.
func keptGenerators() []string { return []string{"systemd-fstab-generator"} }

func maskGenerators(root string) error {
	const folder = "systemd/system-generators"
	there, err := os.ReadDir(filepath.Join(root, "usr/lib", folder))
	if err != nil {
		return err
	}
	masks := filepath.Join(root, "etc", folder)
	if err := os.MkdirAll(masks, 0o755); err != nil {
		return err
	}
	for _, generator := range there {
		if slices.Contains(keptGenerators(), generator.Name()) {
			continue
		}
		if err := replaceLink("/dev/null", filepath.Join(masks, generator.Name())); err != nil {
			return err
		}
	}
	return nil
}
