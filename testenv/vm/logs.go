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

	"github.com/glidepath/glidepath/testenv/vm/qmp"
)

// journalWait bounds how long a guest is asked for its journal, and traceWait how long its kernel has to say where it is.
const (
	journalWait = 20 * time.Second
	traceWait   = 5 * time.Second
)

// CollectLogs copies everything that may explain what happened into a folder, which is made
// if need be: for each guest NAME.console.log, NAME.qemu.log and NAME.journal.log, for each
// process NAMESPACE.NAME.log. A guest that does not answer has no journal: why is said there, and where its processors are. Its kernel is
// made to panic then, for its own words on it in the console's log.
func (f *Fleet) CollectLogs(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("collect logs: %w", err)
	}
	var journals errgroup.Group
	var faults []error
	for name, g := range f.guests {
		faults = append(faults, copyLog(g.qemuLog(), filepath.Join(folder, name+".qemu.log")))
		journals.Go(func() error {
			err := g.saveJournal(ctx, filepath.Join(folder, name+".journal.log"))
			return errors.Join(err, copyLog(g.Console(), filepath.Join(folder, name+".console.log")))
		})
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
	err = g.printJournal(ctx, file)
	if err != nil {
		fmt.Fprintln(file, "no more of the journal:", err)
		if err := g.trace(ctx, file); err != nil {
			fmt.Fprintln(file, "where its processors are is not known:", err)
		}
	}
	return file.Close()
}

func (g *Guest) printJournal(ctx context.Context, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, journalWait)
	defer cancel()
	return g.Run(ctx, Command{Argv: []string{"journalctl", "--no-pager", "--output=short-precise"}, Stdout: to})
}

// trace writes the registers of a guest's processors, and has its kernel print their stacks on the console. See kernelArguments.
func (g *Guest) trace(ctx context.Context, to io.Writer) error {
	err := g.monitor(ctx, func(c *qmp.Client) error {
		registers, err := c.Monitor(ctx, "info registers -a")
		if err != nil {
			return err
		}
		fmt.Fprintln(to, registers)
		return c.Execute(ctx, "inject-nmi", nil, nil)
	})
	if err != nil {
		return err
	}
	select {
	case <-time.After(traceWait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
