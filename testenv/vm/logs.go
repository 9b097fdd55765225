//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// journalWait bounds how long a guest is asked for its journal.
const journalWait = 20 * time.Second

// CollectLogs copies everything that may explain what happened into a folder, which is made
// if need be: for each guest NAME.console.log, NAME.qemu.log and NAME.journal.log, for each
// process NAMESPACE.NAME.log. A guest that does not answer has no journal, and says why there.
func (f *Fleet) CollectLogs(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("collect logs: %w", err)
	}
	var journals errgroup.Group
	var faults []error
	for name, g := range f.guests {
		faults = append(faults,
			copyLog(g.Console(), filepath.Join(folder, name+".console.log")),
			copyLog(g.qemuLog(), filepath.Join(folder, name+".qemu.log")))
		journals.Go(func() error { return g.saveJournal(ctx, filepath.Join(folder, name+".journal.log")) })
	}
	for name, ns := range f.namespaces {
		logs, err := filepath.Glob(filepath.Join(ns.dir, "*.log"))
		faults = append(faults, err)
		for _, log := range logs {
			faults = append(faults, copyLog(log, filepath.Join(folder, name+"."+filepath.Base(log))))
		}
	}
	faults = append(faults, journals.Wait())
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("collect logs: %w", err)
	}
	return nil
}

func (g *Guest) saveJournal(ctx context.Context, name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	ctx, cancel := context.WithTimeout(ctx, journalWait)
	defer cancel()
	err = g.Run(ctx, Command{Argv: []string{"journalctl", "--no-pager", "--output=short-precise"}, Stdout: file})
	if err != nil {
		fmt.Fprintln(file, "no more of the journal:", err)
	}
	return file.Close()
}

// copyLog copies a file, if it is there.
func copyLog(from, to string) error {
	source, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		return err
	}
	return target.Close()
}
