package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// watch follows a migration to its end, an error when that is not completed, or to a phase. Interrupting it leaves the migration alone.
func (a *app) watch(ctx context.Context, id string, until until) error {
	if err := until.check(); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	w := &watcher{out: a.stdout, width: func() int { return terminalWidth(a.stdout) }}
	if a.env("TERM") == "dumb" { // it can't go back to a line
		w.width = func() int { return 0 }
	}
	see := w.see
	if a.json {
		see = func(u v1.MigrationUpdate) {
			if text, err := json.Marshal(u); err == nil {
				fmt.Fprintf(a.stdout, "%s\n", text)
			}
		}
	}
	followed, enough := context.WithCancel(ctx)
	defer enough()
	last, err := c.Watch(followed, id, func(u v1.MigrationUpdate) {
		see(u)
		if until.reached(u.Migration) {
			enough()
		}
	})
	if err != nil && until.reached(last) {
		a.say("Migration %s is in phase %s\nGo on:  glidepath migration watch %s", last.ID, last.Phase, last.ID)
		return nil
	}
	if err != nil && ctx.Err() != nil {
		undo := "Stop it:     glidepath migration abort "
		if (last.Phase == proto.PhaseWarm || last.Phase == proto.PhaseSettle) && last.Returns == "" && last.Returning == "" {
			undo = "Take it back:  glidepath migration return "
		}
		fmt.Fprintf(a.stderr, "\nThe migration goes on. Come back:  glidepath migration watch %s\n%s%s\n", id, undo, id)
		return &endedError{text: "interrupted", code: exitInterrupted, told: true}
	}
	if err != nil {
		return err
	}
	if err := ended(last); err != nil {
		return err
	}
	a.say("Migration %s is completed: %s serves on %s after %s", last.ID, last.Instance, last.Target, took(last.EndedAt.Sub(last.CreatedAt).Milliseconds()))
	if n := len(last.HookFailures); n > 0 {
		a.say("%d of its hooks failed, see  glidepath migration show %s", n, last.ID)
	}
	return nil
}

// How often a watch that can't redraw says numbers: those that tell how it goes on, and those that always change.
const (
	newsEvery   = 5 * time.Second
	demandEvery = time.Minute
)

// watcher prints the updates of a watched migration. On a terminal it says what happens line by line and keeps a block below,
// which it draws anew with every update; elsewhere it prints a line when there is something to say.
type watcher struct {
	out   io.Writer
	width func() int // of the terminal; 0 where there is none

	drawn int // lines of the block that is on the screen
	what  string
	news  string
	at    timeline.Time // of the last line
	hooks int           // failed ones that have been told of
}

func (w *watcher) see(u v1.MigrationUpdate) {
	r := readUpdate(u)
	width := w.width()
	if w.drawn > 0 {
		fmt.Fprintf(w.out, "\x1b[%dA\x1b[J", w.drawn) // up, and clear from there
		w.drawn = 0
	}
	since := u.At.Sub(w.at)
	switch what, news := r.what(), r.news(); {
	case what != w.what, width == 0 && (news != w.news && since >= newsEvery || since >= demandEvery):
		line := what
		if width == 0 {
			line = r.line()
		}
		w.what, w.news, w.at = what, news, u.At
		w.say(width, u.At.Std().Format("15:04:05")+"  "+line)
	}
	for failed := u.Migration.HookFailures; w.hooks < len(failed); w.hooks++ {
		f := failed[w.hooks]
		w.say(width, fmt.Sprintf("%s  %-8s %s on %s failed: %s", u.At.Std().Format("15:04:05"), "hook", f.Hook, f.Host, f.Failure))
	}
	if width == 0 || u.Migration.Phase == proto.PhaseEnded {
		return
	}
	for _, line := range r.block(u.At) {
		w.say(width, line)
		w.drawn++
	}
}

// say prints a line that is not wider than the terminal: one that wraps could not be drawn over.
func (w *watcher) say(width int, line string) { fmt.Fprintln(w.out, cut(oneLine(line), width)) }

// reading is an update as it is shown.
type reading struct {
	v1.MigrationUpdate
	progress proto.MigrationProgress
}

func readUpdate(u v1.MigrationUpdate) reading {
	r := reading{MigrationUpdate: u}
	if len(u.Progress) > 0 && json.Unmarshal(u.Progress, &r.progress) != nil {
		r.progress = proto.MigrationProgress{} // of a newer coordinator; what is understood is shown
	}
	return r
}

