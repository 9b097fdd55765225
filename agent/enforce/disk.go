package enforce

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/internal/resource"
)

// Disk is a whole block device: limits hold for disks, never for their partitions. A device-mapper volume counts as a disk of
// its own; limits on it hold before its requests reach the disks below.
type Disk struct {
	Number string // major:minor, as io.max names it
	Node   string // /dev/vda, as systemd wants it
}

// ErrNoDisk is told by errors.Is for a path on a file system that has no local disk: tmpfs, NFS, overlay.
var ErrNoDisk = errors.New("its file system is on no local disk, so storage can't be limited there")

// disksBehind returns the disks behind the paths, each once, sorted by number. A path that does not exist yet counts as its
// nearest parent that does.
func disksBehind(sysDir string, paths []string) ([]Disk, error) {
	var disks []Disk
	for _, p := range paths {
		number, err := deviceOf(p)
		if err != nil {
			return nil, err
		}
		d, err := wholeDisk(sysDir, number)
		if err != nil {
			return nil, fmt.Errorf("disk behind %s: %w", p, err)
		}
		if !slices.Contains(disks, d) {
			disks = append(disks, d)
		}
	}
	slices.SortFunc(disks, func(a, b Disk) int { return strings.Compare(a.Number, b.Number) })
	return disks, nil
}

// deviceOf returns major:minor of the device that holds a path.
func deviceOf(path string) (string, error) {
	for {
		var st syscall.Stat_t
		err := syscall.Stat(path, &st)
		if errors.Is(err, fs.ErrNotExist) && path != "/" {
			path = filepath.Dir(path)
			continue
		}
		if err != nil {
			return "", fmt.Errorf("disk behind %s: %w", path, err)
		}
		if unix.Major(st.Dev) == 0 { // btrfs and others number their volumes themselves
			return sourceOf(path, st.Dev)
		}
		return deviceNumber(st.Dev), nil
	}
}

func deviceNumber(dev uint64) string { return fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)) }

// sourceOf returns the device that is mounted where a path is.
func sourceOf(path string, dev uint64) (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 36 35 0:31 / /mnt rw,noatime - btrfs /dev/vda2 rw: see proc_pid_mountinfo(5)
		mount, source, ok := strings.Cut(lines.Text(), " - ")
		fields, sources := strings.Fields(mount), strings.Fields(source)
		if !ok || len(fields) < 5 || len(sources) < 2 || !strings.HasPrefix(sources[1], "/dev/") {
			continue
		}
		var st syscall.Stat_t
		if syscall.Stat(fields[4], &st) != nil || st.Dev != dev {
			continue
		}
		if err := syscall.Stat(sources[1], &st); err != nil {
			return "", fmt.Errorf("disk behind %s: %w", path, err)
		}
		return deviceNumber(st.Rdev), nil
	}
	return "", fmt.Errorf("disk behind %s: %w", path, ErrNoDisk)
}

// wholeDisk returns the disk that a device is, or is a partition of.
func wholeDisk(sysDir, number string) (Disk, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(sysDir, "dev/block", number))
	if errors.Is(err, fs.ErrNotExist) {
		return Disk{}, fmt.Errorf("device %s: %w", number, ErrNoDisk)
	}
	if err != nil {
		return Disk{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	dev, err := os.ReadFile(filepath.Join(dir, "dev"))
	if err != nil {
		return Disk{}, err
	}
	return Disk{Number: strings.TrimSpace(string(dev)), Node: "/dev/" + strings.ReplaceAll(filepath.Base(dir), "!", "/")}, nil
}

// ioKeys are the keys of io.max.
var ioKeys = map[resource.Kind]string{
	resource.ReadIOPS: "riops", resource.WriteIOPS: "wiops", resource.ReadBytes: "rbps", resource.WriteBytes: "wbps",
}

// readIO returns what io.max holds for a disk under a key. A disk that it does not list has no limit.
func readIO(c cgroup, disk, key string) (int64, error) {
	all, err := c.read("io.max")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(all) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != disk {
			continue
		}
		for _, f := range fields[1:] {
			if v, ok := strings.CutPrefix(f, key+"="); ok {
				return parseAmount(v)
			}
		}
	}
	return resource.Unlimited, nil
}

// setIO makes io.max hold amount under a key for each disk. Other keys keep what they have.
func setIO(c cgroup, disks []Disk, key string, amount int64) (wrote bool, err error) {
	for _, d := range disks {
		is, err := readIO(c, d.Number, key)
		if err != nil {
			return wrote, err
		}
		if is == amount {
			continue
		}
		if err := c.write("io.max", fmt.Sprintf("%s %s=%s", d.Number, key, printAmount(amount))); err != nil {
			return wrote, err
		}
		wrote = true
	}
	return wrote, nil
}
