package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// printDrain prints how far a host is emptied, or with dry how it would be.
func (a *app) printDrain(d v1.Drain, dry bool) error {
	if dry && d.Plan != nil {
		a.sayWhatIf(d.Plan.WhatIf)
	}
	switch {
	case dry && len(d.Left) == 0:
		a.say("Nothing would move: host %s owns no instance", d.Host)
	case dry && d.Plan != nil && d.Plan.Blocked != nil:
		a.say("Host %s can't be emptied of its %s as it is; nothing is changed", d.Host, count(len(d.Left), "instance"))
	case dry:
		a.say("Host %s would be emptied of %s; nothing is changed", d.Host, count(len(d.Left), "instance"))
	case d.Drain == nil:
		a.say("Host %s is not emptied", d.Host)
	default:
		a.say("Host %s: %s%s", d.Host, drainState(*d.Drain), resumed(d))
	}
	if p := d.Plan; p != nil {
		if err := a.printMoves(*p, d.Moving); err != nil {
			return err
		}
		if err := a.printMoveYields(*p); err != nil {
			return err
		}
		a.list("What it comes to", p.Says)
		if p.Blocked != nil {
			a.printBlocked(*p.Blocked)
		}
	}
	if dry && d.Plan != nil && d.Plan.ID != "" {
		a.say("\nStored as plan %s.\nSee it:  glidepath plan show %s", d.Plan.ID, d.Plan.ID)
	}
	if d.Drain != nil && !dry {
		a.say("\nTo leave: %s; slots that are kept until probation is over: %s", namesOf(d.Left), namesOf(d.Slots))
	}
	return nil
}

// drainState says how a drain is, and why.
func drainState(d proto.Drain) string {
	text := fmt.Sprintf("%s since %s", d.State, stamp(d.Since))
	if d.State != proto.DrainGoesOn {
		text = fmt.Sprintf("%s, begun %s", d.State, stamp(d.Since))
	}
	if d.By != "" {
		text += " by " + d.By
	}
	if d.Deadline != 0 {
		text += ", to be done by " + stamp(d.Deadline)
	}
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return oneLine(text)
}

// resumed says what lets a drain go on that is paused; "" of any other.
func resumed(d v1.Drain) string {
	if d.Drain.State != proto.DrainPaused {
		return ""
	}
	return "; no more moves begin until glidepath host drain resume " + d.Host
}

func namesOf(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return oneLine(strings.Join(list, ", "))
}

// printMoves prints the moves of a stored plan, and how far each one is.
func (a *app) printMoves(p proto.StoredPlan, moving []v1.MigrationStatus) error {
	if len(p.Moves) == 0 {
		return nil
	}
	a.say("")
	t := newTable(a.stdout, "MOVE", "INSTANCE", "FROM", "TO", "TYPE", "BEGINS", "TAKES", "DOWNTIME", "DATA", "AFTER", "STATE")
	for n, m := range p.Moves {
		f := m.Figures
		t.row(n+1, m.Instance, m.Source, m.Target, m.ToType, stamp(m.Start), took(f.Duration.Median)+" to "+took(f.Duration.High),
			took(f.Downtime.Median)+" to "+took(f.Downtime.High), size(f.Bytes.Median), afterMoves(m), moveState(m, moving))
	}
	return t.flush()
}

// afterMoves lists the moves that have to have left before, as they are numbered.
func afterMoves(m proto.Move) string {
	var out []string
	for _, n := range m.After {
		out = append(out, fmt.Sprint(n+1))
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ",")
}

// moveState says how far a move is.
func moveState(m proto.Move, moving []v1.MigrationStatus) string {
	switch {
	case m.Migration == "" && m.Parked:
		return "planned, to go on from there"
	case m.Migration == "":
		return "planned"
	case m.Outcome != proto.OutcomeNone:
		return fmt.Sprintf("%s: %s", m.Outcome, m.Migration)
	}
	for _, g := range moving {
		if g.ID == m.Migration {
			return fmt.Sprintf("%s: %s", g.Phase, m.Migration)
		}
	}
	return "begun: " + m.Migration
}

