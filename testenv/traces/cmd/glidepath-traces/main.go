// Command glidepath-traces makes two weeks of demand history of an instance under light load, with campaigns in it, as
// the CSV that `glidepath history import` reads, and a list of the campaigns beside it.
package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/traces"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "glidepath-traces:", err)
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	spec           traces.Spec
	end            string
	cpu, memory    string
	campaignCPU    string
	campaignMemory string
	campaigns      int
	length         time.Duration
	history        string
	events         string
}

func run(args []string, stdout io.Writer) error {
	s := settings{spec: traces.Spec{Shapes: traces.Redis()}}
	pattern := ""
	flags := flag.NewFlagSet("glidepath-traces", flag.ContinueOnError)
	flags.Uint64Var(&s.spec.Seed, "seed", 1, "the same seed and flags make the same files")
	flags.StringVar(&s.end, "end", "", "end of the history, RFC 3339 (required)")
	flags.DurationVar(&s.spec.Length, "span", 14*24*time.Hour, "length of the history")
	flags.DurationVar(&s.spec.Step, "step", 5*time.Minute, "step of the history")
	flags.StringVar(&pattern, "pattern", string(traces.Daily), fmt.Sprintf("one of %v", traces.Patterns()))
	flags.Float64Var(&s.spec.Missing, "missing", 0, "share of steps left out")
	flags.StringVar(&s.cpu, "cpu", "100m", "base demand for CPU")
	flags.StringVar(&s.memory, "memory", "60MiB", "base demand for memory")
	flags.StringVar(&s.campaignCPU, "campaign-cpu", "600m", "what a campaign adds in CPU")
	flags.StringVar(&s.campaignMemory, "campaign-memory", "90MiB", "what a campaign adds in memory")
	flags.IntVar(&s.campaigns, "campaigns", 4, "campaigns in the history, evenly spread")
	flags.DurationVar(&s.length, "campaign-length", 2*time.Hour, "length of a campaign")
	flags.StringVar(&s.history, "history", "-", "file to write the history to, - for standard output")
	flags.StringVar(&s.events, "events", "", "file to write the campaigns to: kind,start,end,size")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.spec.Pattern = traces.Pattern(pattern)
	if err := s.complete(); err != nil {
		return err
	}
	trace, err := traces.Generate(s.spec)
	if err != nil {
		return err
	}
	if err := write(s.history, stdout, trace.WriteCSV); err != nil {
		return err
	}
	if s.events == "" {
		return nil
	}
	return write(s.events, stdout, func(w io.Writer) error { return writeEvents(w, trace) })
}

// complete turns the flags into the spec.
func (s *settings) complete() error {
	end, err := time.Parse(time.RFC3339, s.end)
	if err != nil {
		return fmt.Errorf("--end %q: write RFC 3339, such as 2026-01-31T00:00:00Z", s.end)
	}
	if s.spec.Step < time.Second || s.spec.Length < s.spec.Step {
		return fmt.Errorf("--span %s in steps of %s: use steps of at least a second", s.spec.Length, s.spec.Step)
	}
	s.spec.Start = timeline.Of(end).Floor(s.spec.Step).Add(-s.spec.Length)
	for _, f := range []struct {
		kind resource.Kind
		text string
		to   *float64
	}{
		{resource.CPU, s.cpu, &s.spec.Shapes[resource.CPU].Base},
		{resource.Memory, s.memory, &s.spec.Shapes[resource.Memory].Base},
		{resource.CPU, s.campaignCPU, &s.spec.Shapes[resource.CPU].Campaign},
		{resource.Memory, s.campaignMemory, &s.spec.Shapes[resource.Memory].Campaign},
	} {
		n, err := resource.Parse(f.kind, f.text)
		if err != nil {
			return err
		}
		*f.to = float64(n)
	}
	if s.campaigns < 0 || s.campaigns > 1000 {
		return fmt.Errorf("--campaigns %d: use 0 to 1000", s.campaigns)
	}
	apart := s.spec.Length / time.Duration(s.campaigns+1)
	if s.campaigns > 0 && s.length > apart {
		return fmt.Errorf("%d campaigns of %s do not fit into %s", s.campaigns, s.length, s.spec.Length)
	}
	for i := range s.campaigns {
		// At another hour each time, so that no forecast can take them for a daily season.
		start := s.spec.Start.Add(apart*time.Duration(i+1) - s.length/2).Floor(s.spec.Step)
		s.spec.Campaigns = append(s.spec.Campaigns, traces.Campaign{Start: start, Length: s.length})
	}
	return nil
}

func write(path string, stdout io.Writer, what func(io.Writer) error) error {
	if path == "-" {
		return what(stdout)
	}
	var out bytes.Buffer
	if err := what(&out); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, path, out.Bytes(), 0o644)
}

func writeEvents(w io.Writer, trace traces.Trace) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"kind", "start", "end", "size"}}
	for _, e := range trace.Events {
		rows = append(rows, []string{
			e.Kind, e.Span.Start.Std().Format(time.RFC3339), e.Span.End.Std().Format(time.RFC3339), strconv.FormatFloat(e.Size, 'g', -1, 64),
		})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write campaigns: %w", err)
	}
	return nil
}
