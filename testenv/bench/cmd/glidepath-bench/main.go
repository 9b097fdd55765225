//go:build linux

// Command glidepath-bench prints how Glidepath compares with its peers, and whether it meets its bars. `make bench` builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/glidepath/glidepath/testenv/bench"
)

// Exit codes.
const (
	exitMissed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errMissed says that a bar was missed, which the table shows.
var errMissed = errors.New("a bar was missed, or a figure could not be measured")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var unknown *bench.UnknownFigureError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "glidepath-bench: interrupted; everything is removed")
		os.Exit(exitInterrupted)
	case errors.As(err, &unknown):
		fmt.Fprintln(os.Stderr, "glidepath-bench:", err)
		os.Exit(exitUsage)
	}
	fmt.Fprintln(os.Stderr, "glidepath-bench:", err)
	os.Exit(exitMissed)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("glidepath-bench", flag.ContinueOnError)
	began := time.Now()
	o := bench.Options{Progress: func(text string) {
		fmt.Fprintf(stderr, "%5.0f s  %s\n", time.Since(began).Seconds(), text)
	}}
	flags.StringVar(&o.Go, "go", "go", "the go tool")
	flags.StringVar(&o.Root, "root", ".", "folder of the source")
	flags.StringVar(&o.Debs, "debs", "dist", "folder with the packages")
	names := flags.String("figures", "", "what is measured, parted by commas: "+strings.Join(bench.Names(), ", ")+" (all by default)")
	flags.StringVar(&o.Data.Dir, "data", "", "folder with the published series that forecasts, placement and starts are measured on")
	flags.IntVar(&o.Data.Sample, "sample", 1, "take every so many-th series of them only")
	flags.BoolVar(&o.Data.Rest, "rest", false, "take those that -sample leaves out instead")
	flags.BoolVar(&o.Data.Holdout, "holdout", false, "score M4 on the last 48 hours of the training part, to choose settings by")
	asJSON := flags.Bool("json", false, "print JSON instead of a table")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *names != "" {
		o.Figures = strings.Split(*names, ",")
	}
	report, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	write := report.WriteText
	if *asJSON {
		write = report.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	if !report.Met() {
		return errMissed
	}
	return nil
}