// printBlocked says what is in the way, and what would change that.
func (a *app) printBlocked(b proto.Blocked) {
	a.list("In the way", []string{b.Words()})
	a.list("What would change that", helps(b))
}

// helps returns what would change that something is in the way.
func helps(b proto.Blocked) []string {
	var out []string
	for _, u := range b.Unblock {
		out = append(out, fmt.Sprintf("%s: %s", u.What, u.Says))
	}
	if out == nil {
		out = []string{"nothing that was tried: a smaller type, more time, another host"}
	}
	return out
}

// watchDrain says what happens with a drain until the host is drained, the drain taken back, or nothing more of it goes on by itself. One that is paused is waited for: it says
// what lets it go on.
func (a *app) watchDrain(ctx context.Context, host string) error {
	w := drainWatch{app: a, told: map[string]string{}}
	away := a.outage()
	goes, stop := "goes on", "Stop it:     glidepath host drain pause "
	for {
		d, err := ask[v1.Drain](ctx, a, "GET", path("hosts", host, "drain"), nil)
		if ctx.Err() != nil {
			fmt.Fprintf(a.stderr, "\nThe drain %s. Come back:  glidepath host drain show %s --watch\n%s%s\n", goes, host, stop, host)
			return &endedError{text: "interrupted", code: exitInterrupted, told: true}
		}
		if end := away.bear(err); end != nil {
			return end
		}
		if err == nil {
			if goes, stop = "goes on", "Stop it:     glidepath host drain pause "; d.Drain != nil && d.Drain.State == proto.DrainPaused {
				goes, stop = "is paused", "Let it go on:            glidepath host drain resume "
			}
			if err := w.see(d); err != nil {
				return err
			}
			if over, err := drainOver(d); over {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(againEvery):
		}
	}
}

// drainOver reports whether nothing more of a drain goes on by itself, with an error where the host is not drained.
func drainOver(d v1.Drain) (bool, error) {
	goesOn := slices.ContainsFunc(d.Moving, func(m v1.MigrationStatus) bool { return m.Phase != proto.PhaseSettle })
	if p := d.Plan; p != nil && p.Status.Begins() {
		goesOn = goesOn || slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return m.Migration == "" })
	}
	switch {
	case d.Drain == nil:
		return true, &endedError{text: fmt.Sprintf("the drain of host %s was taken back", d.Host), code: exitAborted}
	case d.Drain.State == proto.DrainDone:
		return true, nil
	case d.Drain.State == proto.DrainBlocked && !goesOn:
		return true, &endedError{text: fmt.Sprintf("the drain of host %s is blocked: %s; see glidepath host drain show %s", d.Host, oneLine(d.Drain.Reason), d.Host), code: exitRefused}
	}
	return false, nil
}

// drainWatch prints what is new of a drain.
type drainWatch struct {
	*app
	told map[string]string
	last string
}

func (w *drainWatch) see(d v1.Drain) error {
	at := d.Now
	if w.json {
		d.Now = 0
		text, err := json.Marshal(d)
		if err != nil || string(text) == w.last {
			return err
		}
		w.last, d.Now = string(text), at
		text, err = json.Marshal(d)
		if err == nil {
			_, err = fmt.Fprintf(w.stdout, "%s\n", text)
		}
		return err
	}
	if d.Drain != nil {
		w.tell(at, "host "+d.Host, drainState(*d.Drain)+resumed(d))
	}
	if d.Plan == nil {
		return nil
	}
	if b := d.Plan.Blocked; b != nil {
		w.tell(at, "what would change that", strings.Join(helps(*b), "; or "))
	}
	for _, m := range d.Plan.Moves {
		w.tell(at, m.Instance+" to "+m.Target, moveState(m, d.Moving))
	}
	return nil
}

// tell prints a line about something, unless that was the last one about it.
func (w *drainWatch) tell(at timeline.Time, about, text string) {
	if w.told[about] == text {
		return
	}
	w.told[about] = text
	w.say("%s  %s  %s", at.Std().Format("15:04:05"), oneLine(about), oneLine(text))
}
