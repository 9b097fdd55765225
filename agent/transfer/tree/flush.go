package tree

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	flushWorkers = 4
	// flushEach is how many files are synced one by one. Beyond, one sync of the whole file system is cheaper, though it waits
	// for what others have written, too.
	flushEach = 64
)

// flusher makes files durable while the next ones are still being received.
type flusher struct {
	g      errgroup.Group
	files  chan *os.File
	closed bool
	count  int
	whole  *os.File // where the file system is synced at the end; opened early, so that it reports every failed write-back since
}

// newFlusher returns a flusher for files beside and below root. It calls moved, which may be nil, after every file.
func newFlusher(root string, moved func()) (*flusher, error) {
	whole, err := os.Open(filepath.Dir(root))
	if err != nil {
		return nil, err
	}
	f := &flusher{files: make(chan *os.File, flushWorkers), whole: whole}
	for range flushWorkers {
		f.g.Go(func() error {
			var first error
			for file := range f.files {
				if first == nil {
					if err := file.Sync(); err != nil {
						first = fmt.Errorf("sync %q: %w", file.Name(), noSpace(err))
					}
				}
				file.Close()
				if moved != nil {
					moved()
				}
			}
			return first
		})
	}
	return f, nil
}

// add takes the file over, syncs and closes it.
func (f *flusher) add(file *os.File) {
	f.count++
	if f.count > flushEach {
		file.Close()
		return
	}
	f.files <- file
}

// wait returns when all that was added is durable.
func (f *flusher) wait() error {
	f.closed = true
	close(f.files)
	err := f.g.Wait()
	if err == nil && f.count > flushEach {
		if err = unix.Syncfs(int(f.whole.Fd())); err != nil {
			err = fmt.Errorf("sync the file system of %s: %w", f.whole.Name(), noSpace(err))
		}
	}
	return err
}

// close gives up what was not waited for.
func (f *flusher) close() {
	if !f.closed {
		close(f.files)
		f.g.Wait() //nolint:errcheck // the pass has failed already
	}
	f.whole.Close()
}
