package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// world is a fleet and its API, asked without a network.
type world struct {
	*apitest.Fleet
	t      *testing.T
	server *api.Server
}

func newWorld(t *testing.T, change ...func(*apitest.Fleet)) *world {
	f := apitest.New(t)
	for _, c := range change {
		c(f)
	}
	return &world{Fleet: f, t: t, server: api.New(f.Config)}
}

// ask sends a request in a role, "" for nobody. Headers are pairs of name and value.
func (w *world) ask(role proto.Role, request string, body any, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		in = strings.NewReader(string(text))
	}
	r := httptest.NewRequest(method, path, in)
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+w.Tokens[role])
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	out := httptest.NewRecorder()
	w.server.ServeHTTP(out, r)
	w.described(request, body, out)
	return out
}

// ok asks as admin and returns the answer, which must be good.
func ok[T any](w *world, request string, body any, headers ...string) T {
	w.t.Helper()
	resp := w.ask(proto.RoleAdmin, request, body, headers...)
	var out T
	if resp.Code != http.StatusOK {
		w.t.Fatalf("%s: %d %s", request, resp.Code, resp.Body)
	}
	if err := json.Unmarshal(resp.Body.Bytes(), &out); err != nil {
		w.t.Fatalf("%s: %v: %s", request, err, resp.Body)
	}
	return out
}

// fails asks as admin and returns the error, which must have the code and its status.
func (w *world) fails(code v1.Code, status int, request string, body any, headers ...string) v1.Error {
	w.t.Helper()
	resp := w.ask(proto.RoleAdmin, request, body, headers...)
	var out v1.ErrorBody
	if err := json.Unmarshal(resp.Body.Bytes(), &out); err != nil {
		w.t.Fatalf("%s: %v: %s", request, err, resp.Body)
	}
	if resp.Code != status || out.Error.Code != code {
		w.t.Fatalf("%s: %d %+v, want %d %s", request, resp.Code, out.Error, status, code)
	}
	return out.Error
}

func (w *world) adopt(name string) {
	w.t.Helper()
	spec := apitest.Spec(name)
	spec.Mode = proto.Enforce
	ok[v1.InstanceDetail](w, "PUT /v1/instances/"+name, spec)
}

