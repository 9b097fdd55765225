package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/glidepath/glidepath/internal/durable"
)

// maxDownload bounds a file that a coordinator sends, in bytes.
const maxDownload = 1 << 30

// save writes what the API answers, which may be large, to a file that only its owner reads, and returns its size. The file is there, or replaced,
// only when check has read it to its end and found nothing wrong. What a command that was killed left beside it goes.
func (a *app) save(ctx context.Context, from, name string, check func(io.Reader) error) (int64, error) {
	full, err := filepath.Abs(name)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(filepath.Dir(full)); errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("write %s: there is no folder %s", name, filepath.Dir(full))
	}
	c, err := a.client()
	if err != nil {
		return 0, err
	}
	progress := a.progress()
	defer progress.clear()
	if _, err := durable.SweepOf(full); err != nil {
		return 0, err
	}
	var failed error // beside the file, whose name says nothing about it
	n := int64(0)
	err = durable.WriteWith(durable.OS{}, full, 0o600, func(f durable.File) error {
		out := &counted{progress: progress, what: name, most: maxDownload, out: f}
		if failed = c.Download(ctx, from, "", out); failed != nil {
			return failed
		}
		n = out.n
		if err := check(io.NewSectionReader(f, 0, n)); err != nil {
			failed = fmt.Errorf("what the coordinator sent is %w: nothing was written, try again", err)
		}
		return failed
	})
	if disk := (*fs.PathError)(nil); failed != nil && !errors.As(err, &disk) { // a full disk is about the file
		return 0, failed
	}
	return n, err
}
