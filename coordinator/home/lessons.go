package home

import (
	"context"
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/lesson"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// learnEvery is how often it is looked for moves that something can be learned from, and lateBy how long after it could have been that is still tried.
const (
	learnEvery = time.Minute
	lateBy     = 24 * time.Hour
)

// cpuOf returns the CPU model of the host that an instance runs on; "" for a host's own use, which stays where it is.
func cpuOf(view *state.View, instance string) string {
	i, ok := view.Instance(instance)
	if !ok {
		return ""
	}
	host, _ := view.Host(i.Owner)
	return host.Facts.CPUModel
}

// onItsCPU returns the history of an instance as if it had always run on the CPU that it runs on now, and says what was changed for that.
func onItsCPU(view *state.View, instance string, h forecast.History, now timeline.Time) (forecast.History, []string) {
	changes := lesson.Changes(view, instance, asked(learnMost, now).Start)
	var notes []string
	cpu := h[resource.CPU]
	for _, c := range changes {
		before := len(cpu.Values) > 0 && cpu.Start.Add(cpu.Step/2) < c.At // there is something that it changes
		if text := c.Says(); before && text != "" {
			notes = append(notes, text)
		}
	}
	return lesson.History(h, changes), notes
}

// tried is what was looked for in the history after a move, whatever came of it.
type tried struct{ start, ratio bool }

// learn looks at the moves that brought instances to hosts whose home this is, and keeps with them what they taught: how the instance started, after an hour, and what
// CPU it takes on another model, after a day.
func (h *Homes) learn(ctx context.Context, view *state.View, now timeline.Time) {
	if h.cfg.Windows == nil || now.Sub(h.learned) < learnEvery {
		return
	}
	h.learned = now
	seen, kept := map[string]bool{}, map[string]tried{}
	for m := range view.EndedMigrations() {
		if now.Sub(m.EndedAt) > lesson.RatioAfter+lateBy || ctx.Err() != nil {
			break
		}
		at, there := lesson.Moved(m)
		if !there || m.Outcome == proto.OutcomeReturned || seen[m.Instance] {
			continue // it was given up, or taken back by a move that ended with it, or the instance has moved since
		}
		seen[m.Instance] = true
		i, known := view.Instance(m.Instance)
		host, _ := view.Host(m.Target)
		if !known || m.Outcome != proto.OutcomeCompleted || i.Owner != m.Target || i.Migration != "" || host.Home != h.cfg.Name {
			continue
		}
		kept[m.ID] = h.lesson(ctx, view, m, at, now, h.tried[m.ID])
	}
	h.tried = kept
}

// lesson takes what a move has taught by now, and returns what was looked for.
func (h *Homes) lesson(ctx context.Context, view *state.View, m proto.Migration, at, now timeline.Time, done tried) tried {
	var l proto.Lesson
	if m.Lesson != nil {
		l = *m.Lesson
		done.start = true
		done.ratio = done.ratio || l.Ratio != 0
	} else {
		scores := lesson.Scores(view)
		source, _ := view.Host(m.Source)
		target, _ := view.Host(m.Target)
		l.From, l.To = source.Facts.CPU(), target.Facts.CPU()
		l.From.Score, l.To.Score = scores[l.From.Model], scores[l.To.Model]
	}
	news, id := false, m.ID
	if !done.start && now.Sub(at) >= lesson.StartAfter {
		s, ok := h.started(ctx, m.Instance, at)
		if done.start = true; ok {
			l.Start, news, id = &s, true, id+"/start"
		}
	}
	if !done.ratio && l.From.Model != l.To.Model && now.Sub(at) >= lesson.RatioAfter {
		span := timeline.Span{Start: at.Add(-lesson.RatioFrom), End: at.Add(lesson.RatioAfter)}
		means, err := h.cfg.Store.Demand(ctx, m.Instance, span, false)
		if err != nil {
			h.cfg.Log.Warn("nothing is learned of the CPU that an instance came to", "instance", m.Instance, "migration", m.ID, "error", err)
		}
		r, ok := lesson.Ratio(means, at)
		// With another move in those days, as one back, they are not of one CPU each.
		if done.ratio = true; ok && lesson.Alone(view, m.Instance, at, span) {
			l.Ratio, news, id = int64(math.Round(1000*r)), true, id+"/cpu"
		}
	}
	if !news {
		return done
	}
	r, err := h.cfg.Propose(ctx, id, "home "+h.cfg.Name, &proto.MigrationLearned{Migration: m.ID, Lesson: l})
	if err != nil { // it is tried again, as where a coordinator does not know the command yet
		h.cfg.Log.Debug("what a move taught could not be kept", "migration", m.ID, "error", err)
		return tried{}
	}
	if !r.OK() {
		h.cfg.Log.Warn("what a move taught was refused", "migration", m.ID, "reason", r.Message)
	}
	return done
}

// started returns what an instance took after its start on another host.
func (h *Homes) started(ctx context.Context, instance string, at timeline.Time) (proto.Start, bool) {
	hour := timeline.Span{Start: at, End: at.Add(lesson.StartAfter)}
	means, err := h.cfg.Windows(ctx, instance, hour, false)
	if err != nil {
		return proto.Start{}, false
	}
	highest, err := h.cfg.Windows(ctx, instance, hour, true)
	if err != nil {
		return proto.Start{}, false
	}
	return lesson.StartOf(means, highest, at)
}
