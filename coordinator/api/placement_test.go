package api_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func TestWhatNotEveryCoordinatorKnowsIsRefusedOrDoneTheOldWay(t *testing.T) {
	w := newWorld(t)
	low := hold("low", proto.BestEffort, 500)
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(low))
	var old []proto.KnownType
	for _, k := range proto.KnownCommands() {
		switch k.Type {
		case proto.CmdTypeRevise, proto.CmdAppRevise, proto.CmdAdmit, proto.CmdHostWindow, proto.CmdPlanPut:
			continue
		case proto.CmdPolicyPut:
			k.Version = 2
		case proto.CmdInstanceApply:
			k.Version = 1
		}
		old = append(old, k)
	}
	w.Must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c0", RPCAddr: "10.0.0.9:7647", APIAddr: "10.0.0.9:7648", Program: "1.0.0", Commands: old}})
	if got := ok[v1.TypeReply](w, "PUT /v1/types/m.small", allows("m.small", 400, 0)); got.Revision != 0 {
		t.Errorf("%+v", got)
	}
	ok[proto.Application](w, "PUT /v1/applications/redis", proto.Application{Name: "redis"})
	placed := apitest.Spec("web-1")
	placed.Placement = &proto.Placement{Kernel: "6.1"}
	signals := apitest.Spec("app-1")
	signals.Signals = []proto.Signal{{Name: "requests", URL: "http://127.0.0.1:9121/metrics", Metric: "requests_total", Kind: proto.SignalCounter}}
	packing := proto.DefaultPolicy()
	packing.Fill = proto.FillPack
	for request, body := range map[string]any{
		"PUT /v1/policy":                v1.PolicyRequest{Policy: packing},
		"POST /v1/hosts/host-c/windows": v1.WindowRequest{Whole: true},
		"PUT /v1/instances/web-1":       placed,
		"PUT /v1/instances/app-1":       signals,
		"POST /v1/reservations":         v1.ReservationsRequest{Reservations: []v1.ReservationRequest{hold("high", proto.Standard, 400)}, Squeeze: true},
	} {
		if e := w.fails(v1.CodeRefused, 422, request, body); !strings.Contains(e.Message, "not known to every coordinator") || !strings.Contains(e.Remedy, "install the same version") {
			t.Errorf("%s: %v", request, e)
		}
	}
	ok[v1.InstanceDetail](w, "PUT /v1/instances/app-1", apitest.Spec("app-1")) // without any it is as it always was
	ok[v1.FleetPolicy](w, "PUT /v1/policy", v1.PolicyRequest{Policy: proto.DefaultPolicy()})
}

func TestSignalsAreCheckedAndKept(t *testing.T) {
	w := newWorld(t)
	spec := apitest.Spec("cache-1")
	spec.Signals = []proto.Signal{
		{Name: "requests", URL: "http://127.0.0.1:9121/metrics", Metric: "requests_total", Kind: proto.SignalCounter, Labels: []proto.Label{{Key: "code", Value: "200"}}},
		{Name: "sessions", URL: "http://10.77.0.60:9121/metrics", Metric: "sessions", Kind: proto.SignalGauge},
	}
	if got := ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-1", spec); !reflect.DeepEqual(got.Spec.Signals, spec.Signals) {
		t.Errorf("%+v", got.Spec.Signals)
	}
	spec.Signals[0].URL, spec.Signals[1].Kind = "http://10.77.0.61:80/", "sum"
	e := w.fails(v1.CodeInvalid, 400, "PUT /v1/instances/cache-1", spec)
	if !strings.Contains(e.Message, "signal requests: url: 10.77.0.61 is neither") || !strings.Contains(e.Message, "signal sessions: kind") {
		t.Error(e)
	}
	spec.Signals = nil
	if got := ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-1", spec); len(got.Spec.Signals) != 0 {
		t.Errorf("they are there still: %+v", got.Spec.Signals)
	}
}

func TestAPlacementIsCheckedAndKept(t *testing.T) {
	w := newWorld(t)
	spec := apitest.Spec("cache-1")
	spec.Placement = &proto.Placement{Require: []proto.Label{{Key: "rack", Value: "a1"}}, Apart: []string{"tier"}, CPU: "EPYC", Kernel: "6.1", Needs: []string{"criu"}}
	got := ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-1", spec)
	if got.Spec.Placement == nil || got.Spec.Placement.Kernel != "6.1" || len(got.Spec.Placement.Require) != 1 {
		t.Fatalf("%+v", got.Spec.Placement)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-c"}); !strings.Contains(e.Message, "rack") {
		t.Error(e)
	}
	spec.Placement = &proto.Placement{Kernel: "new", Require: []proto.Label{{Key: ""}}}
	e := w.fails(v1.CodeInvalid, 400, "PUT /v1/instances/cache-1", spec)
	if !strings.Contains(e.Message, "no version of a kernel") || !strings.Contains(e.Message, "has no key") {
		t.Error(e)
	}
}
