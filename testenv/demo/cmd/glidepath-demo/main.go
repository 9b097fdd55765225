// Command glidepath-demo shows a live Redis moving between two real hosts, and writes a report. `make demo` builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/glidepath/glidepath/testenv/demo"
	"github.com/glidepath/glidepath/testenv/vm"
)

const exitInterrupted = 130

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		stop() // a second Ctrl-C is not held up by what looks after the first
		interrupted(context.WithoutCancel(ctx), err)
		os.Exit(exitInterrupted)
	default:
		fmt.Fprintln(os.Stderr, "glidepath-demo:", err)
		os.Exit(1)
	}
}

// interrupted says what is left.
func interrupted(ctx context.Context, why error) {
	fleets, err := vm.List(ctx)
	if err != nil || slices.ContainsFunc(fleets, func(f vm.FleetInfo) bool { return f.Name == demo.Name }) {
		fmt.Fprintf(os.Stderr, "glidepath-demo: interrupted, and something may be left, which %s -down removes: %v\n", os.Args[0], errors.Join(why, err))
		return
	}
	fmt.Fprintln(os.Stderr, "glidepath-demo: interrupted; everything is removed")
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("glidepath-demo", flag.ContinueOnError)
	o := demo.Options{Out: os.Stdout, Getenv: os.Getenv}
	flags.StringVar(&o.Debs, "debs", "dist", "folder with the packages")
	flags.StringVar(&o.Version, "version", "", "version of what is shown")
	flags.StringVar(&o.Folder, "report", ".", "folder for the report")
	flags.BoolVar(&o.Keep, "keep", false, "leave the fleet running at the end")
	down := flags.Bool("down", false, "remove a fleet that was left running")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *down {
		return vm.Destroy(ctx, demo.Name)
	}
	return demo.Run(ctx, o)
}
