package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestADrainThatIsPausedIsWatchedOnAndSaysWhoPausedItAndWhatLetsItGoOn(t *testing.T) {
	f := reach(t)
	pointAt(t, f)
	if code, _, stderr := glidepath(t, t.Context(), "host", "drain", "host-a"); code != exitFine {
		t.Fatal(stderr)
	}
	if code, _, stderr := glidepath(t, t.Context(), "host", "drain", "pause", "host-a", "--reason", "not today"); code != exitFine {
		t.Fatal(stderr)
	}
	_, out, _ := glidepath(t, t.Context(), "host", "drain", "show", "host-a")
	const says = ": not today; no more moves begin until glidepath host drain resume host-a"
	if !strings.Contains(out, "Host host-a: paused, begun ") || !strings.Contains(out, ": by ") || !strings.Contains(out, says) {
		t.Errorf("%q", out)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	view, looked := f.Config.View, 0
	f.Config.View = func() *state.View {
		if looked++; looked > 2 {
			time.AfterFunc(100*time.Millisecond, interrupt)
		}
		return view()
	}
	pointAt(t, f)
	code, out, stderr := glidepath(t, ctx, "host", "drain", "show", "host-a", "--watch")
	if code != exitInterrupted || !strings.Contains(out, says) {
		t.Errorf("%d, %q, %q", code, out, stderr)
	}
}

func TestADrainThatIsWatchedIsToldWhatLetsItGoOnWhenNobodyWatchesIt(t *testing.T) {
	f := reach(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	propose := f.Config.Propose
	f.Config.Propose = func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
		r, err := propose(ctx, id, actor, body)
		if d, drains := body.(*proto.HostDrain); drains && d.To == proto.DrainGoesOn {
			f.Must(&proto.HostDrain{Host: "host-a", From: proto.DrainGoesOn, To: proto.DrainPaused, Reason: "by ann"})
			time.AfterFunc(time.Second, interrupt)
		}
		return r, err
	}
	pointAt(t, f)
	code, out, stderr := glidepath(t, ctx, "host", "drain", "host-a", "--watch")
	if code != exitInterrupted || !strings.Contains(out, "paused") || !strings.Contains(out, ": by ann; no more moves begin until glidepath host drain resume host-a") ||
		!strings.Contains(stderr, "The drain is paused. ") || !strings.Contains(stderr, "glidepath host drain resume host-a") || strings.Contains(stderr, "drain pause") {
		t.Errorf("%d, %q, %q", code, out, stderr)
	}
}

func TestWhatAPlanWaitsForIsSaidByItsStatus(t *testing.T) {
	now := timeline.Time(1_800_000_000_000)
	p := proto.StoredPlan{ID: "p", Status: proto.PlanScheduled, Moves: []proto.Move{{Start: now.Add(time.Hour)}}}
	for status, want := range map[proto.PlanStatus]string{
		proto.PlanScheduled: "plan p begins at ", proto.PlanQueued: "plan p is queued, and waits for its turn", proto.PlanPaused: "plan p is paused; let it go on:  glidepath plan begin p",
	} {
		if p.Status = status; !strings.HasPrefix(waitingPlan(p, now), want) {
			t.Errorf("%s: %q", status, waitingPlan(p, now))
		}
	}
	if p.Status, p.Reason = proto.PlanQueued, "host-b is short of cpu"; waitingPlan(p, now) != "plan p is queued, and waits: host-b is short of cpu" {
		t.Errorf("%q", waitingPlan(p, now))
	}
}

func TestMovesOfAPlanAreNumberedFromOneAsInItsDrain(t *testing.T) {
	f := reach(t)
	pointAt(t, f)
	move := func(name string, after ...int) proto.Move {
		return proto.Move{Instance: name, Source: "host-a", Target: "host-c", FromType: "m.small", ToType: "m.small", After: after}
	}
	f.Must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanRebalance, Status: proto.PlanSuggested, Moves: []proto.Move{move("cache-1"), move("cache-2", 0)}}})
	_, out, _ := glidepath(t, t.Context(), "plan", "show", "p")
	var got []string
	for line := range strings.Lines(out) {
		if w := strings.Fields(line); len(w) > 10 && strings.HasPrefix(w[1], "cache-") {
			got = append(got, w[0]+" "+w[1]+" "+w[len(w)-3])
		}
	}
	if want := "1 cache-1 -,2 cache-2 1"; strings.Join(got, ",") != want {
		t.Errorf("%q, want %q in\n%s", strings.Join(got, ","), want, out)
	}
}
