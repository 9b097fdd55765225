package api_test

import (
	"flag"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/docfile"
	"github.com/glidepath/glidepath/internal/openapi"
	"github.com/glidepath/glidepath/proto"
)

var update = flag.Bool("update", false, "write what is generated from the code anew")

// document returns the description of the API as the code has it.
func document(operations []openapi.Operation) ([]byte, error) {
	natives, err := openapi.Natives()
	if err != nil {
		return nil, err
	}
	return openapi.Document(openapi.Options{
		Title: "Glidepath", Version: "v1",
		Description: "The HTTP API of the coordinators of a fleet. Any of them answers everything. See docs/api.md for what holds for all of it.\n\n" +
			"Requests have no fields that are not here; replies may get more, and values of strings may, too. What is not required may be left out.",
		Module: "github.com/glidepath/glidepath", Root: filepath.Join("..", ".."),
		Native: natives,
		Raw: map[string]reflect.Type{
			"Error.Detail": reflect.TypeFor[v1.ErrorDetail](), "MigrationUpdate.Progress": reflect.TypeFor[proto.MigrationProgress](),
		},
		Filled: func(t reflect.Type) bool { return t.PkgPath() == reflect.TypeFor[v1.Status]().PkgPath() },
		Error:  reflect.TypeFor[v1.ErrorBody](),
		Key: openapi.Param{
			Name: v1.HeaderKey, Type: "string",
			What: "A ULID. A request that is sent again under the same one is carried out once; it becomes the identifier of what is created.",
		},
		Operation: operations,
	})
}

func TestTheDocumentOfTheAPIIsMadeFromIt(t *testing.T) {
	want, err := document(newWorld(t).server.Operations())
	if err != nil {
		t.Fatalf("the API is not described in full:\n%v", err)
	}
	docfile.File(t, filepath.Join("..", "..", "docs", "openapi.json"), string(want), *update)
}

func TestEveryRouteIsInTheDocumentAndNothingElse(t *testing.T) {
	w := newWorld(t)
	served := ok[struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Role string `json:"x-role"`
		} `json:"paths"`
	}](w, "GET /v1/openapi.json", nil)
	if served.OpenAPI != "3.1.0" {
		t.Errorf("version %q", served.OpenAPI)
	}
	var described []string
	for path, methods := range served.Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if op.Role == "" {
				t.Errorf("%s %s does not say its role", method, path)
			}
		}
	}
	routed := w.server.Patterns()
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("described %q\nrouted %q\nrun `make generate`", described, routed)
	}
}

func TestARouteThatIsNotDescribedIsToldWhatItLacks(t *testing.T) {
	for says, op := range map[string]openapi.Operation{
		"GET /v1/x: its summary \"\" is no sentence":     {ID: "x", Pattern: "GET /v1/x", Where: "routes.go", Gives: reflect.TypeFor[v1.Empty]()},
		"GET /v1/x: what it replies is not said":         {ID: "x", Pattern: "GET /v1/x", Where: "routes.go", Summary: "Show x"},
		"set gives, or media types in produces, in rout": {ID: "x", Pattern: "GET /v1/x", Where: "routes.go", Summary: "Show x"},
		"query parameter \"y\" needs a type":             {ID: "x", Pattern: "GET /v1/x", Summary: "Show x", Gives: reflect.TypeFor[v1.Empty](), Query: []openapi.Param{{Name: "y"}}},
		"can't be said in JSON":                          {ID: "x", Pattern: "GET /v1/x", Summary: "Show x", Gives: reflect.TypeFor[func()]()},
		"writes its JSON itself":                         {ID: "x", Pattern: "GET /v1/x", Summary: "Show x", Gives: reflect.TypeFor[time.Time]()},
	} {
		if _, err := document([]openapi.Operation{op}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	twice := openapi.Operation{ID: "x", Pattern: "GET /v1/x", Summary: "Show x", Gives: reflect.TypeFor[v1.Empty]()}
	other := twice
	other.Pattern = "GET /v1/y"
	if _, err := document([]openapi.Operation{twice, other}); err == nil || !strings.Contains(err.Error(), "give each a function of its own") {
		t.Error(err)
	}
}
