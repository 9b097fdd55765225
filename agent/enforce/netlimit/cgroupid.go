package netlimit

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// cgroupID returns the kernel's number of the cgroup at path.
func cgroupID(path string) (uint64, error) {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return 0, fmt.Errorf("number of cgroup %s: %w", path, err)
	}
	b := h.Bytes()
	if len(b) != 8 {
		return 0, fmt.Errorf("number of cgroup %s: a handle of %d bytes, want 8 (is this cgroup v2?)", path, len(b))
	}
	return binary.NativeEndian.Uint64(b), nil
}
