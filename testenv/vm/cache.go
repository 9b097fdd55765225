//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unusedFor is how long an entry of the cache is kept after its last use.
const unusedFor = 30 * 24 * time.Hour

// CacheDir returns the folder in which images are kept: $GLIDEPATH_CACHE if set, otherwise
// glidepath in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("GLIDEPATH_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set GLIDEPATH_CACHE to one): %w", err)
	}
	return filepath.Join(dir, "glidepath"), nil
}

// cache holds files and directories by name. An entry is whole or absent; several programs may
// use one cache.
type cache struct{ dir string }

// entry returns the path of an entry, made by build at the path that it is given if it is not
// there yet. While one program builds it, others that want it wait.
func (c cache) entry(ctx context.Context, name string, build func(path string) error) (string, error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	path := filepath.Join(c.dir, name)
	if c.touch(path) {
		return path, nil
	}
	lock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if c.touch(path) {
		return path, nil
	}
	// Under the lock, what lies there is of a build that was interrupted.
	half := path + ".tmp"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	if err := os.Mkdir(half, 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := build(filepath.Join(half, "entry")); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(half, "entry"), path); err != nil {
		return "", err
	}
	return path, c.prune(time.Now())
}

// touch reports whether an entry exists, and marks it as used.
func (c cache) touch(path string) bool {
	now := time.Now()
	return os.Chtimes(path, now, now) == nil
}

// prune removes entries that have not been used for long.
func (c cache) prune(now time.Time) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		// Locks stay: removing one could give two programs different files to lock.
		if strings.HasSuffix(entry.Name(), ".lock") || now.Sub(info.ModTime()) < unusedFor {
			continue
		}
		if err := os.RemoveAll(filepath.Join(c.dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
