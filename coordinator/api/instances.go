package api

import (
	"context"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

func listInstances(c *call) (any, error) {
	return items(slices.Collect(c.view.Instances())), nil
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
	out := v1.InstanceDetail{Instance: i}
	if r, ok := c.view.Reservation(i.Reservation); ok {
		out.Envelope = &r
	}
	return out, nil
}

func getInstance(c *call) (any, error) { return c.detail(c.r.PathValue("name")) }

// applyInstance adopts an instance, or changes a known one. What a new one is promised comes from its forecast; a known
// one's envelope is the replanning loop's, unless class or application change what it is sized by.
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
	kind, ok := c.view.Type(spec.Type)
	if !ok {
		return nil, missing("instance type", spec.Type, "type list")
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
	if _, err := c.propose(body); err != nil {
		return nil, err
	}
	return c.detail(spec.Name)
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

// getSchedule returns what the document says for an instance now, and what the kernel holds.
func getSchedule(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	return c.readBack(c.ctx, i)
}

func (c *call) readBack(ctx context.Context, i proto.Instance) (proto.ReadBack, error) {
	body, err := proto.Marshal(proto.InstanceRef{Instance: i.Name()})
	if err != nil {
		return proto.ReadBack{}, err
	}
	return rpc.Decode[proto.ReadBack](c.cfg.CallAgent(ctx, i.Owner, proto.MethodReadBack, body))
}

// longestForecast bounds the steps that may be asked for.
const longestForecast = 4096

func getForecast(c *call) (any, error) {
	name := c.r.PathValue("name")
	if err := proto.ValidID("instance", name); err != nil {
		return nil, invalid("%s", err)
	}
	q := query{c: c}
	in := proto.ForecastRequest{
		Instance: name, From: timeline.Time(q.number("from", 0, int64(timeline.Forever)-1)),
		Step: q.number("step_ms", 0, (24 * time.Hour).Milliseconds()), Steps: int(q.number("steps", 0, longestForecast)),
		Means: q.flag("means"),
	}
	if q.err != nil {
		return nil, q.err
	}
	return c.cfg.Forecast(c.ctx, in)
}
