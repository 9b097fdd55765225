package enforce

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/glidepath/glidepath/internal/resource"
)

// ErrNotRunning is told by errors.Is when an instance has no cgroup now: nothing of it runs, so nothing can be limited.
var ErrNotRunning = errors.New("it has no cgroup: it does not run")

// MissingError is a limit that can't be set because its controller is not there for the instance.
type MissingError struct {
	Controller string
	Cgroup     string
}

// Error names the controller, and how to get it.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%s has no %s controller: %s", e.Cgroup, e.Controller, controllerRemedy(e.Controller))
}

// cgroup is the directory of a cgroup v2.
type cgroup string

// read returns the content of a file without the newline at its end.
func (c cgroup) read(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(string(c), file))
	if err != nil {
		return "", c.explain(file, err)
	}
	return string(bytes.TrimRight(b, "\n")), nil
}

// readAmount returns the number in a file; "max" is Unlimited.
func (c cgroup) readAmount(file string) (int64, error) {
	s, err := c.read(file)
	if err != nil {
		return 0, err
	}
	n, err := parseAmount(s)
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w", file, c, err)
	}
	return n, nil
}

// write writes a file in one call, as the kernel wants it. Not by os.File: files of cgroups can be polled, so it would take EAGAIN, by which
// memory.reclaim says that it did not find enough, for a reason to wait, forever.
func (c cgroup) write(file, value string) error {
	path := filepath.Join(string(c), file)
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_TRUNC|syscall.O_CLOEXEC, 0)
	if err != nil {
		return c.explain(file, &fs.PathError{Op: "open", Path: path, Err: err})
	}
	_, err = syscall.Write(fd, []byte(value))
	if err := errors.Join(err, syscall.Close(fd)); err != nil {
		return fmt.Errorf("write %q to %s of %s: %w", value, file, c, err)
	}
	return nil
}

// fileWrite is a value for a file of a cgroup.
type fileWrite struct{ file, value string }

// writeAll writes in order, up to the first failure.
func (c cgroup) writeAll(writes []fileWrite) error {
	for _, w := range writes {
		if err := c.write(w.file, w.value); err != nil {
			return err
		}
	}
	return nil
}

// parent is the cgroup above.
func (c cgroup) parent() cgroup { return cgroup(filepath.Dir(string(c))) }

func (c cgroup) has(file string) bool {
	_, err := os.Stat(filepath.Join(string(c), file))
	return err == nil
}

// explain says of a file that can't be opened whether the cgroup is gone or its controller is missing.
func (c cgroup) explain(file string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) { // ENODEV: removed while it was open
		return fmt.Errorf("%s of %s: %w", file, c, err)
	}
	if _, statErr := os.Stat(string(c)); statErr != nil {
		return fmt.Errorf("%s: %w", c, ErrNotRunning)
	}
	controller, _, _ := strings.Cut(file, ".")
	return &MissingError{Controller: controller, Cgroup: string(c)}
}

func parseAmount(s string) (int64, error) {
	if s == "max" {
		return resource.Unlimited, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return min(n, resource.Unlimited), nil
}

// printAmount is the inverse of parseAmount.
func printAmount(n int64) string {
	if n >= resource.Unlimited {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

// controllerRemedy says how a host gets a controller.
func controllerRemedy(controller string) string {
	switch controller {
	case "memory":
		return "boot with cgroup_enable=memory, and let no parent slice be without MemoryAccounting=yes"
	case "io":
		return "the kernel needs CONFIG_BLK_DEV_THROTTLING, and the unit IOAccounting=yes (adoption sets it; a restart of the unit may be needed)"
	default:
		return "boot with systemd.unified_cgroup_hierarchy=1 and without cgroup_disable=" + controller
	}
}
