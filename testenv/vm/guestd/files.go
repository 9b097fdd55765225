//go:build linux

package guestd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

func readFile(conn io.Writer, req request) error {
	file, err := os.Open(req.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(&frameWriter{w: conn, kind: frameStdout, mu: &sync.Mutex{}}, file)
	return err
}

// writeFile replaces a file by what follows as stdin. Nobody ever sees half of it.
func writeFile(conn io.Reader, req request) error {
	if err := os.MkdirAll(filepath.Dir(req.Path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(req.Path), ".guestd-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails once renamed
	defer file.Close()
	for {
		kind, payload, err := readFrame(conn)
		if err != nil {
			return fmt.Errorf("receive %s: %w", req.Path, err)
		}
		if kind == frameStdinEnd {
			break
		}
		if _, err := file.Write(payload); err != nil {
			return err
		}
	}
	if err := file.Chmod(os.FileMode(req.Mode).Perm()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), req.Path)
}
