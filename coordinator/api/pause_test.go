package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// apply adopts an instance of its own unit and address.
func (w *world) apply(name, host string, mode proto.Mode) v1.InstanceDetail {
	w.t.Helper()
	s := apitest.Spec(name)
	s.Host, s.Mode, s.Address, s.Service.Unit = host, mode, "", name+".service"
	return ok[v1.InstanceDetail](w, "PUT /v1/instances/"+name, s)
}

func TestAPauseSaysWhoseLimitsItLifts(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	w.apply("a-2", "host-a", proto.Observe) // has no limits to be lifted
	w.apply("c-1", "host-c", proto.Enforce)
	one := func(name, host string, by ...proto.PausedBy) v1.PausedInstance {
		return v1.PausedInstance{Instance: name, Host: host, PausedBy: append([]proto.PausedBy{}, by...)}
	}
	for _, c := range []struct {
		request string
		want    v1.PauseReply
	}{
		{"POST /v1/instances/a-1/pause", v1.PauseReply{Paused: true, Changed: true, Instances: []v1.PausedInstance{one("a-1", "host-a", proto.PausedInstance)}}},
		{"POST /v1/instances/a-1/pause", v1.PauseReply{Paused: true, Instances: []v1.PausedInstance{one("a-1", "host-a", proto.PausedInstance)}}},
		{"POST /v1/hosts/host-a/pause", v1.PauseReply{Paused: true, Changed: true, Instances: []v1.PausedInstance{one("a-1", "host-a", proto.PausedHost, proto.PausedInstance)}}},
		{"POST /v1/pause", v1.PauseReply{Paused: true, Changed: true, Instances: []v1.PausedInstance{
			one("a-1", "host-a", proto.PausedFleet, proto.PausedHost, proto.PausedInstance), one("c-1", "host-c", proto.PausedFleet),
		}}},
		{"POST /v1/resume", v1.PauseReply{Changed: true, Instances: []v1.PausedInstance{one("a-1", "host-a", proto.PausedHost, proto.PausedInstance), one("c-1", "host-c")}}},
		{"POST /v1/hosts/host-a/resume", v1.PauseReply{Changed: true, Instances: []v1.PausedInstance{one("a-1", "host-a", proto.PausedInstance)}}},
		{"POST /v1/instances/a-1/resume", v1.PauseReply{Changed: true, Instances: []v1.PausedInstance{one("a-1", "host-a")}}},
		{"POST /v1/instances/a-1/resume", v1.PauseReply{Instances: []v1.PausedInstance{one("a-1", "host-a")}}},
		{"POST /v1/instances/a-2/pause", v1.PauseReply{Paused: true, Changed: true, Instances: []v1.PausedInstance{}}},
		{"POST /v1/hosts/host-b/pause", v1.PauseReply{Paused: true, Changed: true, Instances: []v1.PausedInstance{}}},
	} {
		if diff := cmp.Diff(c.want, ok[v1.PauseReply](w, c.request, nil)); diff != "" {
			t.Errorf("%s: %s", c.request, diff)
		}
	}
	w.fails(v1.CodeNotFound, 404, "POST /v1/hosts/host-z/pause", nil)
	w.fails(v1.CodeNotFound, 404, "POST /v1/instances/x/resume", nil)
	if resp := w.ask(proto.RoleViewer, "POST /v1/pause", nil); resp.Code != 403 || !strings.Contains(resp.Body.String(), "role operator") {
		t.Errorf("a viewer: %d %s", resp.Code, resp.Body)
	}
	if w.View().Fleet().Paused {
		t.Error("a viewer paused the fleet")
	}
	for _, line := range []string{`"method":"POST /v1/hosts/{name}/pause","object":"hosts/host-a/pause"`, `"method":"POST /v1/pause","object":"pause"`} {
		if !strings.Contains(w.Audit(), line) {
			t.Errorf("not audited: %s", line)
		}
	}
}

func TestWhatIsPausedIsShownWhereverOneLooks(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	w.apply("c-1", "host-c", proto.Enforce)
	there := apitest.Facts("host-b", 600)
	there.PausedAt = 1_900_000_000_000
	w.Must(&proto.HostRegister{Facts: there, Incarnation: 1})
	ok[v1.PauseReply](w, "POST /v1/hosts/host-a/pause", nil)
	ok[v1.PauseReply](w, "POST /v1/instances/c-1/pause", nil)

	want := v1.Paused{Hosts: []string{"host-a"}, There: []string{"host-b"}, Instances: []string{"c-1"}}
	if diff := cmp.Diff(want, ok[v1.Status](w, "GET /v1/status", nil).Paused); diff != "" {
		t.Error(diff)
	}
	var hosts, instances []string
	for _, h := range ok[v1.List[v1.Host]](w, "GET /v1/hosts", nil).Items {
		hosts = append(hosts, fmt.Sprint(h.Facts.Name, h.PausedBy, ok[v1.HostDetail](w, "GET /v1/hosts/"+h.Facts.Name, nil).PausedBy))
	}
	for _, i := range ok[v1.List[v1.InstanceDetail]](w, "GET /v1/instances", nil).Items {
		instances = append(instances, fmt.Sprint(i.Name(), i.PausedBy, ok[v1.InstanceDetail](w, "GET /v1/instances/"+i.Name(), nil).PausedBy))
	}
	if want := []string{"host-a[host] [host]", "host-b[agent] [agent]", "host-c[] []"}; !slices.Equal(hosts, want) {
		t.Errorf("%q, want %q", hosts, want)
	}
	if want := []string{"a-1[host] [host]", "c-1[instance] [instance]"}; !slices.Equal(instances, want) {
		t.Errorf("%q, want %q", instances, want)
	}
}

