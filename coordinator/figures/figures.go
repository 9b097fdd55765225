// Package figures asks homes and agents for what is known of instances that may have to move, for plans of many of them.
package figures

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// Sources answer for instances. They are called concurrently.
type Sources struct {
	Forecast  func(context.Context, proto.ForecastRequest) (proto.ForecastReply, error) // wire.NotFound says that there is none
	DataBytes func(ctx context.Context, instance string) (int64, error)
}

// For how many instances it is asked at the same time, and for how long ahead of a plan that can do without one.
const (
	asksAtOnce = 16
	aheadTime  = 10 * time.Second
)

// Figures is what is known at one time. Each instance is asked for once, so that a plan sees the same of it all the way.
type Figures struct {
	ctx     context.Context // of the plan: the planner, which can't wait, has none
	from    Sources
	now     timeline.Time
	step    time.Duration
	known   map[string]planner.MovingFigures
	failed  map[string]error // of those that were asked for ahead
	unsized []string
	err     error
}

// At returns figures that are asked for within ctx, over the ledger's grid by its base step, and asks for those of some instances at once.
func (s Sources) At(ctx context.Context, now timeline.Time, step time.Duration, instances []string) (*Figures, error) {
	f := &Figures{ctx: ctx, from: s, now: now, step: step, known: map[string]planner.MovingFigures{}, failed: map[string]error{}}
	type answer struct {
		figures planner.MovingFigures
		sized   bool
	}
	answers := make([]answer, len(instances))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(asksAtOnce)
	for n, name := range instances {
		group.Go(func() (err error) {
			a := &answers[n]
			a.figures, a.sized, err = f.ask(ctx, name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for n, name := range instances {
		f.note(name, answers[n].figures, answers[n].sized)
	}
	return f, nil
}

// Of returns what is known of an instance. One that was not asked for at once is asked for now.
func (f *Figures) Of(instance string) planner.MovingFigures {
	if known, ok := f.known[instance]; ok {
		return known
	}
	figures, sized, err := f.ask(f.ctx, instance)
	if err != nil && f.err == nil {
		f.err = err
	}
	f.note(instance, figures, sized)
	return figures
}

// Ahead asks for instances at once of which Ask is to tell next, so that one whose home or agent does not answer holds up no other. It returns when all have been asked.
func (f *Figures) Ahead(instances []string) {
	type answer struct {
		figures planner.MovingFigures
		sized   bool
		err     error
	}
	answers := make([]answer, len(instances))
	var group errgroup.Group
	group.SetLimit(asksAtOnce)
	for n, name := range instances {
		if _, known := f.known[name]; known || f.failed[name] != nil {
			continue
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(f.ctx, aheadTime)
			defer cancel()
			a := &answers[n]
			a.figures, a.sized, a.err = f.ask(ctx, name)
			return nil
		})
	}
	_ = group.Wait() // each answer has its error
	for n, name := range instances {
		_, known := f.known[name]
		switch a := answers[n]; {
		case known || f.failed[name] != nil:
		case a.err != nil:
			f.failed[name] = a.err
		default:
			f.note(name, a.figures, a.sized)
		}
	}
}

// Ask is as Of for a plan that can do without an instance: where what is expected of it can't be asked, it says why, and Err does not.
func (f *Figures) Ask(instance string) (planner.MovingFigures, error) {
	if known, ok := f.known[instance]; ok {
		return known, nil
	}
	if err := f.failed[instance]; err != nil {
		return planner.MovingFigures{}, err
	}
	figures, sized, err := f.ask(f.ctx, instance)
	if err == nil {
		f.note(instance, figures, sized)
	}
	return figures, err
}

// Err returns why a plan that was made with the figures is none: what is expected of one of the instances could not be asked.
func (f *Figures) Err() error { return f.err }

// Unsized says of which instances that were asked for it is not known how much data they have; "" of none.
func (f *Figures) Unsized() string {
	if len(f.unsized) == 0 {
		return ""
	}
	slices.Sort(f.unsized)
	return "the size of the data is not known, so copying is not counted, of " + strings.Join(f.unsized, ", ")
}

func (f *Figures) note(instance string, figures planner.MovingFigures, sized bool) {
	f.known[instance] = figures
	if !sized {
		f.unsized = append(f.unsized, instance)
	}
}

// ask returns what is known of an instance, and whether the size of its data is.
func (f *Figures) ask(ctx context.Context, instance string) (out planner.MovingFigures, sized bool, err error) {
	out.Forecast, err = f.from.Forecast(ctx, proto.ForecastRequest{
		Instance: instance, From: planner.Grid(f.now, f.step).Start, Step: f.step.Milliseconds(), Steps: planner.GridSteps,
	})
	if wire.CodeOf(err) == wire.NotFound {
		out.Forecast, err = proto.ForecastReply{}, nil
	}
	if err != nil {
		return out, true, fmt.Errorf("what instance %s is expected to ask for: %w", instance, err)
	}
	data, err := f.from.DataBytes(ctx, instance)
	out.Data = max(data, 0)
	return out, err == nil, nil
}
