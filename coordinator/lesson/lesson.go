// Package lesson says what earlier moves teach of the next one: how much CPU time work takes on another CPU, and what an application takes after a start. It only
// computes.
package lesson

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// mostLooked is how many ended moves, the newest, are looked at for lessons.
const mostLooked = 1024

// Book is what moves of a fleet have taught, the newest first.
type Book []Entry

// Entry is a lesson, with what it was learned from.
type Entry struct {
	proto.Lesson

	Application string
	Class       proto.Class
}

// BookOf returns what the completed moves of a fleet have taught.
func BookOf(v *state.View) Book {
	var out Book
	looked := 0
	for m := range v.EndedMigrations() {
		if looked++; looked > mostLooked {
			break
		}
		if m.Lesson == nil {
			continue
		}
		if i, ok := v.Instance(m.Instance); ok {
			out = append(out, Entry{*m.Lesson, i.Spec.Application, i.Spec.Class})
		}
	}
	return out
}

// Moved returns when a move began to run its instance on the target; false for one that did not, or that was given up since.
func Moved(m proto.Migration) (at timeline.Time, there bool) {
	for _, d := range m.Decisions {
		switch d.Kind {
		case proto.DecideCommit:
			at, there = d.At, true
		case proto.DecideAbort, proto.DecideAcceptLoss:
			there = false
		}
	}
	return at, there
}

// Changes returns since when an instance has run on another CPU, and by how many times its demand changed, as far back as since and as moves are kept, in order.
func Changes(v *state.View, instance string, since timeline.Time) []Change {
	i, ok := v.Instance(instance)
	if !ok {
		return nil
	}
	var moves []proto.Migration
	if m, moving := v.Migration(i.Migration); moving {
		moves = append(moves, m)
		if undone, ok := v.Migration(m.Returns); ok && undone.Active() { // it ends with its way back
			moves = append(moves, undone)
		}
	}
	for m := range v.EndedMigrationsOf(instance) {
		if m.EndedAt < since {
			break
		}
		moves = append(moves, m)
	}
	var out []Change
	t := translator{view: v, spec: i.Spec}
	for _, m := range moves {
		there := false
		for _, d := range m.Decisions {
			switch {
			case d.Kind == proto.DecideCommit:
				there = true
				out = t.add(out, d.At, m, false)
			case there && (d.Kind == proto.DecideAbort || d.Kind == proto.DecideAcceptLoss):
				there = false
				out = t.add(out, d.At, m, true)
			}
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.At, b.At) })
	return out
}

// Alone reports whether the move to another CPU at a time is the only one that an instance made in a span: what was measured before it then is of one CPU, and so is
// what came after it.
func Alone(v *state.View, instance string, at timeline.Time, span timeline.Span) bool {
	return !slices.ContainsFunc(Changes(v, instance, span.Start), func(c Change) bool { return c.At != at && span.Contains(c.At) })
}

// translator finds the factors of an instance's moves. What it takes to know them is looked up once there is one between two models.
type translator struct {
	view   *state.View
	spec   proto.InstanceSpec
	book   Book
	scores map[string]int64
}

func (t *translator) add(to []Change, at timeline.Time, m proto.Migration, back bool) []Change {
	from, target := t.model(m.Source, m, false), t.model(m.Target, m, true)
	source, host := m.Source, m.Target
	if back {
		from, target, source, host = target, from, host, source
	}
	if from == target {
		return to
	}
	if t.scores == nil {
		t.book, t.scores = BookOf(t.view), Scores(t.view)
	}
	f := t.book.Factor(proto.CPU{Model: from, Score: t.scores[from]}, proto.CPU{Model: target, Score: t.scores[target]}, t.spec.Application, t.spec.Class)
	return append(to, Change{At: at, From: source, To: host, Factor: f})
}

// model returns the CPU model of one of the hosts of a move, as it was when its lesson was taken, or as it is.
func (t *translator) model(host string, m proto.Migration, target bool) string {
	switch {
	case m.Lesson != nil && target:
		return m.Lesson.To.Model
	case m.Lesson != nil:
		return m.Lesson.From.Model
	}
	h, _ := t.view.Host(host)
	return h.Facts.CPUModel
}
