package forecast

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMembersSayTheSameWithoutWhatNoOriginReads(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	quantiles := []float64{.5, .95}
	for name, values := range pasts() {
		if len(values) < perDay {
			continue
		}
		// Eighty days after the Monday summer begins in Berlin.
		s := Series{Start: after(70 * day), Step: step, Values: values}
		whole, part := newGrid(s, step, defaultWindow, berlin, 3*perDay), newGrid(s, step, defaultWindow, berlin, 3*perDay)
		whole.fill()
		part.fill()
		part.from = part.readFrom(part.origins())
		end := part.copyOf()
		end.from = end.readFrom(nil)
		if end.from == 0 && len(end.x) > 2*perDay {
			t.Errorf("%s: all of %d steps is read from the end", name, len(end.x))
		}
		all, ends := portfolio(whole, quantiles, MemberNames(), policy{}), portfolio(end, quantiles, MemberNames(), policy{})
		for i, m := range portfolio(part, quantiles, MemberNames(), policy{}) {
			last := ends[i]
			for _, o := range append(part.origins(), origin{at: len(part.x)}) {
				for qi := range quantiles {
					want, got := make([]float64, 2*perDay), make([]float64, 2*perDay)
					all[i].path(want, o.at, qi)
					m.path(got, o.at, qi)
					if !slices.Equal(want, got) {
						t.Fatalf("%s: %s from %d of %d:\n%s", name, m.name, o.at, len(part.x), cmp.Diff(want, got))
					}
					if o.at != len(end.x) {
						continue
					}
					last.path(got, o.at, qi)
					if !slices.Equal(want, got) {
						t.Fatalf("%s: %s from the end alone:\n%s", name, m.name, cmp.Diff(want, got))
					}
				}
			}
		}
	}
}