// host-b has 600m, and type m.small takes 250m.
func TestAnInstanceOfAHostThatIsTooFullIsObservedInsteadOfEnforced(t *testing.T) {
	w := newWorld(t)
	w.apply("b-1", "host-b", proto.Enforce)
	w.apply("b-2", "host-b", proto.Enforce)
	spec := apitest.Spec("b-3")
	spec.Host, spec.Mode = "host-b", proto.Enforce
	key := ulid.Make().String()
	var got v1.InstanceDetail
	for range 2 { // sent again, it is the same
		got = ok[v1.InstanceDetail](w, "PUT /v1/instances/b-3", spec, v1.HeaderKey, key)
		if got.Spec.Mode != proto.Observe || got.State != proto.InstanceRunning || got.Envelope == nil || !got.Envelope.Forced {
			t.Fatalf("%+v %+v", got.Instance, got.Envelope)
		}
		if got.Short == nil || got.Short.Host != "host-b" || got.Short.Resource != resource.CPU || got.Short.Missing != 150 {
			t.Fatalf("short of %+v", got.Short)
		}
	}
	// So it is when the same file is applied again; what else it says counts.
	spec.Labels = []proto.Label{{Key: "tier", Value: "cache"}}
	if again := ok[v1.InstanceDetail](w, "PUT /v1/instances/b-3", spec); again.Spec.Mode != proto.Observe || again.Short == nil || len(again.Spec.Labels) != 1 {
		t.Errorf("%+v", again)
	}
	// To enforce it is one word, and that is refused until there is room.
	e := w.fails(v1.CodeRefused, 422, "POST /v1/instances/b-3/mode", v1.ModeRequest{Mode: proto.Enforce})
	var detail v1.ErrorDetail
	if err := json.Unmarshal(e.Detail, &detail); err != nil || detail.Shortfall == nil {
		t.Errorf("%s %v", e.Detail, err)
	}
	ok[v1.InstanceDetail](w, "POST /v1/instances/b-1/release", nil)
	if room := ok[v1.InstanceDetail](w, "GET /v1/instances/b-3", nil); room.Short != nil {
		t.Errorf("with room it is short of %+v", room.Short)
	}
	if on := ok[v1.InstanceDetail](w, "POST /v1/instances/b-3/mode", v1.ModeRequest{Mode: proto.Enforce}); on.Spec.Mode != proto.Enforce || on.Short != nil || on.Envelope.Forced {
		t.Errorf("%+v", on)
	}
	// What is enforced stays so, or the change is refused: nothing is let go quietly.
	w.apply("b-4", "host-b", proto.Observe)
	if i, _ := w.View().Instance("b-2"); i.Spec.Mode != proto.Enforce {
		t.Errorf("b-2 is in mode %s", i.Spec.Mode)
	}
}

func TestARefusalForAnotherReasonAdoptsNothing(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	spec := apitest.Spec("a-2")
	spec.Mode, spec.Address, spec.Service.Unit = proto.Enforce, "", "a-1.service"
	w.fails(v1.CodeConflict, 409, "PUT /v1/instances/a-2", spec)
	if _, there := w.View().Instance("a-2"); there {
		t.Error("it was adopted")
	}
}

func TestAScheduleSaysWhatAnInstanceWouldBeLimitedTo(t *testing.T) {
	var asked proto.AboveRequest
	above := proto.Above{Span: timeline.Span{Start: 1, End: 2}, Of: []proto.AboveOf{{Resource: resource.CPU, Windows: 100, Above: 7, Most: 30}}}
	var silent error
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.CallAgent = func(context.Context, string, string, []byte) ([]byte, error) {
			return proto.Marshal(proto.ReadBack{Instance: "a-1", Scheduled: resource.Uniform(100), Granted: resource.Uniform(resource.Unlimited), Held: resource.Uniform(resource.Unlimited), Measured: true, Demand: resource.Uniform(120)})
		}
		f.Config.Above = func(_ context.Context, r proto.AboveRequest) (proto.Above, error) {
			asked = r
			return above, silent
		}
	})
	w.apply("a-1", "host-a", proto.Observe)
	ok[v1.PauseReply](w, "POST /v1/hosts/host-a/pause", nil)
	got := ok[v1.Schedule](w, "GET /v1/instances/a-1/schedule", nil)
	if got.Mode != proto.Observe || !slices.Equal(got.PausedBy, []proto.PausedBy{proto.PausedHost}) || got.Scheduled[resource.CPU] != 100 || got.Demand[resource.CPU] != 120 {
		t.Errorf("%+v", got)
	}
	if got.Above == nil || cmp.Diff(above, *got.Above) != "" || asked.Instance != "a-1" || asked.Span.Length() != 24*time.Hour {
		t.Errorf("%+v for %+v", got.Above, asked)
	}
	ok[v1.Schedule](w, "GET /v1/instances/a-1/schedule?over_ms=3600000", nil)
	if asked.Span.Length() != time.Hour {
		t.Errorf("asked for %s", asked.Span)
	}
	w.fails(v1.CodeInvalid, 400, "GET /v1/instances/a-1/schedule?over_ms=999999999", nil)
	silent = context.DeadlineExceeded
	if got := ok[v1.Schedule](w, "GET /v1/instances/a-1/schedule", nil); got.Above != nil || got.Scheduled[resource.CPU] != 100 {
		t.Errorf("without its home: %+v", got)
	}
}