// what is the part that is worth a line of its own when it changes.
func (r reading) what() string {
	if r.Migration.Phase == proto.PhaseEnded {
		return fmt.Sprintf("%-8s %s", r.Migration.Phase, r.Migration.Outcome)
	}
	parts := []string{strings.TrimSpace(fmt.Sprintf("%-8s %s", r.Migration.Phase, r.Operation))}
	p := r.progress
	if p.Round > 0 {
		parts = append(parts, fmt.Sprint("round ", p.Round))
	}
	if p.Stage != "" && p.Stage != r.Operation && !slices.Contains(phases, proto.Phase(p.Stage)) { // where it only waits, that is the phase
		parts = append(parts, p.Stage)
	}
	if p.Trouble != "" {
		parts = append(parts, "trouble: "+p.Trouble)
	}
	if r.Migration.Reason != "" {
		parts = append(parts, r.Migration.Reason)
	}
	return oneLine(strings.Join(parts, "  "))
}

// news tells whether the numbers have something new to say: that it goes on, another allocation, throttling that began or ended.
func (r reading) news() string {
	text := r.copied()
	if r.Running != nil {
		text += fmt.Sprint(r.Running.Host, r.Running.Allocated, r.Running.Throttled != nil && *r.Running.Throttled > 0)
	}
	return text
}

func (r reading) copied() string {
	switch p := r.progress; {
	case p.Total > 0:
		return size(p.Bytes) + " of " + size(p.Total)
	case p.Bytes > 0:
		return size(p.Bytes)
	}
	return ""
}

// line is everything in a line.
func (r reading) line() string {
	parts := []string{r.what()}
	if text := r.copied(); text != "" {
		parts = append(parts, text)
	}
	if i := r.Running; i != nil {
		for n, k := range shown(i.Allocated) {
			text := fmt.Sprintf("%s %s of %s", k, r.demand(k), amount(i.Allocated, k))
			if n == 0 {
				text = "on " + i.Host + ": " + text
			}
			parts = append(parts, text)
		}
		if i.Throttled != nil {
			parts = append(parts, "throttled "+throttled(*i.Throttled))
		}
	}
	return strings.Join(parts, "  ")
}

// demand prints what the instance asks for of a resource.
func (r reading) demand(k resource.Kind) string {
	if r.Running.Demand == nil {
		return "?"
	}
	return amount(*r.Running.Demand, k)
}

// throttled prints milliseconds of a window as its share.
func throttled(ms int64) string {
	return fmt.Sprintf("%d%%", (100*ms+proto.WindowLength-1)/proto.WindowLength)
}

// shown lists the resources that are worth showing beside an allocation: CPU, memory, and what else is limited.
func shown(allocated resource.Vector) []resource.Kind {
	kinds := []resource.Kind{resource.CPU, resource.Memory}
	for _, k := range resource.All() {
		if k != resource.CPU && k != resource.Memory && allocated[k] < resource.Unlimited {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// block is what a terminal shows of now, below what has happened.
func (r reading) block(now timeline.Time) []string {
	m := r.Migration
	lines := []string{"", fmt.Sprintf("%s from %s to %s, begun %s ago, by the plan settled at %sZ", m.Instance, m.Source, m.Target,
		took(now.Sub(m.CreatedAt).Truncate(time.Second).Milliseconds()), m.Expected.Std().Format("15:04:05"))}
	row := func(name, is, of, bar string) {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %-14s %9s %10s  %s", name, is, of, bar), " "))
	}
	if p := r.progress; p.Total > 0 {
		row(fmt.Sprint("round ", max(1, p.Round)), size(p.Bytes), size(p.Total), bar(p.Bytes, p.Total))
	}
	i := r.Running
	if i == nil {
		return append(lines, "  it does not run at the moment, or its agent does not answer")
	}
	row("on "+i.Host, "demand", "allocation", "")
	for _, k := range shown(i.Allocated) {
		length := ""
		if i.Demand != nil {
			length = bar(i.Demand[k], i.Allocated[k])
		}
		row(k.String(), r.demand(k), amount(i.Allocated, k), length)
	}
	if i.Throttled != nil {
		row("throttled", throttled(*i.Throttled), "of 10s", bar(*i.Throttled, proto.WindowLength))
	}
	return lines
}

// barWidth is how long a bar is, in characters.
const barWidth = 24

// bar draws how much of a whole something is; nothing where there is no whole.
func bar(is, of int64) string {
	if of <= 0 || of >= resource.Unlimited {
		return ""
	}
	n := int(min(float64(is)/float64(of), 1)*barWidth + .5)
	return strings.Repeat("█", n) + strings.Repeat("░", barWidth-n)
}
