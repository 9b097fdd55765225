// Command glidepath-backtest scores the forecast on a folder of Bitbrains traces against the conformal daily seasonal
// naive forecast.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/testenv/traces"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "glidepath-backtest:", err)
		os.Exit(1)
	}
}

// totals are scores pooled over series.
type totals struct {
	loss, covered [resource.Kinds][]float64
	steps         [resource.Kinds]float64
	abs           float64 // of CPU and memory: sum over series of their ratio
	ratios        int
	inBand, all   int // series whose own coverage of the third quantile lies in .90 to .99
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("glidepath-backtest", flag.ContinueOnError)
	every := flags.Int("every", 1, "use every n-th trace")
	skip := flags.Int("skip", 0, "start with this trace")
	days := flags.Int("days", 1, "days between origins")
	warm := flags.Int("warm", 14, "days of history before the first origin")
	members := flags.String("members", "", "comma-separated members of the portfolio (default all)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *every < 1 || *days < 1 {
		return errors.New("usage: glidepath-backtest [flags] FOLDER-OF-TRACES")
	}
	paths, err := filepath.Glob(filepath.Join(flags.Arg(0), "vm*.csv.gz"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("no vm*.csv.gz in %s", flags.Arg(0))
	}
	var only []string
	if *members != "" {
		only = strings.Split(*members, ",")
	}
	var ours, base totals
	var spent time.Duration
	forecasts := 0
	for i := *skip; i < len(paths) && ctx.Err() == nil; i += *every {
		h, err := traces.LoadBitbrains(paths[i])
		if err != nil {
			return err
		}
		roll := forecast.Rolling{
			From: h[0].Start.Add(time.Duration(*warm) * 24 * time.Hour), To: h[0].End(), Every: time.Duration(*days) * 24 * time.Hour,
		}
		began := time.Now()
		scores, err := forecast.Backtest(h, nil, forecast.Options{Members: only}, roll)
		if err != nil {
			return fmt.Errorf("%s: %w", paths[i], err)
		}
		spent += time.Since(began)
		for _, s := range scores {
			forecasts += s.Origins
		}
		ours.add(scores)
		scores, err = forecast.Backtest(h, nil, forecast.Options{Members: forecast.BaselineMembers()}, roll)
		if err != nil {
			return fmt.Errorf("%s: %w", paths[i], err)
		}
		base.add(scores)
	}
	report(stdout, &ours, &base)
	fmt.Fprintf(stdout, "%d forecasts of one series, %.2f ms each\n", forecasts, spent.Seconds()*1e3/float64(max(1, forecasts)))
	return ctx.Err()
}

func (t *totals) add(scores [resource.Kinds]forecast.Score) {
	for k, s := range scores {
		if s.Steps == 0 {
			continue
		}
		if t.loss[k] == nil {
			t.loss[k], t.covered[k] = make([]float64, len(s.Loss)), make([]float64, len(s.Loss))
		}
		for qi := range s.Loss {
			t.loss[k][qi] += s.Loss[qi]
			t.covered[k][qi] += float64(s.Covered[qi])
		}
		t.steps[k] += float64(s.Steps)
		t.all++
		if c := s.Coverage(2); c >= .90 && c <= .99 {
			t.inBand++
		}
		if (k == int(resource.CPU) || k == int(resource.Memory)) && s.NaiveAbs > 0 {
			t.abs += s.AbsError / s.NaiveAbs
			t.ratios++
		}
	}
}

// report prints, per resource and on average, the ratio of the pooled pinball loss to the baseline's, and coverage.
func report(w io.Writer, ours, base *totals) {
	quantiles := forecast.DefaultQuantiles()
	fmt.Fprintf(w, "%-12s %7s  by quantile: .50 .90 .95 .99         coverage: .50 .90 .95 .99\n", "resource", "ratio")
	mean, n := 0.0, 0.0
	covered, steps := make([]float64, len(quantiles)), 0.0
	for k := range ours.loss {
		if ours.steps[k] == 0 {
			continue
		}
		sum, ref := 0.0, 0.0
		line := ""
		for qi := range quantiles {
			sum, ref = sum+ours.loss[k][qi], ref+base.loss[k][qi]
			line += fmt.Sprintf(" %.3f", ours.loss[k][qi]/base.loss[k][qi])
			covered[qi] += ours.covered[k][qi]
		}
		line += "   "
		for qi := range quantiles {
			line += fmt.Sprintf(" %.3f", ours.covered[k][qi]/ours.steps[k])
		}
		steps += ours.steps[k]
		mean, n = mean+sum/ref, n+1
		fmt.Fprintf(w, "%-12s %7.4f %s\n", resource.Kind(k), sum/ref, line)
	}
	fmt.Fprintf(w, "%-12s %7.4f  pooled coverage:", "mean", mean/n)
	for qi := range quantiles {
		fmt.Fprintf(w, " %.4f", covered[qi]/steps)
	}
	fmt.Fprintf(w, "\nseries with p95 coverage in .90-.99: %.1f %%; MASE ratio, CPU and memory: %.3f\n",
		100*float64(ours.inBand)/float64(ours.all), ours.abs/float64(ours.ratios))
}
