//go:build linux

// Package demo shows the whole of Glidepath on two real hosts, step by step: a live Redis moves to another host and type, and
// its limits follow a forecast.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/load"
	"github.com/glidepath/glidepath/testenv/report"
)

// Options say how the demonstration is to run.
type Options struct {
	Debs    string // folder with the packages that `make deb` built
	Version string // of what is shown
	Keep    bool   // leave the fleet running at the end
	Folder  string // for the report
	Out     io.Writer
	Getenv  func(string) string
}

// Name is the fleet's.
const Name = "demo"

// Instance is what moves.
const Instance = "cache-1"

// Sizes and times of what is shown.
const (
	dataBytes      = 8 << 20
	clientRate     = 5.0 // records per second of each of the four clients
	campaignCores  = .6
	campaignMemory = 8 << 20
	campaignLength = 20 * time.Second
	campaignLead   = 85 * time.Second // from registering it until it begins
	campaignNotice = 30 * time.Second // the least from the move until it begins: what was granted for the start is given back by then
	gridStep       = 10 * time.Second
	probation      = 5 * time.Second
)

// demo is a demonstration that runs.
type demo struct {
	Options
	screen *screen
	fleet  *fleet.Fleet
	watch  *fleet.Watch
	files  string // folder that commands are run in

	campaign timeline.Span // that is registered
	moving   *migration
	clients  *load.Clients // of the move that is shown
	stop     func() error  // ends them
	report   report.Report
}

// Run shows it all, writes the report, and removes the fleet, unless it is to be kept. When ctx ends it removes the fleet
// at once.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o, screen: newScreen(o.Out, o.Getenv)}
	defer d.screen.close()
	began := time.Now()
	d.screen.print("Glidepath " + o.Version + ": a live Redis moves to another host and type, and its limits follow a forecast.\n" +
		"Two hosts and three coordinators run on this machine, on a network of their own. Ctrl-C removes everything at any moment.")
	d.screen.wait("Starting two hosts and three coordinators")
	d.fleet, err = fleet.Up(ctx, fleet.Options{
		Name: Name, Debs: o.Debs, GridStep: gridStep, Probation: probation, Keep: o.Keep, Progress: d.screen.wait,
	})
	if err != nil {
		return cut(ctx, err)
	}
	kept := false
	defer func() {
		if kept {
			return
		}
		d.screen.wait("Removing the hosts and coordinators")
		if gone := d.fleet.Close(); gone != nil {
			err = errors.Join(err, gone)
		}
	}()
	if err := d.show(ctx); err != nil {
		return cut(ctx, err)
	}
	d.report.Took = time.Since(began).Milliseconds()
	if err := d.writeReport(); err != nil {
		return err
	}
	if o.Keep {
		if err := d.leave(); err != nil {
			return err
		}
		kept = true
	}
	d.screen.wait("")
	d.screen.say("Done in %s.", time.Since(began).Round(time.Second))
	return nil
}

// cut is the error of what ctx may have cut short, whatever failed by it.
func cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// show runs the steps. Whatever it starts has ended when it returns.
func (d *demo) show(ctx context.Context) (err error) {
	d.files = filepath.Join(d.fleet.VM.Dir(), "demo")
	if err := os.Mkdir(d.files, 0o700); err != nil {
		return err
	}
	if d.watch, err = d.fleet.Watch(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.watch.Close()) }()
	defer func() {
		if d.stop != nil {
			err = errors.Join(err, d.stop())
		}
	}()
	steps := []struct {
		title string
		run   func(context.Context) error
	}{
		{"Adopt the Redis that runs on host-a", d.adopt},
		{"Teach the forecast: two weeks of history, and a campaign that is about to start", d.teach},
		{"Plan the move to host-b and to a larger type", d.makePlan},
		{"Move it while its clients write", d.move},
		{"The campaign arrives on host-b", d.live},
		{"Break the next move on purpose", d.breakMove},
		{"The same load again, with the source's configuration copied and unchanged", d.compare},
	}
	for i, s := range steps {
		d.screen.step(i+1, len(steps), s.title)
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.title, err)
		}
		if faults := d.watch.Faults(); len(faults) > 0 {
			return fmt.Errorf("step %d, %s: two sides at once: %s", i+1, s.title, faults[0])
		}
	}
	return nil
}

