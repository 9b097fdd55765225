package planner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Eight instances have room only in the last half hour that is planned, in which no window opens, and at all of the 94 times before that at which one does it is looked at every host for
// each of them, but for the bound.
func TestWhatADrainTriesIsBoundedAndItSaysSo(t *testing.T) {
	w := newFleet(t, 40_000, 1000, 1000, 1000, 1000, 1000, 1000)
	for i := range 8 {
		w.run(fmt.Sprintf("i-%d", i), "host-a", int64(600+i))
	}
	w.run("small", "host-a", 100)
	last := begin.Add(47*time.Hour + 30*time.Minute)
	for i := range 6 {
		w.hold(fmt.Sprintf("held-%d", i), hostName(i+1), resource.Vector{resource.CPU: 800}, timeline.Span{Start: begin, End: last})
	}
	policy := w.state.View().Fleet().Policy
	for at := 0; at < minutes; at += 30 {
		if opens := last.Sub(last.Floor(24*time.Hour)) / time.Minute; at != int(opens) {
			policy.Windows = append(policy.Windows, proto.MoveWindow{From: at, To: at + 20})
		}
	}
	w.must(&proto.PolicyPut{Policy: policy})
	in, looked := w.drain("host-a"), 0
	of := in.Of
	in.Of = func(instance string) MovingFigures { // each time that a move of it is planned
		looked++
		return of(instance)
	}
	const most, beside = mostEffort / effortOfLook, 60 // later starts, and first ones with what is known without any
	d, found, err := drained(in)
	if err != nil {
		t.Fatal(err)
	}
	if looked > most+beside || d.effort.left != 0 {
		t.Errorf("moves were planned %d times, %d of its effort are left", looked, d.effort.left)
	}
	looked = 0
	b := d.blocked(found)
	if looked > most+5*beside {
		t.Errorf("for what would help moves were planned %d times", looked)
	}
	if b == nil || b.Proof != proto.BlockedNotFound || len(b.Instances) != 8 {
		t.Fatalf("%+v", b)
	}
	if p := d.finished(b); !strings.Contains(p.Says[0], "no place was found within the bounds of the search, which is no proof that there is none") || len(p.Moves) != 1 {
		t.Errorf("%q, %+v", p.Says, p.Moves)
	}
}