func TestEveryRouteTakesItsRole(t *testing.T) {
	want := map[string]proto.Role{
		"GET /v1/status": "viewer", "GET /v1/openapi.json": "viewer", "GET /v1/stream": "viewer", "GET /metrics": "viewer", "GET /v1/hosts": "viewer", "GET /v1/hosts/{name}": "viewer",
		"GET /v1/reservations": "viewer", "GET /v1/notices": "viewer", "GET /v1/types": "viewer", "GET /v1/applications": "viewer", "GET /v1/events": "viewer", "GET /v1/calendars": "viewer", "GET /v1/calendars/{name}": "viewer",
		"GET /v1/instances": "viewer", "GET /v1/instances/{name}": "viewer", "GET /v1/instances/{name}/schedule": "viewer",
		"GET /v1/instances/{name}/forecast": "viewer", "GET /v1/instances/{name}/history": "viewer", "GET /v1/instances/{name}/scorecard": "viewer", "GET /v1/scorecards": "viewer", "POST /v1/plans": "viewer", "POST /v1/rebalance": "viewer",
		"GET /v1/plans": "viewer", "GET /v1/plans/{id}": "viewer", "POST /v1/plans/{id}/begin": "operator", "POST /v1/plans/{id}/cancel": "operator",
		"GET /v1/migrations": "viewer", "GET /v1/migrations/{id}": "viewer", "GET /v1/migrations/{id}/watch": "viewer",

		"PUT /v1/types/{name}": "operator", "DELETE /v1/types/{name}": "operator", "PUT /v1/applications/{name}": "operator",
		"DELETE /v1/applications/{name}": "operator", "POST /v1/events": "operator", "DELETE /v1/events/{id}": "operator",
		"PUT /v1/instances/{name}": "operator", "POST /v1/instances/{name}/mode": "operator", "POST /v1/instances/{name}/release": "operator",
		"POST /v1/instances/{name}/history": "operator", "POST /v1/migrations": "operator", "POST /v1/migrations/{id}/abort": "operator",
		"POST /v1/migrations/{id}/return": "operator", "POST /v1/migrations/{id}/complete": "operator",
		"POST /v1/pause": "operator", "POST /v1/resume": "operator", "POST /v1/hosts/{name}/pause": "operator", "POST /v1/hosts/{name}/resume": "operator",
		"POST /v1/instances/{name}/pause": "operator", "POST /v1/instances/{name}/resume": "operator",

		"GET /v1/hosts/{name}/drain": "viewer", "POST /v1/hosts/{name}/drain": "operator", "POST /v1/hosts/{name}/undrain": "operator", "POST /v1/hosts/{name}/drain/verdict": "viewer",
		"POST /v1/hosts/{name}/drain/pause": "operator", "POST /v1/hosts/{name}/drain/resume": "operator",

		"GET /v1/hosts/{name}/retention": "viewer", "GET /v1/hosts/{name}/tasks": "viewer", "GET /v1/hosts/{name}/forget": "viewer", "POST /v1/hosts/{name}/cordon": "operator",
		"POST /v1/hosts/{name}/uncordon": "operator", "POST /v1/hosts/{name}/allocatable": "operator",
		"POST /v1/hosts/{name}/forget": "admin", "POST /v1/hosts/{name}/forget-dead": "admin",

		"PUT /v1/calendars/{name}": "admin", "DELETE /v1/calendars/{name}": "admin",
		"GET /v1/reservations/{id}": "viewer", "POST /v1/reservations/verdict": "viewer", "POST /v1/reservations": "operator", "POST /v1/reservations/{id}/extend": "operator",
		"DELETE /v1/reservations/{id}": "operator",
		"GET /v1/policy":               "viewer", "PUT /v1/policy": "admin",
		"GET /v1/hosts/{name}/calendar": "viewer", "POST /v1/hosts/{name}/windows/verdict": "viewer", "POST /v1/hosts/{name}/windows": "operator", "DELETE /v1/hosts/{name}/windows/{id}": "operator",

		"GET /v1/tokens": "admin", "POST /v1/tokens": "admin", "DELETE /v1/tokens/{id}": "admin",

		"GET /v1/raft": "viewer", "DELETE /v1/raft/{name}": "admin", "POST /v1/raft/leader": "admin",
		"GET /v1/snapshot": "admin", "GET /v1/bundle": "admin",
	}
	w := newWorld(t)
	order := []proto.Role{"", proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin}
	for _, pattern := range w.server.Patterns() {
		need, known := want[pattern]
		if !known {
			t.Errorf("%s: say here who may", pattern)
			continue
		}
		delete(want, pattern)
		path := strings.NewReplacer("{name}", "nothing", "{id}", "nothing").Replace(pattern)
		if pattern == "GET /v1/stream" {
			path += "?kind=nothing" // else it has no end
		}
		for have, role := range order {
			resp := w.ask(role, path, nil)
			may := have >= slices.Index(order, need)
			switch {
			case role == "" && resp.Code != http.StatusUnauthorized:
				t.Errorf("%s for nobody: %d", pattern, resp.Code)
			case role == "" && !(strings.Contains(resp.Body.String(), "glidepath token create --role "+string(need)+`"`) && strings.Contains(resp.Body.String(), `"role":"`+string(need)+`"`)):
				t.Errorf("%s for nobody does not say how he may: %s", pattern, resp.Body)
			case role != "" && may == (resp.Code == http.StatusForbidden):
				t.Errorf("%s as %s: %d %s", pattern, role, resp.Code, resp.Body)
			case role != "" && !may && !strings.Contains(resp.Body.String(), `"role":"`+string(need)+`"`):
				t.Errorf("%s as %s does not name the role: %s", pattern, role, resp.Body)
			case resp.Code == http.StatusInternalServerError:
				t.Errorf("%s as %q: %s", pattern, role, resp.Body)
			}
		}
	}
	for pattern := range want {
		t.Errorf("%s is gone", pattern)
	}
}

