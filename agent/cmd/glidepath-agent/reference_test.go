package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/internal/clidoc/clidoctest"
	"github.com/glidepath/glidepath/internal/docfile"
	"github.com/glidepath/glidepath/internal/openapi"
	"github.com/glidepath/glidepath/proto"
)

var update = flag.Bool("update", false, "write what is generated from the code anew")

func tree() *cobra.Command { return rootCommand(io.Discard, io.Discard) }

func TestEveryCommandHasAnExampleAndSaysWhatItDoes(t *testing.T) { clidoctest.Complete(t, tree()) }

func TestTheReferenceOfTheCommandIsMadeFromIt(t *testing.T) {
	clidoctest.MadeFrom(t, tree(), func(path string) string {
		if printed, ok := answers()[path]; ok {
			return fmt.Sprintf("`--json` prints `%s`, of [%s](%s).", reflect.TypeOf(printed).Name(), document, document)
		}
		return ""
	}, *update)
}

func TestEachShellGetsItsCompletion(t *testing.T) {
	clidoctest.Completes(t, "glidepath-agent", "jo", "join", run)
}

func TestWhatTheDocumentsHaveSomebodyTypeIsThere(t *testing.T) { clidoctest.Documented(t, tree) }

// document has the schemas of what commands print with --json.
const document = "glidepath-agent.json"

// answers has, of each command with --json, something that it may print.
func answers() map[string]any {
	return map[string]any{
		"glidepath-agent status": agent.Status{
			Host: "host-a", Fleet: "f", CertExpires: time.Unix(1, 0).UTC(), Agent: "active", Coordinators: []string{"c1:7647"}, Document: proto.DocumentVersion{Incarnation: 1, Revision: 2},
			IssuedAt: 3, Paused: true, PausedHere: 4,
			Instances: []agent.InstanceStatus{{Instance: "cache-1", Unit: "redis.service", State: proto.FenceOwner, Fence: 5, Migration: "m", Why: "x", Limits: []proto.LimitFile{{Name: "cpu.max", Value: "max 100000"}}}},
		},
		"glidepath-agent retention": proto.Retention{Items: []proto.Retained{{Instance: "cache-1", Migration: "m", At: 1, Paths: []string{"/x"}, Bytes: 1, Files: 1, Partial: true}}, More: 1},
	}
}

func TestTheSchemaOfWhatCommandsPrintIsMadeFromTheCode(t *testing.T) {
	options, err := openapi.OfPrograms("glidepath-agent", filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var types []reflect.Type
	for _, printed := range answers() {
		types = append(types, reflect.TypeOf(printed))
	}
	text, err := openapi.Schemas(options, types...)
	if err != nil {
		t.Fatal(err)
	}
	docfile.File(t, filepath.Join("..", "..", "..", "docs", "reference", document), string(text), *update)
}

func TestCommandsPrintTheJSONThatTheReferenceSays(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "reference", document))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(document, doc); err != nil {
		t.Fatal(err)
	}
	for path, printed := range answers() {
		schema, err := compiler.Compile(document + "#/components/schemas/" + reflect.TypeOf(printed).Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{printed, reflect.Zero(reflect.TypeOf(printed)).Interface()} {
			var out strings.Builder
			if err := printJSON(&out, v); err != nil {
				t.Fatal(err)
			}
			got, err := jsonschema.UnmarshalJSON(strings.NewReader(out.String()))
			if err == nil {
				err = schema.Validate(got)
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", path, err, out.String())
			}
		}
	}
	visit(tree(), func(c *cobra.Command) {
		if c.Flags().Lookup("json") != nil && answers()[c.CommandPath()] == nil {
			t.Errorf("say in answers what %s --json prints", c.CommandPath())
		}
	})
}

func visit(c *cobra.Command, see func(*cobra.Command)) {
	see(c)
	for _, sub := range c.Commands() {
		visit(sub, see)
	}
}
