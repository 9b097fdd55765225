package state

import (
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// adoptAs makes an instance of a class that runs on the host with n of everything and a floor of 10.
func (w *world) adoptAs(name, host string, c proto.Class, n int64) {
	w.t.Helper()
	s := spec(name, host)
	s.Class = c
	f := w.must(&proto.InstanceApply{Spec: s, Envelope: open(n), Floor: resource.Uniform(10)}).Fence
	w.must(&proto.InstanceAdopted{Instance: name, Fence: f})
}

// claim is a hold of standard class of n on a for which low yields down to rest, of memory once that has been given back.
func (w *world) claim(n, rest int64) *proto.Admit {
	r := w.keep("claim", "a", n)
	r.Class, r.Envelope = proto.Standard, ledger.PutOff(r.Envelope, w.now.Add(proto.MemoryGiveBack))
	return &proto.Admit{
		Change: proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{r}},
		Yield:  []proto.Yield{{ID: "low@a", From: 1, Envelope: open(rest), For: "claim", Why: "gives cpu"}},
	}
}

func TestALowerClassYieldsDownToItsFloor(t *testing.T) {
	w := newWorld(t)
	w.adoptAs("low", "a", proto.BestEffort, 40)
	w.want(proto.ResultRefused, &w.claim(80, 10).Change) // without a word of who yields
	if r := w.want(proto.ResultRefused, w.claim(80, 30)); r.Shortfall == nil || r.Shortfall.Missing != 15 {
		t.Fatalf("%+v", r)
	}
	if r := w.want(proto.ResultInvalid, w.claim(80, 9)); !strings.Contains(r.Message, "floor") {
		t.Fatal(r.Message)
	}
	w.now += 1000
	w.must(w.claim(80, 10))
	r, _ := w.s.View().Reservation("low@a")
	if r.Squeezed == nil || *r.Squeezed != (proto.Squeeze{For: "claim", Why: "gives cpu", At: w.now}) || r.Revision != 2 {
		t.Fatalf("%+v", r)
	}
	n, ok := w.s.View().Notice("squeezed/low@a")
	if !ok || n.Instance != "low" || n.Host != "a" || n.ClearedAt != 0 || !strings.Contains(n.Says, "gives cpu") {
		t.Fatalf("%+v", n)
	}
	// With another envelope it has not yielded any more.
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{"claim"}})
	w.must(&proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{ID: "low@a", From: 2, Envelope: open(40), Floor: resource.Uniform(10)}}})
	if r, _ := w.s.View().Reservation("low@a"); r.Squeezed != nil {
		t.Fatalf("%+v", r.Squeezed)
	}
	if n, _ := w.s.View().Notice("squeezed/low@a"); n.ClearedAt != w.now {
		t.Fatalf("%+v", n)
	}
}

func TestWhatIsReleasedHasNotYieldedAnyMore(t *testing.T) {
	w := newWorld(t)
	w.adoptAs("low", "a", proto.BestEffort, 40)
	w.must(w.claim(60, 20))
	w.must(&proto.InstanceRelease{Instance: "low"})
	w.must(&proto.InstanceRemove{Instance: "low", Fence: w.fence("low")})
	if n, _ := w.s.View().Notice("squeezed/low@a"); n.ClearedAt != w.now {
		t.Fatalf("%+v", n)
	}
	hold := w.keep("hold", "b", 50)
	hold.Class = proto.BestEffort
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{hold}})
	claim := w.claim(80, 10)
	claim.Change.Hold[0].ID, claim.Change.Hold[0].Host = "other", "b"
	claim.Yield[0].ID, claim.Yield[0].For = "hold", "other"
	w.must(claim)
	w.now += 4_000_000
	w.must(&proto.Tick{})
	if n, _ := w.s.View().Notice("squeezed/hold"); n.ClearedAt != w.now {
		t.Fatalf("%+v", n)
	}
}

