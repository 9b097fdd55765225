package state

import (
	"fmt"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func small(n int64) proto.InstanceType {
	return proto.InstanceType{Name: "small", Max: resource.Uniform(n)}
}

func TestATypeShrinksWithTheEnvelopesOfItsInstances(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.adopt("j", "b", 45)
	w.adopt("k", "c", 20)
	r := w.want(proto.ResultRefused, &proto.TypeRevise{Type: small(30), Revise: []proto.Revision{{ID: "i@a", Envelope: open(30)}}})
	if !strings.Contains(r.Message, "instance j holds") || strings.Contains(r.Message, "instance i ") || strings.Contains(r.Message, "instance k ") {
		t.Fatal(r.Message)
	}
	w.want(proto.ResultInvalid, &proto.TypeRevise{Type: proto.InstanceType{Name: "large", Max: resource.Uniform(70)}, Revise: []proto.Revision{{ID: "i@a", Envelope: open(30)}}})
	both := []proto.Revision{{ID: "i@a", Envelope: open(30)}, {ID: "j@b", Envelope: open(25)}}
	w.must(&proto.TypeRevise{Type: small(30), Revise: both})
	if r, _ := w.s.View().Reservation("j@b"); r.Envelope[0].Firm[resource.CPU] != 25 {
		t.Fatalf("%+v", r)
	}
	if got, _ := w.s.View().Type("small"); got.Revision != 1 || got.Max != resource.Uniform(30) {
		t.Fatalf("%+v", got)
	}
	w.must(&proto.TypeRevise{Type: small(60), From: 1, Revise: []proto.Revision{{ID: "i@a", Envelope: open(55)}}}) // more than it allowed before
	w.want(proto.ResultStale, &proto.TypeRevise{Type: small(60), From: 1})
	w.want(proto.ResultRefused, &proto.TypeRevise{Type: small(200), From: 2, Revise: []proto.Revision{{ID: "i@a", Envelope: open(150)}}}) // more than the host has
	w.want(proto.ResultInvalid, &proto.TypeRevise{Type: small(-1)})
	w.must(&proto.TypeRevise{Type: proto.InstanceType{Name: "new", Max: resource.Uniform(1)}})
}

func TestBothSidesOfAMoveAreInTheWayOfTheirTypes(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 70)
	if r := w.want(proto.ResultRefused, &proto.TypeRevise{Type: small(30)}); !strings.Contains(r.Message, "on a") {
		t.Fatal(r.Message)
	}
	if r := w.want(proto.ResultRefused, &proto.TypeRevise{Type: proto.InstanceType{Name: "large", Max: resource.Uniform(60)}}); !strings.Contains(r.Message, "on b") {
		t.Fatal(r.Message)
	}
	w.want(proto.ResultRefused, &proto.TypeRevise{Type: small(30), Revise: []proto.Revision{{ID: "i@a", Envelope: open(30)}}}) // it moves: its envelope is not replan's
}

// TestWhoIsInTheWayIsFoundWithoutReadingWhatOthersHold holds that a type is revised in a time that does not depend on what everybody has reserved.
func TestWhoIsInTheWayIsFoundWithoutReadingWhatOthersHold(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	x := &tx{View: w.s.View()}
	before := testing.AllocsPerRun(10, func() { x.inTheWay(small(30), nil) })
	for n := range 50 {
		w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{
			{ID: fmt.Sprint("h", n), Host: "b", Purpose: proto.PurposeHold, Class: proto.Standard, Envelope: open(1), Until: w.now + 1_000_000},
		}})
	}
	x = &tx{View: w.s.View()}
	if way := x.inTheWay(small(30), nil); len(way) != 1 {
		t.Fatal(way)
	}
	if after := testing.AllocsPerRun(10, func() { x.inTheWay(small(30), nil) }); after > before+5 {
		t.Errorf("%v allocations beside 50 holds, %v without them", after, before)
	}
}

// TestRevisionsAreCountedOnlyWhereEverybodyCounts holds that the older commands leave what they put as programs that know only them do, until a younger one
// was applied.
func TestRevisionsAreCountedOnlyWhereEverybodyCounts(t *testing.T) {
	w := newWorld(t)
	app := proto.Application{Name: "web", Revision: 7}
	typed := small(50)
	typed.Revision = 7
	w.must(&proto.AppPut{Application: app})
	w.must(&proto.TypePut{Type: typed})
	a, _ := w.s.View().Application("web")
	if got, _ := w.s.View().Type("small"); got.Revision != 0 || a.Revision != 0 {
		t.Fatalf("%d, %d", got.Revision, a.Revision)
	}
	w.must(&proto.AppRevise{Application: app})
	w.want(proto.ResultStale, &proto.AppRevise{Application: app, From: 7})
	w.want(proto.ResultStale, &proto.AppRevise{Application: proto.Application{Name: "none"}, From: 1})
	w.want(proto.ResultInvalid, &proto.AppRevise{Application: proto.Application{Name: "web", Decay: -1}, From: 1})
	w.must(&proto.AppRevise{Application: app, From: 1})
	w.must(&proto.AppPut{Application: app})
	w.must(&proto.TypeRevise{Type: typed})
	w.must(&proto.TypePut{Type: typed})
	a, _ = w.s.View().Application("web")
	if got, _ := w.s.View().Type("small"); got.Revision != 2 || a.Revision != 3 {
		t.Fatalf("%d, %d", got.Revision, a.Revision)
	}
}

// TestTheFirstPolicyPutReadsNothingThatCameLater holds that its bytes do what they did.
func TestTheFirstPolicyPutReadsNothingThatCameLater(t *testing.T) {
	w := newWorld(t)
	p := proto.DefaultPolicy()
	p.MovesLink, p.Windows, p.Rebalance = 3, []proto.MoveWindow{{From: 60, To: 120, Forbid: true}}, &proto.Rebalance{Every: 3_600_000}
	w.must(&proto.PolicyPut{Policy: p})
	if got := w.s.View().Fleet().Policy; got.MovesLink != 3 || len(got.Windows) != 1 || got.Rebalance == nil {
		t.Fatalf("%+v", got)
	}
	p.Rebalance.Every = -1
	w.want(proto.ResultInvalid, &proto.PolicyPut{Policy: p})
	c := w.command(&proto.PolicyPut{Policy: p})
	c.Version = 1
	if r, _ := w.send(c); !r.OK() {
		t.Fatal(r.Message)
	}
	if got := w.s.View().Fleet().Policy; got.MovesLink != 0 || got.Windows != nil || got.Rebalance != nil {
		t.Fatalf("%+v", got)
	}
}
