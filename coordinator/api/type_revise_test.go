package api_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// allows is an instance type that limits CPU alone, beside 128 MiB.
func allows(name string, cpu int64, revision uint64) proto.InstanceType {
	v := resource.Uniform(resource.Unlimited)
	v[resource.CPU], v[resource.Memory] = cpu, 128<<20
	return proto.InstanceType{Name: name, Max: v, Revision: revision}
}

// second adopts one more instance of type m.small, on host-c.
func (w *world) second(name string) {
	w.t.Helper()
	spec := apitest.Spec(name)
	spec.Mode, spec.Host, spec.Address, spec.Class = proto.Enforce, "host-c", "10.77.0.61/24", proto.Standard
	ok[v1.InstanceDetail](w, "PUT /v1/instances/"+name, spec)
}

func TestATypeShrinksWithTheEnvelopesOfItsInstances(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	w.second("cache-2")
	got := ok[v1.TypeReply](w, "PUT /v1/types/m.small", allows("m.small", 200, 0))
	if !slices.Equal(got.Revised, []string{"cache-1", "cache-2"}) || got.Revision != 1 || got.Max[resource.CPU] != 200 {
		t.Fatalf("%+v", got)
	}
	for _, id := range []string{"cache-1@host-a", "cache-2@host-c"} {
		r := ok[proto.Reservation](w, "GET /v1/reservations/"+id, nil)
		for _, s := range r.Envelope {
			if s.Firm[resource.CPU]+s.Mean[resource.CPU] > 200 {
				t.Errorf("%s holds %v in %s", id, s.Firm, s.Span)
			}
		}
		if !r.Envelope.Open() {
			t.Errorf("%s ends", id)
		}
	}
	// It grows without anybody in the way, and only from the revision that was seen.
	if got := ok[v1.TypeReply](w, "PUT /v1/types/m.small", allows("m.small", 400, 1)); len(got.Revised) != 0 || got.Revision != 2 {
		t.Fatalf("%+v", got)
	}
	if e := w.fails(v1.CodeConflict, 409, "PUT /v1/types/m.small", allows("m.small", 500, 1)); !strings.Contains(e.Message, "has revision 2, not 1") {
		t.Error(e)
	}
}

func TestAllWhoAreInTheWayOfATypeAreNamed(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) { f.Config.Forecast = demand })
	w.adopt("cache-1")
	w.second("cache-2")
	before := w.View().Applied()
	e := w.fails(v1.CodeRefused, 422, "PUT /v1/types/m.small", allows("m.small", 60, 0))
	var d v1.ErrorDetail
	if err := json.Unmarshal(e.Detail, &d); err != nil || len(d.Problems) != 2 {
		t.Fatalf("%v %s", err, e.Detail)
	}
	for i, name := range []string{"cache-1", "cache-2"} {
		if !strings.Contains(d.Problems[i], "instance "+name+" is expected to take up to") || !strings.Contains(e.Message, name) {
			t.Errorf("%s: %s", name, e.Message)
		}
	}
	if n := w.View().Applied(); n != before {
		t.Error("something was proposed")
	}
	ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-2", Target: "host-a", Type: "m.large"})
	if e := w.fails(v1.CodeRefused, 422, "PUT /v1/types/m.small", allows("m.small", 60, 0)); !strings.Contains(e.Message, "instance cache-2 is moved by migration") {
		t.Error(e)
	}
}

func TestApplicationsHaveRevisions(t *testing.T) {
	w := newWorld(t)
	a := proto.Application{Name: "redis", Class: proto.Critical, Decay: 30}
	if got := ok[proto.Application](w, "PUT /v1/applications/redis", a); got.Revision != 1 {
		t.Fatalf("%+v", got)
	}
	a.Revision = 1
	if got := ok[proto.Application](w, "PUT /v1/applications/redis", a); got.Revision != 2 || got.Decay != 30 {
		t.Fatalf("%+v", got)
	}
	w.fails(v1.CodeConflict, 409, "PUT /v1/applications/redis", a)
}
