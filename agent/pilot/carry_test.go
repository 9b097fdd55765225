package pilot

import (
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// promised is a schedule of an instance that gets up to 40.
func promised(name string) proto.InstanceSchedule {
	step := func(from, to timeline.Time, n int64) timeline.Step {
		return timeline.Step{Span: timeline.Span{Start: from, End: to}, Amount: resource.Uniform(n)}
	}
	return proto.InstanceSchedule{
		Instance: name, Fence: 9, Limited: true, Schedule: timeline.Profile{step(0, 100, 10), step(100, 200, 30)}, Promised: timeline.Profile{step(0, 100, 40), step(100, 200, 30)},
		Floor: resource.Uniform(5), Safe: resource.Uniform(10), Max: resource.Uniform(50),
	}
}

func TestWhatADocumentDoesNotSpeakOfGoesOnWhereItIsKept(t *testing.T) {
	stored := proto.Document{Host: "a", Version: proto.DocumentVersion{Incarnation: 1, Revision: 7}, Instances: []proto.InstanceSchedule{promised("b"), promised("c"), promised("d")}}
	incoming := proto.Document{Host: "a", Version: proto.DocumentVersion{Incarnation: 2, Revision: 1}, Instances: []proto.InstanceSchedule{promised("a"), promised("c")}}
	keeps := func(instance string) bool { return instance != "d" }
	got := Carry(stored, incoming, keeps)
	if len(incoming.Instances) != 2 || len(got.Instances) != 3 || got.Instances[1].Instance != "b" {
		t.Fatalf("%+v", got.Instances)
	}
	if err := Accept("a", stored, got); err != nil {
		t.Fatal(err)
	}
	b := got.Instances[1]
	for _, at := range []timeline.Time{0, 150, 1 << 50} {
		in := Input{Now: at, Document: &got, Allocatable: resource.Uniform(1000)}
		if a := in.at(&b, at); a.scheduled != resource.Uniform(40) || a.alone {
			t.Errorf("at %s it is granted %+v", at, a)
		}
	}
	if Most(b) != resource.Uniform(40) {
		t.Errorf("what is told of it: %s", Most(b))
	}
	// It is kept by the documents that follow, until one speaks of it, whatever its fence is then.
	next := incoming
	next.Version.Revision = 2
	next = Carry(got, next, keeps)
	if len(next.Instances) != 3 {
		t.Fatalf("%+v", next.Instances)
	}
	adopted := incoming
	adopted.Version.Revision = 3
	adopted.Instances = []proto.InstanceSchedule{promised("b")}
	adopted.Instances[0].Fence = 4
	adopted = Carry(next, adopted, func(string) bool { return false })
	if err := Accept("a", next, adopted); len(adopted.Instances) != 1 || err != nil {
		t.Errorf("%v, %d instances", err, len(adopted.Instances))
	}
}
