package tree

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// flushEach is how many files are synced one by one. Beyond, one sync of the whole file system is cheaper, though it waits
// for what others have written, too.
const flushEach = 64

// flusher makes files durable at the end of a pass: together, so that they share the commits of the file system's journal.
type flusher struct {
	files []*os.File
	whole *os.File // where the file system is synced; opened early, so that it reports every failed write-back since
	moved func()
	many  bool
}

// newFlusher returns a flusher for files beside and below root. It calls moved, which may be nil, after every file.
func newFlusher(root string, moved func()) (*flusher, error) {
	whole, err := os.Open(filepath.Dir(root))
	if err != nil {
		return nil, err
	}
	return &flusher{whole: whole, moved: moved}, nil
}

// add takes the file over.
func (f *flusher) add(file *os.File) {
	if f.many = f.many || len(f.files) == flushEach; f.many {
		_ = file.Close()
		return
	}
	f.files = append(f.files, file)
}

// wait returns when all that was added is durable.
func (f *flusher) wait() error {
	if f.many {
		if err := unix.Syncfs(int(f.whole.Fd())); err != nil {
			return fmt.Errorf("sync the file system of %s: %w", f.whole.Name(), noSpace(err))
		}
		return nil
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, file := range f.files {
		g.Go(func() error {
			if err := file.Sync(); err != nil {
				return fmt.Errorf("sync %q: %w", file.Name(), noSpace(err))
			}
			if f.moved != nil {
				f.moved()
			}
			return nil
		})
	}
	return g.Wait()
}

func (f *flusher) close() {
	for _, file := range f.files {
		_ = file.Close()
	}
	_ = f.whole.Close()
}
