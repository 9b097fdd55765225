package state

import (
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func TestALessonIsKeptWithTheMoveThatTaughtIt(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.settled("m", "i", "b", 70)
	lesson := proto.Lesson{
		From: proto.CPU{Model: "old", Score: 100}, To: proto.CPU{Model: "new", Score: 200}, Ratio: 520,
		Start: &proto.Start{Extra: resource.Vector{resource.CPU: 300}, Decay: 12_000},
	}
	w.want(proto.ResultStale, &proto.MigrationLearned{Migration: "m", Lesson: lesson}) // it goes on
	w.must(&proto.MigrationComplete{Migration: "m", Fence: w.fence("i")})
	for name, wrong := range map[string]proto.Lesson{
		"ratio":   {Ratio: -1},
		"score":   {To: proto.CPU{Score: proto.MaxScore + 1}},
		"decay":   {Start: &proto.Start{Decay: -1}},
		"amounts": {Start: &proto.Start{Extra: resource.Vector{resource.CPU: -1}}},
	} {
		t.Run(name, func(*testing.T) {
			w.want(proto.ResultInvalid, &proto.MigrationLearned{Migration: "m", Lesson: wrong})
		})
	}
	w.want(proto.ResultNotFound, &proto.MigrationLearned{Migration: "none", Lesson: lesson})
	if m := w.migration("m"); m.Lesson != nil {
		t.Fatalf("kept %+v, which was refused", *m.Lesson)
	}
	w.must(&proto.MigrationLearned{Migration: "m", Lesson: lesson})
	if m := w.migration("m"); m.Lesson == nil || m.Lesson.Ratio != 520 || m.Lesson.Start.Decay != 12_000 {
		t.Fatalf("kept %+v", m.Lesson)
	}
}

func TestAHostWithASpeedIsStatedOnlyWhereAllKnowOfSpeeds(t *testing.T) {
	if got := (proto.HostRegister{}).Asks(); got != 0 {
		t.Errorf("a host without one asks for %s", got)
	}
	if got := (proto.HostRegister{Facts: proto.HostFacts{CPUScore: 1}}).Asks(); got != proto.CmdMigrationLearned {
		t.Errorf("a host with one asks for %s", got)
	}
}
