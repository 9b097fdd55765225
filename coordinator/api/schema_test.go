package api_test

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/glidepath/glidepath/docs"
)

// schemas checks what is sent and answered against the API's document, in which no field may be missing.
var schemas = sync.OnceValues(func() (*checker, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.OpenAPI))
	if err != nil {
		return nil, err
	}
	closed(dig(doc, "components", "schemas"))
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", doc); err != nil {
		return nil, err
	}
	return &checker{doc: doc, compiler: c, compiled: map[string]*jsonschema.Schema{}}, nil
})

type checker struct {
	mu       sync.Mutex
	doc      any
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// dig returns what stands at a path of keys; nil when nothing does.
func dig(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// closed makes objects refuse fields that they do not name. Programs that read replies must not: replies may get more.
func closed(schemas any) {
	all, _ := schemas.(map[string]any)
	for _, s := range all {
		if m, _ := s.(map[string]any); m["type"] == "object" && m["additionalProperties"] == nil {
			m["additionalProperties"] = false
		}
	}
}

// operation returns where the operation of a request is in the document; "" when there is none.
func (c *checker) operation(method, path string) string {
	parts := strings.Split(path, "/")
	best := ""
	paths, _ := dig(c.doc, "paths").(map[string]any)
routes:
	for pattern, item := range paths {
		want := strings.Split(pattern, "/")
		if len(want) != len(parts) || dig(item, strings.ToLower(method)) == nil {
			continue
		}
		for i, w := range want {
			if w != parts[i] && !strings.HasPrefix(w, "{") {
				continue routes
			}
		}
		if best == "" || strings.Count(pattern, "{") < strings.Count(best, "{") {
			best = pattern
		}
	}
	return best
}

// check checks a value against the schema at a place in the document.
func (c *checker) check(t *testing.T, what string, text []byte, at ...string) {
	t.Helper()
	pointer := "openapi.json#"
	for _, k := range at {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(k)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.compiled[pointer]
	if s == nil {
		var err error
		if s, err = c.compiler.Compile(pointer); err != nil {
			t.Fatal(err)
		}
		c.compiled[pointer] = s
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v: %s", what, err, text)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s is not what docs/openapi.json says: %v\n%s", what, err, text)
	}
}

// described checks a request that was answered, its answer, and that its query was described.
func (w *world) described(request string, body any, resp *httptest.ResponseRecorder) {
	w.t.Helper()
	c, err := schemas()
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.Code >= 300 {
		c.check(w.t, "the error of "+request, resp.Body.Bytes(), "components", "responses", "Error", "content", "application/json", "schema")
		return
	}
	method, target, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, target, nil)
	path := c.operation(method, r.URL.Path)
	if path == "" {
		w.t.Fatalf("%s is not described: run `make generate`", request)
	}
	at := []string{"paths", path, strings.ToLower(method)}
	params, _ := dig(c.doc, append(at, "parameters")...).([]any)
	for name := range r.URL.Query() {
		known := false
		for _, p := range params {
			known = known || dig(p, "in") == "query" && dig(p, "name") == name
		}
		if !known {
			w.t.Errorf("%s: the query parameter %q is not described: add it to query in routes.go", request, name)
		}
	}
	if text, isJSON := sent(w.t, body); isJSON && dig(c.doc, append(at, "requestBody", "content", "application/json")...) != nil {
		c.check(w.t, "the body of "+request, text, append(at, "requestBody", "content", "application/json", "schema")...)
	}
	media, _, err := mime.ParseMediaType(resp.Header().Get("Content-Type"))
	content := slices.Concat(at, []string{"responses", "200", "content", media})
	if err != nil || dig(c.doc, content...) == nil {
		w.t.Errorf("%s answers %q, which is not described: see produces in routes.go", request, media)
		return
	}
	switch media {
	case "application/json":
		c.check(w.t, "the answer of "+request, resp.Body.Bytes(), append(content, "schema")...)
	case "application/x-ndjson":
		for line := range bytes.Lines(resp.Body.Bytes()) {
			c.check(w.t, "a line of "+request, line, append(content, "schema")...)
		}
	}
}

// sent returns the JSON of a body, if it is any.
func sent(t *testing.T, body any) ([]byte, bool) {
	switch b := body.(type) {
	case nil:
		return nil, false
	case string:
		return []byte(b), json.Valid([]byte(b))
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return text, true
}

func TestTheCheckOfAnswersFindsWhatIsNotDescribed(t *testing.T) {
	c, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.compiler.Compile("openapi.json#/components/schemas/MigrationStatus")
	if err != nil {
		t.Fatal(err)
	}
	good := `{"id":"x","instance":"i","source":"a","target":"b","from_type":"s","to_type":"s","phase":"copy","created_at":1,"expected_settled_at":2}`
	for text, fine := range map[string]bool{
		good: true,
		strings.Replace(good, `"copy"`, `"fly"`, 1):                   false,
		strings.Replace(good, `"created_at":1`, `"created_at":""`, 1): false,
		strings.Replace(good, `"id":"x",`, ``, 1):                     false,
		strings.Replace(good, `{`, `{"more":1,`, 1):                   false,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != fine {
			t.Errorf("%s: %v", text, err)
		}
	}
}