func TestBadInputIsRefusedWithItsReason(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	spec := func(change func(*proto.InstanceSpec)) proto.InstanceSpec {
		s := apitest.Spec("web-1")
		change(&s)
		return s
	}
	const put = "PUT /v1/instances/web-1"
	for name, c := range map[string]struct {
		request string
		body    any
		headers []string
		code    v1.Code
		status  int
		says    string
	}{
		"no body":              {put, nil, nil, v1.CodeInvalid, 400, "no body"},
		"not JSON":             {put, "hello", nil, v1.CodeInvalid, 400, "not what is wanted"},
		"two values":           {put, `{"name":"web-1"} {}`, nil, v1.CodeInvalid, 400, "something follows"},
		"unknown field":        {put, `{"namme":"web-1"}`, nil, v1.CodeInvalid, 400, `unknown field \"namme\"`},
		"too large":            {put, `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, nil, v1.CodeTooLarge, 413, "larger than 1048576 bytes"},
		"another type of body": {put, "name: web-1", []string{"Content-Type", "application/yaml"}, v1.CodeMediaType, 415, "send application/json"},
		"a key that is none":   {put, apitest.Spec("web-1"), []string{v1.HeaderKey, "abc"}, v1.CodeInvalid, 400, "not a ULID"},
		"unknown path":         {"GET /v1/nothing", nil, nil, v1.CodeNotFound, 404, "there is no /v1/nothing"},
		"another method":       {"PUT /v1/hosts", nil, nil, v1.CodeMethod, 405, "use GET"},

		"another name":        {put, apitest.Spec("web-2"), nil, v1.CodeInvalid, 400, "use one name"},
		"no such name":        {"PUT /v1/instances/-x", spec(func(s *proto.InstanceSpec) { s.Name = "-x" }), nil, v1.CodeInvalid, 400, "is no name for a instance"},
		"unknown driver":      {put, spec(func(s *proto.InstanceSpec) { s.Driver = "vm" }), nil, v1.CodeInvalid, 400, "use service"},
		"no service":          {put, spec(func(s *proto.InstanceSpec) { s.Service = nil }), nil, v1.CodeInvalid, 400, "name its unit"},
		"no unit":             {put, spec(func(s *proto.InstanceSpec) { s.Service.Unit = "redis" }), nil, v1.CodeInvalid, 400, "not the name of a service"},
		"unit with a path":    {put, spec(func(s *proto.InstanceSpec) { s.Service.Unit = "../x.service" }), nil, v1.CodeInvalid, 400, "not the name of a service"},
		"companion":           {put, spec(func(s *proto.InstanceSpec) { s.Service.Companions = []string{"x.slice"} }), nil, v1.CodeInvalid, 400, "service.companions"},
		"relative data":       {put, spec(func(s *proto.InstanceSpec) { s.Service.Data = []string{"var"} }), nil, v1.CodeInvalid, 400, "service.data"},
		"data in data":        {put, spec(func(s *proto.InstanceSpec) { s.Service.Data = []string{"/a", "/a/b"} }), nil, v1.CodeInvalid, 400, "name it once"},
		"config not clean":    {put, spec(func(s *proto.InstanceSpec) { s.Service.Config = []string{"/etc/../x"} }), nil, v1.CodeInvalid, 400, "service.config"},
		"address alone":       {put, spec(func(s *proto.InstanceSpec) { s.Address = "10.77.0.60" }), nil, v1.CodeInvalid, 400, "prefix length"},
		"a template":          {put, spec(func(s *proto.InstanceSpec) { s.Service.Unit = "postgresql@.service" }), nil, v1.CodeInvalid, 400, "like postgresql@15-main.service"},
		"further address":     {put, spec(func(s *proto.InstanceSpec) { s.Addresses = []string{"10.77.0.61"} }), nil, v1.CodeInvalid, 400, "prefix length"},
		"an address twice":    {put, spec(func(s *proto.InstanceSpec) { s.Addresses = []string{"10.77.0.60/16"} }), nil, v1.CodeInvalid, 400, "10.77.0.60 is named twice"},
		"too many addresses":  {put, spec(func(s *proto.InstanceSpec) { s.Addresses = make([]string, 16) }), nil, v1.CodeInvalid, 400, "use at most 16"},
		"network":             {put, spec(func(s *proto.InstanceSpec) { s.Address = "10.77.0.0/24" }), nil, v1.CodeInvalid, 400, "is a network"},
		"loopback":            {put, spec(func(s *proto.InstanceSpec) { s.Address = "127.0.0.2/8" }), nil, v1.CodeInvalid, 400, "can't move"},
		"unknown class":       {put, spec(func(s *proto.InstanceSpec) { s.Class = "gold" }), nil, v1.CodeInvalid, 400, "none of critical"},
		"unknown mode":        {put, spec(func(s *proto.InstanceSpec) { s.Mode = "force" }), nil, v1.CodeInvalid, 400, "neither observe nor enforce"},
		"no time to pass":     {put, spec(func(s *proto.InstanceSpec) { s.Health.Within = 3600 }), nil, v1.CodeInvalid, 400, "1h0m0s is not between"},
		"two health checks":   {put, spec(func(s *proto.InstanceSpec) { s.Health.HTTP = ":80/" }), nil, v1.CodeInvalid, 400, "one of tcp, http and exec"},
		"no port":             {put, spec(func(s *proto.InstanceSpec) { s.Health.TCP = 70000 }), nil, v1.CodeInvalid, 400, "is no port"},
		"not a port":          {put, spec(func(s *proto.InstanceSpec) { s.Health = proto.HealthSpec{HTTP: "http://x/"} }), nil, v1.CodeInvalid, 400, "like :8080/ready"},
		"relative check":      {put, spec(func(s *proto.InstanceSpec) { s.Health = proto.HealthSpec{Exec: []string{"true"}} }), nil, v1.CodeInvalid, 400, "absolute path"},
		"user without check":  {put, spec(func(s *proto.InstanceSpec) { s.Health.User = "x" }), nil, v1.CodeInvalid, 400, "there is no exec"},
		"unknown type":        {put, spec(func(s *proto.InstanceSpec) { s.Type = "m.huge" }), nil, v1.CodeNotFound, 404, "glidepath type list"},
		"unknown application": {put, spec(func(s *proto.InstanceSpec) { s.Application = "x" }), nil, v1.CodeNotFound, 404, "glidepath app list"},
		"unknown host":        {put, spec(func(s *proto.InstanceSpec) { s.Host, s.Address = "host-z", "" }), nil, v1.CodeNotFound, 404, "glidepath host list"},
		"taken unit":          {put, spec(func(s *proto.InstanceSpec) { s.Address = "" }), nil, v1.CodeConflict, 409, "is instance cache-1 already"},
		"taken in a list": {put, spec(func(s *proto.InstanceSpec) {
			s.Service.Unit, s.Address, s.Addresses = "x.service", "", []string{"10.77.0.61/24", "10.77.0.60/16"}
		}), nil, v1.CodeConflict, 409, "10.77.0.60 is that of instance cache-1"},
		"hook by its name":     {put, spec(func(s *proto.InstanceSpec) { s.Hooks.OnAbort = []proto.Hook{{Exec: []string{"dns"}}} }), nil, v1.CodeInvalid, 400, `hooks.on_abort[0].exec: \"dns\" is not an absolute path`},
		"taken address":        {put, spec(func(s *proto.InstanceSpec) { s.Service.Unit = "x.service" }), nil, v1.CodeConflict, 409, "is that of instance cache-1"},
		"unknown mode to set":  {"POST /v1/instances/cache-1/mode", v1.ModeRequest{Mode: "x"}, nil, v1.CodeInvalid, 400, "use observe or enforce"},
		"unknown instance":     {"POST /v1/instances/x/release", nil, nil, v1.CodeNotFound, 404, "glidepath instance list"},
		"type without limits":  {"PUT /v1/types/x", `{}`, nil, v1.CodeInvalid, 400, "allows nothing"},
		"type of negatives":    {"PUT /v1/types/x", `{"max":{"cpu_millicores":-1}}`, nil, v1.CodeInvalid, 400, "negative"},
		"decay below zero":     {"PUT /v1/applications/x", `{"decay_s":-60}`, nil, v1.CodeInvalid, 400, "decay_s is negative (-60)"},
		"more than always":     {"PUT /v1/applications/x", `{"max_throttled":10001}`, nil, v1.CodeInvalid, 400, "max_throttled is 10001: use at most 10000"},
		"type in use":          {"DELETE /v1/types/m.small", nil, nil, v1.CodeRefused, 422, "uses instance type"},
		"application in use":   {"DELETE /v1/applications/redis", nil, nil, v1.CodeRefused, 422, "is of application"},
		"event of nothing":     {"POST /v1/events", v1.EventRequest{Kind: "k", Start: 1, End: 2}, nil, v1.CodeInvalid, 400, "touches nothing"},
		"event of strangers":   {"POST /v1/events", v1.EventRequest{Kind: "k", Start: 1, End: 2, Instances: []string{"x"}}, nil, v1.CodeNotFound, 404, "glidepath instance list"},
		"event without length": {"POST /v1/events", v1.EventRequest{Kind: "k", Start: 2, End: 2, Instances: []string{"cache-1"}}, nil, v1.CodeInvalid, 400, "a later end"},
		"unknown event":        {"DELETE /v1/events/x", nil, nil, v1.CodeNotFound, 404, "no event"},
		"steps that are none":  {"GET /v1/instances/cache-1/forecast?steps=x", nil, nil, v1.CodeInvalid, 400, "not a whole number"},
		"too many steps":       {"GET /v1/instances/cache-1/forecast?steps=5000", nil, nil, v1.CodeInvalid, 400, "from 0 to 4096"},
		"flag that is none":    {"GET /v1/migrations?active=yes", nil, nil, v1.CodeInvalid, 400, "neither true nor false"},
		"plan of nothing":      {"POST /v1/plans", v1.PlanRequest{Instance: "x"}, nil, v1.CodeNotFound, 404, "glidepath instance list"},
		"plan to nowhere":      {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "x"}, nil, v1.CodeNotFound, 404, "glidepath host list"},
		"plan for no type":     {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Type: "x"}, nil, v1.CodeNotFound, 404, "glidepath type list"},
		"plan that is old":     {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Fence: 9}, nil, v1.CodeConflict, 409, "plan again"},
		"plan for the past":    {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", At: 1}, nil, v1.CodeInvalid, 400, "is past"},
		"plan for any day":     {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", At: timeline.Of(time.Now().Add(9999 * time.Hour))}, nil, v1.CodeInvalid, 400, "further ahead than demand is forecast"},
		"plan in no window":    {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Windows: []proto.MoveWindow{{From: 1441}}}, nil, v1.CodeInvalid, 400, "window 1 is from minute 1441"},
		"plan too late":        {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-c", Before: timeline.Of(time.Now().Add(10 * time.Second))}, nil, v1.CodeRefused, 422, "the move is over at"},
		"move to be stored":    {"POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Store: true}, nil, v1.CodeInvalid, 400, "leave out store"},
		"move of the past":     {"POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", At: 1}, nil, v1.CodeInvalid, 400, "is past"},
		"unknown plan":         {"POST /v1/plans/x/begin", nil, nil, v1.CodeNotFound, 404, "glidepath plan list"},
		"plan to where it is":  {"POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-a"}, nil, v1.CodeRefused, 422, "name another target"},
		"unknown migration":    {"POST /v1/migrations/x/abort", nil, nil, v1.CodeNotFound, 404, "glidepath migration list"},
		"token of no role":     {"POST /v1/tokens", v1.TokenRequest{Role: "root"}, nil, v1.CodeInvalid, 400, "none of viewer"},
		"token from the past":  {"POST /v1/tokens", v1.TokenRequest{Role: "admin", Expires: -1}, nil, v1.CodeInvalid, 400, "expires_ms"},
		"unknown token":        {"DELETE /v1/tokens/x", nil, nil, v1.CodeNotFound, 404, "no token"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{Fleet: w.Fleet, t: t, server: w.server}
			before := w.View().Applied()
			e := w.fails(c.code, c.status, c.request, c.body, c.headers...)
			text := strings.ReplaceAll(fmt.Sprintf("%s: %s", e.Message, e.Remedy), `"`, `\"`)
			if !strings.Contains(text, c.says) {
				t.Errorf("%q does not say %q", text, c.says)
			}
			if c.code == v1.CodeInvalid && c.status == 400 && w.View().Applied() > before+1 {
				t.Error("more than one command was applied")
			}
		})
	}
	if n := len(slices.Collect(w.View().Instances())); n != 1 {
		t.Errorf("%d instances", n)
	}
}

