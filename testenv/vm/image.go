//go:build linux

package vm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// recipe is raised whenever the code that makes images changes what they contain.
const recipe = 1

// Image describes what guests boot from. The zero value is a Debian with systemd, the services that
// tests move, which are not started at boot, and what the agent depends on. Images are cached under a
// key of everything in here.
//
// Packages built here are not part of it, since they change with every build: see Guest.InstallDebs.
type Image struct {
	// Codename is the Debian release; bookworm if empty.
	Codename string
	// Packages are Debian packages on top of BasePackages.
	Packages []string
	// Files are put into the image, by absolute path.
	Files map[string]File
	// Masked and Disabled are units that can't be started, or are not started at boot, on top of
	// those that a guest has no use for.
	Masked, Disabled []string
	// DiskGiB is the size of the root file system; 8 if 0. It takes up what is written only.
	DiskGiB int
}

// File is one file of an image, owned by root.
type File struct {
	Content []byte
	// Mode is the permission bits; 0644 if 0.
	Mode uint32
}

// BasePackages returns what every image contains besides Debian's required packages.
func BasePackages() []string {
	return []string{
		"acl", "attr", "dbus", "iproute2", "iputils-arping", "iputils-ping", "kmod", "linux-image-cloud-amd64", "nginx",
		"postgresql", "procps", "redis-server", "redis-tools", "rsync", "systemd-sysv", "udev",
	}
}

// maskedUnits only cost time at boot, or disturb measurements. The kernel makes all device files
// by itself; what udev would add at boot is names for them that nobody uses here.
func maskedUnits() []string {
	return []string{
		"apt-daily-upgrade.timer", "apt-daily.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
		"fstrim.timer", "getty@.service", "getty@tty1.service", "logrotate.timer", "serial-getty@ttyS0.service",
		"systemd-logind.service", "systemd-pstore.service", "systemd-binfmt.service", "systemd-hwdb-update.service",
		"modprobe@drm.service", "modprobe@fuse.service", "modprobe@efi_pstore.service", "modprobe@dm_mod.service", "modprobe@loop.service",
		"dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
		"systemd-network-generator.service", "systemd-udev-trigger.service", "kmod-static-nodes.service", "modprobe@configfs.service",
		"systemd-sysusers.service", "systemd-random-seed.service", "systemd-user-sessions.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
	}
}

func (i Image) withDefaults() Image {
	if i.Codename == "" {
		i.Codename = "bookworm"
	}
	if i.DiskGiB == 0 {
		i.DiskGiB = 8
	}
	i.Packages = sortedUnion(BasePackages(), i.Packages)
	i.Masked = sortedUnion(maskedUnits(), i.Masked)
	i.Disabled = sortedUnion([]string{"nginx.service", "postgresql.service", "redis-server.service"}, i.Disabled)
	return i
}

func sortedUnion(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (i Image) validate() error {
	for name := range i.Files {
		if !path.IsAbs(name) || path.Clean(name) != name {
			return fmt.Errorf("image file %q: give a clean absolute path", name)
		}
	}
	for _, name := range i.Packages {
		if name == "" || strings.ContainsAny(name, ", \t\n") {
			return fmt.Errorf("image package %q: give one package name", name)
		}
	}
	for _, unit := range slices.Concat(i.Masked, i.Disabled) {
		if unit == "" || strings.Contains(unit, "/") {
			return fmt.Errorf("image unit %q: give a unit's name", unit)
		}
	}
	if i.DiskGiB < 2 || i.DiskGiB > 1024 {
		return fmt.Errorf("image disk of %d GiB: give 2 to 1024", i.DiskGiB)
	}
	return nil
}

// baseKey identifies the unpacked Debian system that an image is made from.
func (i Image) baseKey() string {
	return hashOf(recipe, i.Codename, i.Packages, leftOut(), initramfsFiles())
}

// key identifies the finished image, given the hash of the control server's binary.
func (i Image) key(guestdHash string) string {
	type entry struct {
		Path string
		File File
	}
	var files []entry
	for _, name := range slices.Sorted(maps.Keys(i.Files)) {
		files = append(files, entry{name, i.Files[name]})
	}
	return hashOf(i.baseKey(), guestdHash, files, i.Masked, i.Disabled, i.DiskGiB, systemFiles(), keptGenerators())
}

// hashOf returns a short hash of values that have a stable JSON form.
func hashOf(values ...any) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic("vm: key of unencodable value: " + err.Error()) // plain data only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:10])
}