// glidepath shows a command, runs it and shows what it printed.
func (d *demo) glidepath(ctx context.Context, args ...string) error {
	d.screen.command(append([]string{"glidepath"}, args...)...)
	out, err := d.quietly(ctx, args...)
	d.screen.output(out)
	return err
}

// quietly runs a command in the folder of the files.
func (d *demo) quietly(ctx context.Context, args ...string) (string, error) {
	return d.fleet.CLIIn(ctx, d.files, args...)
}

// startClients starts clients that write records with the prefix, and sets stop.
func (d *demo) startClients(prefix string) {
	d.clients = &load.Clients{Dial: d.fleet.Dial, Prefix: prefix, Rate: clientRate}
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	clients := d.clients
	group.Go(func() error { return clients.Run(ctx) })
	d.stop = func() error {
		cancel()
		d.stop = nil
		return group.Wait()
	}
}

// stopClients ends the clients and reads back what was acknowledged.
func (d *demo) stopClients(ctx context.Context) (load.Stats, load.Verified, error) {
	now := time.Now()
	if err := d.stop(); err != nil {
		return load.Stats{}, load.Verified{}, err
	}
	stats := d.clients.Stats(now)
	d.screen.wait("Reading back every acknowledged write")
	read, err := d.clients.Verify(ctx)
	d.screen.wait("")
	return stats, read, err
}

// writeReport writes the report and shows its table.
func (d *demo) writeReport() error {
	d.report.Title = "A live Redis moves to another host and type"
	d.report.Version = d.Version
	d.report.Made = timeline.Of(time.Now())
	d.report.Setting = []string{
		fmt.Sprintf("Two hosts (Debian guests with 2 CPUs and 1 GiB each, emulated where there is no KVM) and three coordinators on one machine; "+
			"reservations on a grid of %s. %s holds %d MiB, with appendfsync always.", gridStep, Instance, dataBytes>>20),
		"The two weeks of history, with the earlier campaigns in it, were made by testenv/traces. The load, the moves and all that is measured are real.",
	}
	var text bytes.Buffer
	if err := d.report.WriteText(&text); err != nil {
		return err
	}
	d.screen.print("")
	d.screen.print(text.String())
	for name, write := range map[string]func(io.Writer) error{reportHTML: d.report.WriteHTML, reportJSON: d.report.WriteJSON} {
		var content bytes.Buffer
		if err := write(&content); err != nil {
			return err
		}
		path := filepath.Join(d.Folder, name)
		if err := durable.WriteFile(durable.OS{}, path, content.Bytes(), 0o644); err != nil {
			return err
		}
		d.screen.say("Report: %s", path)
	}
	for _, r := range d.report.Runs {
		if r.Clients.Lost > 0 {
			return fmt.Errorf("%d acknowledged writes were lost in migration %s", r.Clients.Lost, r.Migration)
		}
	}
	return nil
}

// Names of the report's files.
const (
	reportHTML = "glidepath-demo-report.html"
	reportJSON = "glidepath-demo-report.json"
)

// leave lets the fleet run on and says what to do with it.
func (d *demo) leave() error {
	path, err := d.fleet.Detach()
	if err != nil {
		return err
	}
	d.screen.wait("")
	d.screen.print(fmt.Sprintf(`
The fleet runs on. Next, in a shell as root:

  . %s
  glidepath status
  glidepath instance show %s
  glidepath migrate %s --to host-b --type m.large --watch

To remove it:  %s --down
`, path, Instance, Instance, os.Args[0]))
	return nil
}
