package home

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/coordinator/tasks"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

const (
	tasksLook   = time.Minute      // between two looks at whose agent is to be asked
	tasksEvery  = 10 * time.Minute // between two questions to one agent
	tasksTime   = 5 * time.Second  // that an agent may take
	tasksAtOnce = 8                // agents that are asked at once

	judgeEvery  = 12 * time.Hour     // whether a task moves an instance; what it moves by is learned at every training
	tasksAhead  = 8 * 24 * time.Hour // how far runs to come are foretold
	mostOfTasks = 4000               // events of tasks in a forecast
	taskKind    = "task/"            // begins the kinds of their events
)

// hostTasks is what a host's agent said last of its tasks. It is not kept anywhere else: the agent knows, and is asked again by whoever becomes the home.
type hostTasks struct {
	asked  timeline.Time
	heard  timeline.Time // 0: it has not answered
	digest string
	tasks  proto.HostTasks
}

// judged is which tasks move an instance, as found at some time from some schedules.
type judged struct {
	at       timeline.Time // 0: never
	plan     string
	findings []tasks.Finding
}

// askTasks asks the agents of this home's hosts for their tasks until ctx ends, each every few minutes.
func (h *Homes) askTasks(ctx context.Context) {
	for {
		h.askAll(ctx, timeline.Of(time.Now()))
		if !pause(ctx, tasksLook) {
			return
		}
	}
}