func TestARequestThatIsSentAgainIsCarriedOutOnce(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	key := ulid.Make().String()
	body := v1.EventRequest{Kind: "campaign", Start: 1_900_000_000_000, End: 1_900_000_600_000, Instances: []string{"cache-1"}}
	first := ok[proto.Event](w, "POST /v1/events", body, v1.HeaderKey, key)
	if first.ID != key || first.Source == "" {
		t.Errorf("%+v", first)
	}
	if again := ok[proto.Event](w, "POST /v1/events", body, v1.HeaderKey, key); again.ID != key || again.ChangedAt != first.ChangedAt {
		t.Errorf("%+v", again)
	}
	start := v1.PlanRequest{Instance: "cache-1", Target: "host-c"}
	key = ulid.Make().String()
	one := ok[proto.Migration](w, "POST /v1/migrations", start, v1.HeaderKey, key)
	two := ok[proto.Migration](w, "POST /v1/migrations", start, v1.HeaderKey, key)
	if one.ID != key || two.ID != key || len(slices.Collect(w.View().Migrations())) != 1 {
		t.Errorf("%s and %s", one.ID, two.ID)
	}
	// Another holder's request of the same key is another request.
	resp := w.ask(proto.RoleOperator, "POST /v1/events", body, v1.HeaderKey, first.ID)
	var other proto.Event
	if err := json.Unmarshal(resp.Body.Bytes(), &other); err != nil || other.ChangedAt < first.ChangedAt || !strings.HasPrefix(other.Source, "the-operator/") {
		t.Errorf("%s %v", resp.Body, err)
	}
}

