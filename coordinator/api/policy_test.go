package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestThePolicyIsShownAndChangedByWhoSawIt(t *testing.T) {
	w := newWorld(t)
	was := ok[v1.FleetPolicy](w, "GET /v1/policy", nil)
	if was.Z != 2330 || was.Revision != 1 || was.MovesHost != 2 {
		t.Fatalf("%+v", was)
	}
	in := v1.PolicyRequest{Policy: was.Policy, Revision: was.Revision}
	in.Z, in.Quantiles.Standard, in.MovesLink = 1640, 900, 4
	in.Ratio[resource.CPU] = 1500
	in.Windows = []proto.MoveWindow{{From: 22 * 60, To: 5 * 60}, {Forbid: true, Span: timeline.Span{Start: later(0), End: later(time.Hour)}}}
	got := ok[v1.FleetPolicy](w, "PUT /v1/policy", in)
	if got.Z != 1640 || got.Revision != 2 || len(got.Windows) != 2 || got.MovesLink != 4 || got.By == "" {
		t.Fatalf("%+v", got)
	}
	// The ledger goes by it at once.
	if h := ok[v1.HostDetail](w, "GET /v1/hosts/host-b", nil); h.Limit[resource.CPU] != 900 {
		t.Errorf("%v may be promised", h.Limit)
	}
	if e := w.fails(v1.CodeConflict, 409, "PUT /v1/policy", in); !strings.Contains(e.Message, "has revision 2, not 1") {
		t.Error(e)
	}
}

func TestAPolicyThatBreaksPromisesOrMakesNoSenseIsRefused(t *testing.T) {
	w := newWorld(t)
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(hold("x", proto.Standard, 500)))
	with := func(change func(*proto.Policy)) v1.PolicyRequest {
		in := v1.PolicyRequest{Policy: proto.DefaultPolicy()}
		change(&in.Policy)
		return in
	}
	e := w.fails(v1.CodeRefused, 422, "PUT /v1/policy", with(func(p *proto.Policy) { p.Ratio[resource.CPU] = 500 }))
	if !strings.Contains(e.Message, "host-b is short of cpu by 200m") || !strings.Contains(e.Remedy, "host calendar host-b") {
		t.Error(e)
	}
	for says, change := range map[string]func(*proto.Policy){
		"z of":             func(p *proto.Policy) { p.Z = 10_001 },
		"ratio of memory":  func(p *proto.Policy) { p.Ratio[resource.Memory] = 0 },
		"a quantile of":    func(p *proto.Policy) { p.Quantiles.Critical = 1000 },
		"a probation of":   func(p *proto.Policy) { p.Probation = -1 },
		"migrations per":   func(p *proto.Policy) { p.MovesHost = 0 },
		"no later than":    func(p *proto.Policy) { p.Windows = []proto.MoveWindow{{Span: timeline.Span{Start: 5, End: 4}}} },
		"from minute 1500": func(p *proto.Policy) { p.Windows = []proto.MoveWindow{{From: 1500, To: 3}} },
	} {
		if e := w.fails(v1.CodeInvalid, 400, "PUT /v1/policy", with(change)); !strings.Contains(e.Message, says) {
			t.Errorf("%q: %s", says, e.Message)
		}
	}
	if f := w.View().Fleet(); f.Revision != 1 {
		t.Errorf("it has revision %d", f.Revision)
	}
}
