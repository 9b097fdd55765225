package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// reservationFile is a hold as operators write it.
type reservationFile struct {
	ID    string            `yaml:"id"`
	Host  string            `yaml:"host"`
	Class proto.Class       `yaml:"class"`
	Floor config.Amounts    `yaml:"floor"`
	Until fileTime          `yaml:"until"`
	Gaps  bool              `yaml:"gaps"` // nothing is meant to be held between steps that do not touch
	Steps []reservationStep `yaml:"steps"`
}

// reservationStep is a segment of its envelope.
type reservationStep struct {
	From   fileTime    `yaml:"from"`
	To     fileTime    `yaml:"to"`
	Firm   fileAmounts `yaml:"firm"`
	Mean   fileAmounts `yaml:"mean"`
	Own    fileAmounts `yaml:"sigma_own"`
	Common fileAmounts `yaml:"sigma_common"`
}

// line is where the step stands in its file.
func (s reservationStep) line() int {
	return cmp.Or(s.From.line, s.To.line, s.Firm.line, s.Mean.line, s.Own.line, s.Common.line)
}

// fileTime is a time in a file, and where it stands.
type fileTime struct {
	text string
	line int
}

// UnmarshalYAML keeps the text: what it means depends on when it is read.
func (t *fileTime) UnmarshalYAML(n *yaml.Node) error {
	t.text, t.line = n.Value, n.Line
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: want a time, like 2026-11-22T18:00Z, now or +2h", n.Line)
	}
	if _, err := coming(t.text, time.Now()); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// at returns the time; 0 where there is none.
func (t fileTime) at(now time.Time) timeline.Time {
	if t.line == 0 {
		return 0
	}
	at, _ := parseTime(t.text, now) // it was tried when it was read
	return timeline.Of(at)
}

// fileAmounts are amounts in a file, and where they stand.
type fileAmounts struct {
	config.Amounts
	line int
	bad  *config.LineError // what is no amount among them; nil where all are
}

// UnmarshalYAML reads amounts with their units. What is none is kept: of which step it is, is known when all are read.
func (a *fileAmounts) UnmarshalYAML(n *yaml.Node) error {
	a.line = n.Line
	if err := a.Amounts.UnmarshalYAML(n); err != nil && !errors.As(err, &a.bad) {
		return err
	}
	return nil
}

// noAmount returns the first thing in the step that is no amount, and where it stands; no error if all are.
func (s reservationStep) noAmount() (line int, err error) {
	for _, part := range [...]struct {
		name string
		bad  *config.LineError
	}{{"firm", s.Firm.bad}, {"mean", s.Mean.bad}, {"own deviation", s.Own.bad}, {"common deviation", s.Common.bad}} {
		if part.bad != nil {
			return part.bad.Line, fmt.Errorf("%s: %w", part.name, part.bad.Err)
		}
	}
	return 0, nil
}

// readReservations reads files of reservations. What is wrong with a step is told with its line.
func readReservations(ctx context.Context, names []string, now time.Time) ([]v1.ReservationRequest, error) {
	if len(names) == 0 {
		return nil, usagef("name a file with -f, or - for standard input")
	}
	var out []v1.ReservationRequest
	for _, name := range names {
		all, err := readDocuments[reservationFile](ctx, name)
		if err != nil {
			return nil, err
		}
		for _, f := range all {
			in, err := f.request(now)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", cmp.Or(map[string]string{"-": "standard input"}[name], name), err)
			}
			out = append(out, in)
		}
	}
	return out, nil
}

// request returns what the file asks for.
func (f reservationFile) request(now time.Time) (v1.ReservationRequest, error) {
	out := v1.ReservationRequest{ID: f.ID, Host: f.Host, Class: f.Class, Floor: f.Floor.Vector(), Until: f.Until.at(now), Gaps: f.Gaps}
	what := "reservation " + cmp.Or(f.ID, "on "+f.Host)
	if proto.IsPlanHold(f.ID) {
		return out, fmt.Errorf("%s: what stored plans hold is called plan/…: give this one another identifier", what)
	}
	if f.Host == "" {
		return out, fmt.Errorf("%s: say on which host it is held", what)
	}
	if len(f.Steps) == 0 {
		return out, fmt.Errorf("%s: it holds nothing: give it steps, like {to: +2h, firm: {cpu: 1}}", what)
	}
	for i, s := range f.Steps {
		g := proto.Segment{
			Span: timeline.Span{Start: s.From.at(now), End: s.To.at(now)},
			Firm: s.Firm.Vector(), Mean: s.Mean.Vector(), Own: s.Own.Vector(), Common: s.Common.Vector(),
		}
		switch {
		case s.From.line > 0:
		case i == 0:
			g.Start = timeline.Of(now)
		case out.Envelope[i-1].End == timeline.Forever:
			return out, fmt.Errorf("line %d: %s: segment %d begins at no time: give it from, or the one before it to", s.line(), what, i)
		default:
			g.Start = out.Envelope[i-1].End
		}
		if s.To.line == 0 {
			g.End = timeline.Forever
			if i+1 < len(f.Steps) && f.Steps[i+1].From.line > 0 {
				g.End = f.Steps[i+1].From.at(now)
			}
		}
		out.Envelope = append(out.Envelope, g)
	}
	for i, s := range f.Steps {
		if line, err := s.noAmount(); err != nil {
			return out, fmt.Errorf("line %d: %s: %w", line, what, &proto.StepError{What: "segment", Step: i, Span: out.Envelope[i].Span, Fault: timeline.FaultAmount, Err: err})
		}
	}
	// The coordinator checks it again, by its own clock; only here the lines are known.
	if err := out.Envelope.Askable(cmp.Or(f.Class, proto.Standard), timeline.Of(now), f.Gaps); err != nil {
		var step *proto.StepError
		if errors.As(err, &step) {
			return out, fmt.Errorf("line %d: %s: %w", f.Steps[step.Step].line(), what, err)
		}
		return out, fmt.Errorf("%s: %w", what, err)
	}
	if from := f.Steps[0].From; from.line == 0 || from.text == "now" {
		out.Envelope[0].Start = 0 // now, by the coordinator's clock
	}
	return out, nil
}
