package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

func listInstances(c *call) (any, error) {
	var out []v1.InstanceDetail
	for i := range c.view.Instances() {
		out = append(out, v1.InstanceDetail{Instance: i, PausedBy: c.view.PausedBy(i, i.Owner)})
	}
	return items(out), nil
}

// instance returns the instance that the path names.
func (c *call) instance() (proto.Instance, error) {
	name := c.r.PathValue("name")
	i, ok := c.view.Instance(name)
	if !ok {
		return i, missing("instance", name, "instance list")
	}
	return i, nil
}

func (c *call) detail(name string) (any, error) {
	i, ok := c.view.Instance(name)
	if !ok {
		return nil, missing("instance", name, "instance list")
	}
	out := v1.InstanceDetail{Instance: i, PausedBy: c.view.PausedBy(i, i.Owner)}
	if r, ok := c.view.Reservation(i.Reservation); ok {
		out.Envelope = &r
		if i.Spec.Mode == proto.Observe {
			out.Short = c.shortOf(r)
		}
	}
	return out, nil
}

// shortOf returns what lacks for a reservation that was taken as a fact to be admitted, nil where nothing does.
func (c *call) shortOf(r proto.Reservation) (short *proto.Shortfall) {
	r.Forced = false
	_ = errors.As(c.view.Ledger().Fits(ledger.Change{Revise: []proto.Reservation{r}}), &short) // no other refusal is about capacity
	return short
}

func getInstance(c *call) (any, error) { return c.detail(c.r.PathValue("name")) }

// applyInstance adopts an instance, or changes a known one. What a new one is promised comes from its forecast; a known
// one's envelope is the replanning loop's, unless class or application change what it is sized by. Where the host is too full for
// what enforcing it would take, an instance is observed instead: the answer says what is lacking.
func applyInstance(c *call) (any, error) {
	var spec proto.InstanceSpec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	if err := c.named("instance", &spec.Name); err != nil {
		return nil, err
	}
	app, ok := c.view.Application(spec.Application)
	if spec.Application != "" && !ok {
		return nil, missing("application", spec.Application, "app list")
	}
	if spec.Class == "" {
		spec.Class = app.Class
	}
	if spec.Class == "" {
		spec.Class = proto.Standard
	}
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	if spec.Placement != nil {
		if err := c.known(proto.InstanceApply{Spec: spec}.Asks(), "the placement of an instance"); err != nil {
			return nil, err
		}
	}
	if apply := (proto.InstanceApply{Spec: spec}); !c.view.Knows(apply.Command(), apply.Least()) {
		return nil, unknownToSome("signals of an instance are")
	}
	kind, ok := c.view.Type(spec.Type)
	if !ok {
		return nil, missing("instance type", spec.Type, "type list")
	}
	if _, ok := c.view.Host(spec.Host); !ok {
		return nil, missing("host", spec.Host, "host list")
	}
	body := &proto.InstanceApply{Spec: spec}
	known, exists := c.view.Instance(spec.Name)
	if !exists || known.Spec.Class != spec.Class || known.Spec.Application != spec.Application {
		fleet := c.view.Fleet()
		if fleet.ID == "" {
			return nil, planner.ErrNoFleet
		}
		sizing := planner.NewSizing(spec.Class, kind, app, fleet.Policy)
		demand, err := c.forecast(spec.Name)
		if err != nil {
			return nil, err
		}
		if len(demand.Profiles) == 0 {
			demand = sizing.Cold(planner.Grid(c.now, c.gridStep()))
		}
		allocation, _ := sizing.Allocation(demand)
		body.Envelope, body.Floor = sizing.Envelope(allocation, demand), sizing.Floor
	}
	_, err := c.propose(body)
	if spec.Mode == proto.Enforce && (!exists || known.Spec.Mode == proto.Observe) && lacking(err) {
		// What runs on the host runs there already: it is a fact, that can be measured and reserved, if not limited.
		body.Spec.Mode = proto.Observe
		_, err = c.proposeAs(c.id+"/observe", body)
	}
	if err != nil {
		return nil, err
	}
	return c.detail(spec.Name)
}

// lacking reports whether a command was refused for want of capacity.
func lacking(err error) bool {
	var refusal *proto.Refusal
	return errors.As(err, &refusal) && refusal.Result.Shortfall != nil
}

