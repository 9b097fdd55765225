package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/glidepath/glidepath/internal/durable"
)

// lostAndFound is in the root of an ext file system that is otherwise empty.
const lostAndFound = "lost+found"

// vacant describes a path that data are to come to. It is free when nothing is there but an empty directory, as packages create it.
func vacant(path string) (p dataPath, free bool, err error) {
	p.Path = path
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, true, nil
	}
	if err != nil {
		return p, false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok {
		return p, false, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return p, false, err
	}
	for _, e := range entries {
		if e.Name() != lostAndFound {
			return p, false, nil
		}
	}
	p.Existed, p.Mode, p.UID, p.GID = true, info.Mode(), int(st.Uid), int(st.Gid)
	return p, true, nil
}

// restore makes a data path again what it was: what came there is removed.
func (p dataPath) restore() error {
	if !p.Existed {
		return os.RemoveAll(p.Path)
	}
	entries, err := os.ReadDir(p.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		if err := os.RemoveAll(p.Path); err != nil {
			return err
		}
		if err := os.Mkdir(p.Path, 0o700); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == lostAndFound {
			continue
		}
		if err := os.RemoveAll(filepath.Join(p.Path, e.Name())); err != nil {
			return err
		}
	}
	// The owner first: changing it clears mode bits.
	return errors.Join(os.Lchown(p.Path, p.UID, p.GID), os.Chmod(p.Path, p.Mode))
}

// missingParents returns the directories above path that do not exist, outermost first.
func missingParents(path string) []string {
	var missing []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(missing)
			return missing
		}
		missing = append(missing, dir)
	}
}

// away returns where a path is moved to, by a rename: below keep when that is on the same file system, else beside it, and
// into itself when a file system is mounted there, which can't be renamed.
func away(keep, path, label string) (string, error) {
	own, err := device(path)
	if err != nil {
		return "", err
	}
	parent, err := device(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	if own != parent {
		return filepath.Join(path, ".glidepath-"+label), nil
	}
	if err := os.MkdirAll(keep, 0o700); err != nil {
		return "", err
	}
	if kept, err := device(keep); err != nil {
		return "", err
	} else if kept == own {
		return filepath.Join(keep, path), nil
	}
	return path + ".glidepath-" + label, nil
}

func device(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: its file system is not known", path)
	}
	return st.Dev, nil
}

// run moves m.From to m.To, so that it lasts. What has been moved already stays where it is.
func (m move) run(files durable.FS) error {
	if inside(m) {
		return m.each(files, m.From, m.To)
	}
	return rename(files, m.From, m.To)
}

// back moves m.To to m.From, over what came there meanwhile. When nothing lies at m.To, it has been moved back already.
func (m move) back(files durable.FS) error {
	if _, err := os.Lstat(m.To); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if inside(m) {
		return errors.Join(m.each(files, m.To, m.From), os.Remove(m.To))
	}
	if err := os.RemoveAll(m.From); err != nil {
		return err
	}
	return rename(files, m.To, m.From)
}

func inside(m move) bool { return strings.HasPrefix(m.To, m.From+"/") }

// each moves the entries of one directory to another one, but for the one that is inside it.
func (m move) each(files durable.FS, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(from, e.Name())
		if path == m.To || e.Name() == lostAndFound {
			continue
		}
		if err := rename(files, path, filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// rename renames so that it survives a power cut. A source that is gone was renamed before.
func rename(files durable.FS, from, to string) error {
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := files.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(files.SyncDir(filepath.Dir(to)), files.SyncDir(filepath.Dir(from)))
}

// removeEmpty removes directories, innermost first, as long as they are empty.
func removeEmpty(dirs []string) error {
	for _, dir := range slices.Backward(dirs) {
		err := os.Remove(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// removeEmptyTree removes a directory and those in it if there are no files.
func removeEmptyTree(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	return errors.Join(err, removeEmpty(dirs))
}
