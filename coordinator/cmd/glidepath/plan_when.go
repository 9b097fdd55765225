package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// whenFlags say when a move may go on.
type whenFlags struct {
	at, before     string
	window, forbid []string
	gain           float64
	probation      time.Duration
	given          func(flag string) bool // reports whether one was written; nil: none was
}

func (f *whenFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.given = flags.Changed
	flags.StringVar(&f.at, "at", "now", "`time` at which it begins, like +2h or 2026-11-22T18:00Z; best: the planner chooses")
	flags.StringVar(&f.before, "before", "", "`time` by which the target has to have taken over, like 06:00 in UTC, 2h or 2026-11-22T18:00Z")
	flags.StringArrayVar(&f.window, "window", nil, "`window` in which it may go on: 22:00-05:00 in UTC every day, or START/END once; may be repeated")
	flags.StringArrayVar(&f.forbid, "forbid", nil, "`window` in which it may not; may be repeated")
	flags.Float64Var(&f.gain, "least-gain", 5, "of --at best: by how many percent of its cost a later start has to be cheaper than one at once")
	flags.DurationVar(&f.probation, "probation", 0, "how long the source's data and slot are kept; as the policy says by default")
	completeFlags(cmd, map[string]cobra.CompletionFunc{"at": completeWords("best", "now")})
}

// set puts into a request what the flags say.
func (f *whenFlags) set(r *v1.PlanRequest, now time.Time) error {
	switch at, err := ahead(f.at, now); {
	case f.at == "now":
	case f.at == "best":
		r.Best = true
	case err != nil:
		return usagef("--at: %s", err)
	default:
		r.At = timeline.Of(at)
	}
	if f.before != "" {
		before, err := ahead(f.before, now)
		if err != nil {
			return usagef("--before: %s", err)
		}
		r.Before = timeline.Of(before)
	}
	for _, list := range []struct {
		flag   string
		texts  []string
		forbid bool
	}{{"--window", f.window, false}, {"--forbid", f.forbid, true}} {
		for _, text := range list.texts {
			w, err := parseWindow(text, now)
			if err != nil {
				return usagef("%s: %s", list.flag, err)
			}
			w.Forbid = list.forbid
			r.Windows = append(r.Windows, w)
		}
	}
	if !(f.gain >= 0 && f.gain <= 100) {
		return usagef("--least-gain %v: use 0 to 100", f.gain)
	}
	milli := int64(math.Round(f.gain * 10))
	if r.Best {
		r.LeastGain = &milli
	} else if f.given != nil && f.given("least-gain") {
		return usagef("--least-gain is for --at best: nothing else is weighed")
	}
	var err error
	r.Probation, err = probationOf(f.probation, f.given != nil && f.given("probation"))
	return err
}

// mostProbation is how long probation can be.
const mostProbation = 30 * 24 * time.Hour

// probationOf returns in milliseconds how long probation is to be, 0 where nobody has said so.
func probationOf(d time.Duration, given bool) (int64, error) {
	switch {
	case d < 0 || d%time.Millisecond != 0:
		return 0, usagef("--probation %s: use a length of time, like 30m", d)
	case d > mostProbation:
		return 0, usagef("--probation %s: use up to %s, which is 30 days", d, mostProbation)
	case given && d == 0:
		return 0, usagef("--probation 0s: a move is on probation for some time; leave it out for as long as the policy says, or name a time like 1m")
	}
	return d.Milliseconds(), nil
}

// ahead reads a time that is to come: as parseTime does, or 06:00 for the next one in UTC, or 2h from now.
func ahead(text string, now time.Time) (time.Time, error) {
	if minute, err := parseMinute(text); err == nil {
		day := now.UTC().Truncate(24 * time.Hour)
		at := day.Add(time.Duration(minute) * time.Minute)
		if !at.After(now) {
			at = at.Add(24 * time.Hour)
		}
		return at, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	if _, err := parseTime(text, now); err != nil {
		return time.Time{}, fmt.Errorf("%w; or 06:00 for the next one in UTC", err)
	}
	return coming(text, now)
}

// coming is parseTime where a time of 0, which stands for none in what is asked of the coordinators, would be taken for one that was left out.
func coming(text string, now time.Time) (time.Time, error) {
	at, err := parseTime(text, now)
	if err == nil && timeline.Of(at) <= 0 {
		err = fmt.Errorf("%q is before 1970: is the year right?", text)
	}
	return at, err
}

// parseMinute reads a time of day as the minutes since it began.
func parseMinute(text string) (int, error) {
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, err
	}
	return t.Hour()*60 + t.Minute(), nil
}