func (c *call) gridStep() time.Duration {
	return time.Duration(c.view.Fleet().GridStep) * time.Millisecond
}

// forecast returns an instance's forecast over the ledger's grid; an empty one when nothing is known of it.
func (c *call) forecast(instance string) (proto.ForecastReply, error) {
	if _, ok := c.view.Instance(instance); !ok {
		return proto.ForecastReply{}, nil // history goes to the home of the host that has it
	}
	step := c.gridStep()
	f, err := c.cfg.Forecast(c.ctx, proto.ForecastRequest{
		Instance: instance, From: planner.Grid(c.now, step).Start, Step: step.Milliseconds(), Steps: planner.GridSteps,
	})
	if wire.CodeOf(err) == wire.NotFound {
		return proto.ForecastReply{}, nil
	}
	return f, err
}

func setMode(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	var in v1.ModeRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if _, err := c.propose(&proto.InstanceMode{Instance: i.Name(), Mode: in.Mode}); err != nil {
		return nil, err
	}
	return c.detail(i.Name())
}

// releaseInstance begins to give an instance back to its operator.
func releaseInstance(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	if _, err := c.propose(&proto.InstanceRelease{Instance: i.Name()}); err != nil {
		return nil, err
	}
	// The executor may have been so quick that it is gone.
	if now, ok := c.view.Instance(i.Name()); ok {
		i = now
	}
	return v1.InstanceDetail{Instance: i}, nil
}

// aboveSpan is how far back demand is compared with the schedule unless the query says otherwise.
const aboveSpan = 24 * time.Hour

// getSchedule returns what the document says for an instance now, what the kernel holds, and how often the instance asked for more than
// it was scheduled: in mode observe, what it would have been limited to.
func getSchedule(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	q := query{c: c}
	over := time.Duration(q.number("over_ms", 0, proto.AboveMost.Milliseconds())) * time.Millisecond
	if q.err != nil {
		return nil, q.err
	}
	if over == 0 {
		over = aboveSpan
	}
	held, err := c.readBack(c.ctx, i)
	if err != nil {
		return nil, err
	}
	out := v1.Schedule{ReadBack: held, Mode: i.Spec.Mode, PausedBy: c.view.PausedBy(i, i.Owner)}
	above, err := c.cfg.Above(c.ctx, proto.AboveRequest{Instance: i.Name(), Span: timeline.Span{Start: c.now.Add(-over), End: c.now}})
	if err == nil {
		out.Above = &above
	} else {
		c.cfg.Log.Debug("demand can't be compared with the schedule", "instance", i.Name(), "error", err)
	}
	return out, nil
}

func (c *call) readBack(ctx context.Context, i proto.Instance) (proto.ReadBack, error) {
	body, err := proto.Marshal(proto.InstanceRef{Instance: i.Name()})
	if err != nil {
		return proto.ReadBack{}, err
	}
	held, err := rpc.Decode[proto.ReadBack](c.cfg.CallAgent(ctx, i.Owner, proto.MethodReadBack, body))
	held.Signals = slices.DeleteFunc(held.Signals, func(s proto.SignalState) bool {
		return !(s.Value >= 0 && s.Value <= proto.MostSignal) // no agent of ours says so, and NaN can't be said in JSON
	})
	return held, err
}

func getForecast(c *call) (any, error) {
	name := c.r.PathValue("name")
	if err := proto.ValidID("instance", name); err != nil {
		return nil, invalid("%s", err)
	}
	q := query{c: c}
	in := proto.ForecastRequest{
		Instance: name, From: timeline.Time(q.number("from", 0, int64(timeline.Forever)-1)),
		Step: q.number("step_ms", 0, (24 * time.Hour).Milliseconds()), Steps: int(q.number("steps", 0, v1.ForecastSteps)),
		Means: q.flag("means"),
	}
	if q.err != nil {
		return nil, q.err
	}
	return c.cfg.Forecast(c.ctx, in)
}

// getScores answers how forecasts of an instance fared.
func getScores(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	return c.cfg.Scores(c.ctx, i.Name())
}

// listScores answers how forecasts of all instances fared, in short.
func listScores(c *call) (any, error) {
	all, silent := c.cfg.AllScores(c.ctx)
	return v1.Scorecards{Items: append([]proto.ScoreSummary{}, all...), Silent: silent}, nil
}