// TestWhoMayNotBeAskedDoesNotYield changes one thing each of a change that is done otherwise.
func TestWhoMayNotBeAskedDoesNotYield(t *testing.T) {
	for name, c := range map[string]struct {
		code   proto.ResultCode
		change func(*world, *proto.Admit)
	}{
		"as it is":         {proto.ResultOK, func(*world, *proto.Admit) {}},
		"stale":            {proto.ResultStale, func(_ *world, b *proto.Admit) { b.Yield[0].From = 2 }},
		"any revision":     {proto.ResultStale, func(_ *world, b *proto.Admit) { b.Yield[0].From = 0 }},
		"unknown":          {proto.ResultNotFound, func(_ *world, b *proto.Admit) { b.Yield[0].ID = "x" }},
		"for nobody":       {proto.ResultInvalid, func(_ *world, b *proto.Admit) { b.Yield[0].For = "low@a" }},
		"same class":       {proto.ResultRefused, func(_ *world, b *proto.Admit) { b.Change.Hold[0].Class = proto.BestEffort }},
		"no class":         {proto.ResultRefused, func(_ *world, b *proto.Admit) { b.Change.Hold[0].Class = "" }},
		"another host":     {proto.ResultInvalid, func(_ *world, b *proto.Admit) { b.Change.Hold[0].Host = "b" }},
		"the system":       {proto.ResultRefused, func(_ *world, b *proto.Admit) { b.Yield[0].ID = "@system@a" }},
		"a critical one":   {proto.ResultRefused, func(_ *world, b *proto.Admit) { b.Yield[0].ID = "high@a" }},
		"more":             {proto.ResultInvalid, func(_ *world, b *proto.Admit) { b.Yield[0].Envelope = open(41) }},
		"an end":           {proto.ResultInvalid, func(_ *world, b *proto.Admit) { b.Yield[0].Envelope[0].End = start + 3_600_000 }},
		"twice":            {proto.ResultInvalid, func(_ *world, b *proto.Admit) { b.Yield = append(b.Yield, b.Yield[0]) }},
		"while it moves":   {proto.ResultRefused, func(w *world, _ *proto.Admit) { w.must(w.startOf("m", "low", "b", 40)) }},
		"a move's target":  {proto.ResultRefused, func(w *world, b *proto.Admit) { w.must(w.startOf("m", "other", "a", 20)); b.Yield[0].ID = "m/target" }},
		"what is observed": {proto.ResultRefused, func(_ *world, b *proto.Admit) { b.Yield[0].ID = "seen@a" }},
		"less later": {proto.ResultInvalid, func(_ *world, b *proto.Admit) {
			b.Yield[0].Envelope = open(40)
			b.Yield[0].Envelope[0].End = start + 600_000
			b.Yield[0].Envelope = append(b.Yield[0].Envelope, proto.Segment{Span: timeline.Span{Start: start + 900_000, End: timeline.Forever}, Firm: resource.Uniform(40)})
		}},
	} {
		w := newWorld(t)
		w.adoptAs("low", "a", proto.BestEffort, 40)
		w.adoptAs("other", "c", proto.BestEffort, 20)
		s := spec("high", "a")
		w.must(&proto.InstanceApply{Spec: s, Envelope: open(10)})
		seen := spec("seen", "a")
		seen.Mode, seen.Class = proto.Observe, proto.BestEffort
		w.must(&proto.InstanceApply{Spec: seen, Envelope: open(1)})
		b := w.claim(20, 30)
		c.change(w, b)
		if r := w.do(b); r.Code != c.code {
			t.Errorf("%s: %s: %s", name, r.Code, r.Message)
		}
	}
}

func TestALowerOneGetsNoRoomBesideTheOneThatIsGiven(t *testing.T) {
	w := newWorld(t)
	w.adoptAs("low", "a", proto.BestEffort, 40)
	b := w.claim(80, 10)
	beside := w.keep("beside", "a", 1)
	beside.Class = proto.BestEffort
	b.Change.Hold = append(b.Change.Hold, beside)
	if r := w.want(proto.ResultRefused, b); !strings.Contains(r.Message, "low@a") {
		t.Fatal(r.Message)
	}
}

// What the view's Squeeze proposes is admitted as it stands, whoever moves meanwhile is left out.
func TestWhatSqueezeProposesIsAdmitted(t *testing.T) {
	w := newWorld(t)
	w.adoptAs("low", "a", proto.BestEffort, 40)
	w.adoptAs("other", "c", proto.BestEffort, 20)
	b := w.claim(80, 0)
	change := ledger.Change{Hold: b.Change.Hold}
	got, err := w.s.View().Squeeze(change, proto.Standard)
	if err != nil {
		t.Fatal(err)
	}
	b.Yield = got.Yield
	w.must(b)
	r, _ := w.s.View().Reservation("low@a")
	if r.Squeezed == nil || r.Squeezed.For != "claim" || !strings.Contains(r.Squeezed.Why, "low (besteffort) gives way by up to") {
		t.Fatalf("%+v", r.Squeezed)
	}
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{"claim"}})
	w.must(&proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{ID: "low@a", From: 2, Envelope: open(40), Floor: resource.Uniform(10)}}})
	w.must(w.startOf("m", "low", "b", 40))
	if got, err := w.s.View().Squeeze(change, proto.Standard); err == nil {
		t.Fatalf("an instance that moves would give way: %q", got.Says)
	}
}
