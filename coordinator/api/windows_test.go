package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestAWindowThatBreaksPromisesSaysWhoIsInTheWay(t *testing.T) {
	w := newWorld(t)
	low := hold("low", proto.BestEffort, 500)
	low.Floor = resource.Vector{resource.CPU: 100}
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(low))
	in := v1.WindowRequest{ID: "fan", Start: later(time.Hour), End: later(90 * time.Minute), Amount: resource.Vector{resource.CPU: 300}, Reason: "a fan"}
	before := w.View()
	v := ok[v1.WindowVerdict](w, "POST /v1/hosts/host-b/windows/verdict", in)
	if v.Fits || len(v.Short) != 1 || v.Short[0].Missing != 200 || len(v.Yields) != 1 || v.Yields[0].ID != "low" || len(v.Move) != 0 {
		t.Fatalf("%+v", v)
	}
	e := w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-b/windows", in)
	var d v1.ErrorDetail
	if err := json.Unmarshal(e.Detail, &d); err != nil || d.Shortfall == nil || d.Shortfall.Missing != 200 {
		t.Fatalf("%v %s", err, e.Detail)
	}
	if !strings.Contains(e.Message, "reservation low (besteffort) gives way by up to 200m of cpu") || !strings.Contains(e.Remedy, "--force") {
		t.Error(e)
	}
	if rows := state.Difference(before, w.View()); len(rows) > 0 {
		t.Fatalf("asking and refusing changed %v", rows)
	}
	in.Force = true
	h := ok[v1.HostDetail](w, "POST /v1/hosts/host-b/windows", in)
	if len(h.Windows) != 1 || h.Windows[0].Reason != "a fan" || h.Windows[0].Span.Start != in.Start {
		t.Fatalf("%+v", h.Windows)
	}
	if s := ok[v1.Status](w, "GET /v1/status", nil); len(s.Short) != 1 || s.Short[0].Host != "host-b" {
		t.Errorf("%+v", s.Short)
	}
	w.fails(v1.CodeConflict, 409, "POST /v1/hosts/host-b/windows", v1.WindowRequest{Whole: true, Force: true, Revision: 1})
	if h := ok[v1.HostDetail](w, "DELETE /v1/hosts/host-b/windows/fan", nil); len(h.Windows) != 0 {
		t.Fatalf("%+v", h.Windows)
	}
	w.fails(v1.CodeNotFound, 404, "DELETE /v1/hosts/host-b/windows/fan", nil)
	w.fails(v1.CodeNotFound, 404, "POST /v1/hosts/host-z/windows", in)
}

func TestInstancesThatWouldHaveToLeaveAreNamed(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1") // critical: it yields to nobody
	v := ok[v1.WindowVerdict](w, "POST /v1/hosts/host-a/windows/verdict", v1.WindowRequest{Start: later(time.Hour), Whole: true})
	if v.Fits || len(v.Move) != 1 || v.Move[0].Instance != "cache-1" || len(v.Left) != 0 {
		t.Fatalf("%+v", v)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-a/windows", v1.WindowRequest{Start: later(time.Hour), Whole: true}); !strings.Contains(e.Message, "move away: cache-1 (critical)") {
		t.Error(e)
	}
	if v := ok[v1.WindowVerdict](w, "POST /v1/hosts/host-c/windows/verdict", v1.WindowRequest{Whole: true}); !v.Fits || len(v.Says) != 1 {
		t.Fatalf("%+v", v)
	}
}

func TestAWindowIsWholeOrAnAmountAndNotOver(t *testing.T) {
	w := newWorld(t)
	for says, in := range map[string]v1.WindowRequest{
		"say one of them":      {Whole: true, Amount: resource.Uniform(1)},
		"or an amount of it":   {},
		"let it end later":     {Whole: true, Start: later(time.Hour), End: later(time.Minute)},
		"is over":              {Whole: true, Start: later(-3 * time.Hour), End: later(-2 * time.Hour)},
		"is no identifier for": {ID: "a b", Whole: true},
	} {
		if e := w.fails(v1.CodeInvalid, 400, "POST /v1/hosts/host-a/windows", in); !strings.Contains(e.Message, says) {
			t.Errorf("%q: %s", says, e.Message)
		}
	}
	h := ok[v1.HostDetail](w, "POST /v1/hosts/host-a/windows", v1.WindowRequest{Whole: true})
	if s := h.Windows[0].Span; s.End != timeline.Forever || s.Start > timeline.Of(time.Now()) {
		t.Errorf("%s", s)
	}
}

func TestARefusedWindowTellsNoMoreThanOneCanReadAndHasAllInItsDetail(t *testing.T) {
	w := newWorld(t)
	all := resource.Vector{200, 1 << 30, 100, 100, 1 << 20, 1 << 20, 1e6, 1e6}
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(v1.ReservationRequest{ID: "x", Host: "host-b", Class: proto.Critical, Envelope: proto.Envelope{{Span: timeline.Span{End: later(2 * time.Hour)}, Firm: all}}}))
	e := w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-b/windows", v1.WindowRequest{Whole: true})
	var d v1.ErrorDetail
	if err := json.Unmarshal(e.Detail, &d); err != nil || len(d.Problems) < 8 {
		t.Errorf("%v: %d problems", err, len(d.Problems))
	}
	if n := strings.Count(e.Message, "short of"); n > 2 || !strings.Contains(e.Message, "glidepath host window add host-b --dry-run tells all of it") {
		t.Errorf("it tells of %d: %s", n, e.Message)
	}
}
