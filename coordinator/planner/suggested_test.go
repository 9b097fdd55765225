package planner

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// keep stores what a look found, and returns how many commands that took.
func (w *evened) keep(r Rebalanced) (Stored, int) {
	w.t.Helper()
	s := r.Store(w.s.View(), w.now)
	for _, c := range s.End {
		w.must(c)
	}
	for _, p := range s.Put {
		w.must(p)
	}
	return s, len(s.End) + len(s.Put)
}

func (w *evened) suggested() (out []proto.StoredPlan) {
	for p := range w.s.View().Plans() {
		if p.Status == proto.PlanSuggested {
			out = append(out, p)
		}
	}
	return out
}

func TestASuggestionStaysWhoseInstanceCanNotBeAskedAbout(t *testing.T) {
	w := crowded(t)
	first := w.look()
	w.keep(first)
	r := w.look(func(in *RebalanceInput) {
		in.Of = func(string) (MovingFigures, error) { return MovingFigures{}, errors.New("no answer") }
	})
	if _, n := w.keep(r); n != 0 || len(w.suggested()) != len(first.Suggestions) {
		t.Errorf("%d commands, %d of %d are suggested still, though nothing was found against them", n, len(w.suggested()), len(first.Suggestions))
	}
}

func TestSuggestionsAreReplacedAndDoNotPileUp(t *testing.T) {
	w := crowded(t)
	first := w.look()
	s, n := w.keep(first)
	if n != len(first.Suggestions) || len(s.IDs) != n || len(w.suggested()) != n {
		t.Fatalf("%d commands for %d suggestions: %+v", n, len(first.Suggestions), s)
	}
	for _, p := range w.suggested() {
		if p.Kind != proto.PlanRebalance || !proto.OfRebalance(p.ID) || len(p.Moves) != 1 || len(p.Moves[0].Holds) != 0 || p.Moves[0].Chosen || !strings.Contains(p.Reason, "it wins by 0.") {
			t.Errorf("%+v", p)
		}
	}
	// The same again changes nothing, until it would lapse.
	w.later(time.Hour)
	if again, n := w.keep(w.look()); n != 0 || again.IDs[0] != s.IDs[0] {
		t.Errorf("%d commands for what is there: %+v", n, again)
	}
	w.later(SuggestionLasts / 2)
	if again, n := w.keep(w.look()); n != len(s.IDs) || again.IDs[0] != s.IDs[0] || len(w.suggested()) != len(s.IDs) {
		t.Errorf("%d commands to confirm it: %+v", n, again)
	}
	for _, p := range w.suggested() {
		if why := Outlived(p, w.s.View(), w.now.Add(SuggestionLasts-1)); why != "" {
			t.Errorf("it was confirmed: %s", why)
		}
		if why := Outlived(p, w.s.View(), w.now.Add(SuggestionLasts)); !strings.Contains(why, "it was suggested 24 h ago") {
			t.Errorf("%q", why)
		}
	}
	// Where it goes now is another host.
	target := w.suggested()[0].Moves[0].Target
	w.must(&proto.HostSet{Host: target, Cordoned: true})
	if why := Outlived(w.suggested()[0], w.s.View(), w.now); !strings.Contains(why, "host "+target+" takes nothing any more") {
		t.Errorf("%q", why)
	}
	r := w.look()
	w.keep(r)
	if got := w.suggested(); len(got) != len(r.Suggestions) {
		t.Errorf("%d are kept of %d", len(got), len(r.Suggestions))
	}
	// And then nothing is.
	w.keep(w.look(func(in *RebalanceInput) { in.Margin = 1000 }))
	if got := w.suggested(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	for p := range w.s.View().Plans() {
		if p.Status != proto.PlanStale || p.Reason == "" {
			t.Errorf("%s: %s", p.Status, p.Reason)
		}
	}
}

func TestASuggestionIsOutlivedOnceItDoesNoGood(t *testing.T) {
	for says, change := range map[string]func(*evened, proto.Move){
		"": func(*evened, proto.Move) {},
		"it would not make the fleet better any more": func(w *evened, m proto.Move) {
			for _, name := range []string{"i0", "i1", "i2", "i3"} {
				if name != m.Instance {
					w.demand[name] = resource.Vector{resource.CPU: 50, resource.Memory: 64 << 20}
				}
			}
			w.later(time.Minute)
			w.runs("other", m.Target, 2500, 256<<20)
		},
		"does not fit on h2 any more": func(w *evened, m proto.Move) { w.runs("other", m.Target, 7000, 256<<20) },
		"on h1, and on h0 no more": func(w *evened, m proto.Move) {
			m.Target = "h1"
			w.later(time.Minute)
			w.moves(Suggestion{Move: m})
		},
	} {
		w := crowded(t)
		w.keep(w.look(func(in *RebalanceInput) { in.Moves = 1 }))
		p := w.suggested()[0]
		change(w, p.Moves[0])
		why := Outlived(p, w.s.View(), w.now)
		if says == "" && why != "" || !strings.Contains(why, says) {
			t.Errorf("%q, not %q", why, says)
		}
	}
}