// askAll asks those agents whose turn it is.
func (h *Homes) askAll(ctx context.Context, now timeline.Time) {
	view := h.cfg.View()
	own := map[string]bool{}
	for host := range view.Hosts() {
		own[host.Facts.Name] = host.Home == h.cfg.Name
	}
	h.mu.Lock()
	maps.DeleteFunc(h.tasks, func(host string, _ hostTasks) bool { return !own[host] })
	h.mu.Unlock()
	slots := make(chan struct{}, tasksAtOnce)
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, host := range h.cfg.Online() {
		h.mu.Lock()
		have := h.tasks[host]
		h.mu.Unlock()
		if !own[host] || have.asked > 0 && now.Sub(have.asked) < tasksEvery {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		asking.Go(func() {
			defer func() { <-slots }()
			got := h.ask(ctx, host, have, now)
			h.mu.Lock()
			h.tasks[host] = got
			h.mu.Unlock()
		})
	}
}

// ask asks one agent. What it said before stands until it says something else.
func (h *Homes) ask(ctx context.Context, host string, have hostTasks, now timeline.Time) hostTasks {
	ctx, cancel := context.WithTimeout(ctx, tasksTime)
	defer cancel()
	have.asked = now
	body, err := proto.Marshal(proto.TasksRequest{Have: have.digest})
	if err != nil {
		h.cfg.Log.Error("a question could not be encoded", "host", host, "error", err)
		return have
	}
	reply, err := rpc.Decode[proto.TasksReply](h.cfg.Call(ctx, host, proto.MethodTasks, body))
	if err == nil {
		err = reply.Tasks.Valid()
	}
	switch {
	case wire.CodeOf(err) == wire.NotFound || ctx.Err() != nil: // it is of an earlier version, or gone
		h.cfg.Log.Debug("an agent does not say what runs by schedule on its host", "host", host, "error", err)
	case err != nil:
		h.cfg.Log.Warn("an agent does not say what runs by schedule on its host", "host", host, "error", err)
	case reply.Digest == "": // it has not looked yet
		have.asked = 0
	case reply.Digest == have.digest:
		have.heard = now
	default:
		have.heard, have.digest, have.tasks = now, reply.Digest, reply.Tasks
	}
	return have
}

// tasksOf returns the tasks of the host that an instance lives on, its own use included.
func (h *Homes) tasksOf(view *state.View, instance string) (proto.HostTasks, *proto.ServiceSpec) {
	var unit *proto.ServiceSpec
	host, system := strings.CutPrefix(instance, proto.SystemReservation(""))
	if !system {
		i, _ := view.Instance(instance)
		host, unit = i.Owner, i.Spec.Service
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tasks[host].tasks, unit
}

// taskEvents returns which tasks move an instance's demand, and their runs in the span of its history and to come as events, no more than most. It judges anew when the
// last time is long ago or other tasks are scheduled.
func (h *Homes) taskEvents(view *state.View, instance string, history forecast.History, span timeline.Span, now timeline.Time, most int) (judged, []forecast.Event) {
	all, unit := h.tasksOf(view, instance)
	h.mu.Lock()
	var j judged
	if m := h.models[instance]; m != nil {
		j = m.judged
	}
	h.mu.Unlock()
	if len(all.Tasks) == 0 {
		return judged{}, nil
	}
	span.End = now.Add(tasksAhead)
	plan := planOf(all)
	if j.at == 0 || now.Sub(j.at) >= judgeEvery || j.plan != plan {
		var candidates []tasks.Candidate
		for _, t := range all.Tasks {
			candidates = append(candidates, tasks.Candidate{Name: t.Name, Own: belongs(t, unit), Runs: tasks.Runs(t, all.Zone, zoneOf, span, now)})
		}
		j = judged{at: now, plan: plan, findings: tasks.Correlate(history, candidates, cmp.Or(zoneOf(all.Zone), time.UTC))}
	}
	var out []forecast.Event
	for _, f := range j.findings {
		i, ok := slices.BinarySearchFunc(all.Tasks, f.Name, func(t proto.Task, name string) int { return cmp.Compare(t.Name, name) })
		if !ok {
			continue
		}
		some := f.Events(tasks.Runs(all.Tasks[i], all.Zone, zoneOf, span, now))
		if len(out)+len(some) > most {
			break
		}
		for _, e := range some {
			e.Kind = taskKind + f.Name
			out = append(out, e)
		}
	}
	return j, out
}

// belongs reports whether a task starts a unit of the instance itself.
func belongs(t proto.Task, s *proto.ServiceSpec) bool {
	return s != nil && t.Source == proto.TaskTimer && (t.Activates == s.Unit || slices.Contains(s.Companions, t.Activates) || slices.Contains(s.Companions, t.Name))
}

// planOf tells schedules apart, whenever they were met.
func planOf(all proto.HostTasks) string {
	var b strings.Builder
	b.WriteString(all.Zone)
	for _, t := range all.Tasks {
		fmt.Fprintf(&b, "\n%s %s %q %d %d", t.Name, t.Activates, t.Schedule, t.Every, t.Delay)
	}
	return b.String()
}

// zoneOf returns a time zone by its name; UTC for "", nil where it is not known here.
func zoneOf(name string) *time.Location {
	if name == "Local" {
		return nil
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return l
}

// says tells what the tasks do to an instance, in words.
func (m *model) says() []string {
	var out []string
	for _, e := range m.effects("") {
		out = append(out, fmt.Sprintf("task %s: +%s %s for %d min, from %d occurrences", e.Task, resource.Format(e.Resource, e.Rise), e.Resource,
			e.Length/time.Minute.Milliseconds(), e.Occurrences))
	}
	return out
}

// effects returns what the tasks do to an instance, by task and resource.
func (m *model) effects(instance string) []proto.TaskEffect {
	var out []proto.TaskEffect
	for _, f := range m.judged.findings {
		for k, moves := range f.Moves {
			if !moves {
				continue
			}
			for _, e := range m.forecast.Effects(resource.Kind(k)) {
				if rise := int64(math.Round(e.Peak)); e.Kind == taskKind+f.Name && rise > 0 {
					out = append(out, proto.TaskEffect{Task: f.Name, Instance: instance, Resource: resource.Kind(k), Rise: rise, Length: f.Length.Milliseconds(), Occurrences: e.Occurrences})
				}
			}
		}
	}
	return out
}

// HostTasks answers what runs by schedule on a host that this coordinator is home to, and what that does to its instances.
func (h *Homes) HostTasks(_ context.Context, _ wire.Peer, r proto.HostTasksRequest) (proto.HostTasksReply, error) {
	view := h.cfg.View()
	if host, ok := view.Host(r.Host); !ok || host.Home != h.cfg.Name {
		return proto.HostTasksReply{}, wire.Errorf(wire.Conflict, "%s is not the home of %s", h.cfg.Name, r.Host)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	have := h.tasks[r.Host]
	out := proto.HostTasksReply{Host: r.Host, Heard: have.heard, HostTasks: have.tasks}
	names := []string{proto.SystemReservation(r.Host)}
	for _, i := range view.InstancesOn(r.Host) {
		if i.Owner == r.Host {
			names = append(names, i.Name())
		}
	}
	for _, name := range names {
		if m := h.models[name]; m != nil {
			out.Effects = append(out.Effects, m.effects(name)...)
		}
	}
	slices.SortStableFunc(out.Effects, func(a, b proto.TaskEffect) int {
		return cmp.Or(cmp.Compare(a.Task, b.Task), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Resource, b.Resource))
	})
	return out, nil
}