// parseWindow reads 22:00-05:00, every day in UTC, or START/END.
func parseWindow(text string, now time.Time) (w proto.MoveWindow, err error) {
	if from, to, daily := strings.Cut(text, "-"); daily && !strings.Contains(text, "/") {
		if w.From, err = parseMinute(from); err == nil {
			if to == "24:00" {
				to = "00:00"
			}
			if w.To, err = parseMinute(to); err == nil {
				return w, nil
			}
		}
	}
	first, second, once := strings.Cut(text, "/")
	if !once {
		return w, fmt.Errorf("%q is no window: write one like 22:00-05:00, or 2026-11-22T18:00Z/2026-11-23T06:00Z", text)
	}
	start, err := coming(first, now)
	if err != nil {
		return w, err
	}
	end, err := coming(second, now)
	if err != nil {
		return w, err
	}
	switch {
	case !end.After(start):
		return w, fmt.Errorf("%q ends no later than it begins", text)
	case !end.After(now):
		return w, fmt.Errorf("%q is over: name one that ends later than now", text)
	}
	return proto.MoveWindow{Span: timeline.Span{Start: timeline.Of(start), End: timeline.Of(end)}}, nil
}

// printBands says when a plan begins, if that is not at once, and what it takes where more is written than is likely.
func (a *app) printBands(p proto.Plan) {
	if p.Start != p.MadeAt {
		a.say("It begins at %s, in %s", stamp(p.Start), took(p.Start.Sub(p.MadeAt).Milliseconds()))
	}
	if f := p.Figures; f != nil {
		a.say("In 19 of 20 cases it takes up to %s, with clients waiting for up to %s and %s copied; neighbours have %s of the busiest resource in use\n",
			took(f.Duration.High), took(f.Downtime.High), size(f.Bytes.High), portion(float64(f.Pressure)/1000))
	}
}

// printStarts prints the starts that were weighed.
func (a *app) printStarts(p proto.Plan) error {
	if len(p.Starts) < 2 {
		return nil
	}
	a.say("\nStarts weighed:")
	t := newTable(a.stdout, "START", "COST", "TAKES", "DOWNTIME", "BYTES", "NEIGHBOURS", "WHY NOT")
	for _, s := range p.Starts {
		why := s.Reason
		if s.Start == p.Start {
			why = "this one"
		}
		f := s.Figures
		t.row(stamp(s.Start), s.Cost, took(f.Duration.Median)+" to "+took(f.Duration.High), took(f.Downtime.Median)+" to "+took(f.Downtime.High),
			size(f.Bytes.Median)+" to "+size(f.Bytes.High), portion(float64(f.Pressure)/1000), why)
	}
	return t.flush()
}

// printCame sets what a migration came to beside what its plan said.
func (a *app) printCame(m proto.Migration) error {
	r := planner.Report(m)
	if r.Bytes == 0 && r.Duration == 0 {
		return nil
	}
	of := func(n int64, in func(int64) string) string {
		if n == 0 {
			return "-"
		}
		return in(n)
	}
	high := proto.Figures{}
	if m.Plan.Figures != nil {
		high = *m.Plan.Figures
	}
	a.say("")
	t := newTable(a.stdout, "FIGURE", "PREDICTED", "AT MOST, 19 OF 20", "CAME TO")
	t.row("duration", took(r.Predicted.Duration), of(high.Duration.High, took), of(r.Duration, took))
	t.row("downtime", took(r.Predicted.Downtime), of(high.Downtime.High, took), of(r.Downtime, took))
	t.row("bytes", size(r.Predicted.Bytes), of(high.Bytes.High, size), of(r.Bytes, size))
	t.row("early rounds", r.Predicted.Rounds, "-", r.Rounds)
	return t.flush()
}