func TestWhatChangesIsAudited(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	ok[v1.List[proto.InstanceType]](w, "GET /v1/types", nil)
	w.ask(proto.RoleViewer, "POST /v1/instances/cache-1/release", nil)
	w.ask("", "POST /v1/instances/cache-1/release", nil)
	w.fails(v1.CodeRefused, 422, "DELETE /v1/types/m.small", nil)
	var got []string
	for line := range strings.Lines(w.Audit()) {
		var r map[string]string
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		who, _, _ := strings.Cut(r["actor"], "/")
		got = append(got, fmt.Sprintf("%s %s %s: %s", who, r["method"], r["object"], r["result"]))
	}
	want := []string{
		"the-admin PUT /v1/instances/{name} instances/cache-1: ok",
		"the-viewer POST /v1/instances/{name}/release instances/cache-1/release: forbidden",
		" POST /v1/instances/{name}/release instances/cache-1/release: unauthorised",
		"the-admin DELETE /v1/types/{name} types/m.small: refused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("audited:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEveryRequestIsCountedUnderItsRoute(t *testing.T) {
	var got []string
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.Requested = func(route string, status int, took time.Duration) {
			got = append(got, fmt.Sprintf("%s %d", route, status))
			if took < 0 || took > time.Minute {
				t.Errorf("%s took %s", route, took)
			}
		}
	})
	w.ask(proto.RoleViewer, "GET /v1/status", nil)
	w.ask(proto.RoleViewer, "GET /v1/instances/no-such-instance", nil)
	w.ask("", "GET /v1/tokens", nil)
	w.ask(proto.RoleViewer, "GET /whatever/somebody/asks", nil)
	w.ask(proto.RoleViewer, "PATCH /v1/status", nil)
	if want := []string{"GET /v1/status 200", "GET /v1/instances/{name} 404", "GET /v1/tokens 401", "other 404", "other 405"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBeforeTheFleetIsThereNobodyIsToldThatHisTokenIsBad(t *testing.T) {
	made := state.New()
	c, err := proto.NewCommand("init", "init", &proto.FleetInit{Fleet: "demo", GridStep: 10_000, Policy: proto.DefaultPolicy()})
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := made.Apply(c); !r.OK() {
		t.Fatal(r.Message)
	}
	for name, tables := range map[string]*state.State{"not made": state.New(), "its first token not yet": made} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(f *apitest.Fleet) { f.Config.View = tables.View })
			for _, request := range []string{"GET /v1/status", "DELETE /v1/types/m.small"} {
				e := w.fails(v1.CodeUnavailable, 503, request, nil)
				if !strings.Contains(e.Message, "fleet") || !strings.Contains(e.Remedy, "try again") {
					t.Errorf("%s: %+v", request, e)
				}
			}
		})
	}
}

func TestWhoIsTurnedAwayIsOnRecordAndToldWhichRoleIsMissing(t *testing.T) {
	w := newWorld(t)
	resp := w.ask(proto.RoleViewer, "GET /v1/tokens", nil)
	if !strings.Contains(resp.Body.String(), "has the role viewer: this takes the role admin") {
		t.Error(resp.Body)
	}
	w.ask("", "GET /v1/hosts", nil)
	w.ask(proto.RoleViewer, "GET /v1/hosts", nil)
	lines := strings.Split(strings.TrimSpace(w.Audit()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"result":"forbidden"`) || !strings.Contains(lines[0], "the-viewer/") || !strings.Contains(lines[1], `"result":"unauthorised"`) {
		t.Errorf("%q", lines)
	}
}
