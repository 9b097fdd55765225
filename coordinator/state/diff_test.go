package state

import (
	"slices"
	"testing"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestTheDifferenceOfViewsIsWhatSeveralCommandsLeft(t *testing.T) {
	w := newWorld(t)
	before := w.s.View()
	w.adopt("i", "a", 10)
	w.must(&proto.EventPut{Event: proto.Event{ID: "gone", Kind: "k", Span: timeline.Span{Start: 0, End: 10}, Instances: []string{"i"}}})
	w.must(&proto.EventRemove{ID: "gone"})
	i := w.instance("i")
	want := []Change{{proto.TableInstances, "i"}, {proto.TableReservations, i.Reservation}}
	if got := Difference(before, w.s.View()); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Difference(w.s.View(), w.s.View()); len(got) != 0 {
		t.Errorf("a view differs from itself in %v", got)
	}
	if got := Difference(New().View(), before); len(got) != 1+2+3+3+countTypes(before) {
		t.Errorf("from nothing: %v", got)
	}
}

func countTypes(v *View) (n int) {
	for range v.Types() {
		n++
	}
	return n
}
