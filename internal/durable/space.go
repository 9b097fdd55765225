package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Space returns how many bytes are left for whoever is not root on the file system that path is on, and how many there are in all.
func Space(path string) (available, size int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, 0, fmt.Errorf("space at %s: %w", path, err)
	}
	return int64(fs.Bavail) * fs.Bsize, int64(fs.Blocks) * fs.Bsize, nil
}
