package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// own gives what root has made in a folder to the folder's owner: operators run init and join as root, and the service runs as the user
// that its package made. It does nothing for others, and where there is no folder.
func own(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid)) // never through a link
	})
	if err != nil {
		return fmt.Errorf("give %s to its owner: %w", dir, err)
	}
	return nil
}
