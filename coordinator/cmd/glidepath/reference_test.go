package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/docs"
	"github.com/glidepath/glidepath/internal/clidoc/clidoctest"
	"github.com/glidepath/glidepath/internal/docfile"
	"github.com/glidepath/glidepath/internal/openapi"
	"github.com/glidepath/glidepath/proto"
)

// operation is what the API's document says of one.
type operation struct {
	method, path, media, schema string
	or                          string // the schema of what it may answer instead
}

// described returns the operations of the API by their names.
func described(t *testing.T) map[string]operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			ID        string `json:"operationId"`
			Responses map[string]struct {
				Content map[string]struct {
					Schema struct {
						Ref   string `json:"$ref"`
						OneOf []struct {
							Ref string `json:"$ref"`
						} `json:"oneOf"`
					} `json:"schema"`
				} `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(docs.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]operation{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			for _, media := range []string{"application/x-ndjson", "application/json"} {
				if c, ok := op.Responses["200"].Content[media]; ok {
					of := operation{method: strings.ToUpper(method), path: path, media: media, schema: named(c.Schema.Ref)}
					if either := c.Schema.OneOf; len(either) == 2 {
						of.schema, of.or = named(either[0].Ref), named(either[1].Ref)
					}
					out[op.ID] = of
				}
			}
		}
	}
	return out
}

// named returns the name of the schema that is referred to.
func named(ref string) string { return strings.TrimPrefix(ref, "#/components/schemas/") }

func tree() *cobra.Command { return command(&app{env: func(string) string { return "" }}) }

func TestEveryCommandHasAnExampleAndSaysWhatItDoes(t *testing.T) { clidoctest.Complete(t, tree()) }

func TestTheReferenceOfTheCommandIsMadeFromIt(t *testing.T) {
	known, own, operations := answers(), owns(), described(t)
	note := func(path string) string {
		id, ok := known[path]
		own, has := own[path]
		if !ok && !has {
			t.Errorf("say in answers_test.go which operation of the API %q prints the answer of with --json, or what else", path)
		}
		delete(known, path)
		link := ""
		if has {
			link = fmt.Sprintf("`--json` prints `%s`, of [%s](%s).", own.schema(), ownDocument, ownDocument)
		}
		if has && own.when == "" {
			return link
		}
		if id == "" {
			return ""
		}
		op, ok := operations[id]
		if !ok || op.schema == "" {
			t.Errorf("%s: the API has no operation %s that answers JSON", path, id)
		}
		line := "prints"
		if op.media == "application/x-ndjson" {
			line = "prints, in each line,"
		}
		what := "`" + op.schema + "`"
		if op.or != "" {
			what += " or `" + op.or + "`"
		}
		line = fmt.Sprintf("`--json` %s %s, the answer of `%s %s`.", line, what, op.method, op.path)
		if has {
			line += fmt.Sprintf(" With `%s`, %s", own.when, link)
		}
		return line
	}
	clidoctest.MadeFrom(t, tree(), note, *update)
	for path := range known {
		t.Errorf("there is no command %q any more: take it out of answers_test.go", path)
	}
}

func TestTheSchemaOfWhatCommandsPrintOfTheirOwnIsMadeFromTheCode(t *testing.T) {
	options, err := openapi.OfPrograms("glidepath", filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var types []reflect.Type
	for _, o := range owns() {
		types = append(types, o.of)
	}
	text, err := openapi.Schemas(options, types...)
	if err != nil {
		t.Fatal(err)
	}
	docfile.File(t, filepath.Join("..", "..", "..", "docs", "reference", ownDocument), string(text), *update)
}

func TestCommandsPrintTheirOwnJSONAsTheReferenceSays(t *testing.T) {
	reach(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "reference", ownDocument))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // before the compiler, which takes the document's name for one here
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(ownDocument, doc); err != nil {
		t.Fatal(err)
	}
	var series strings.Builder
	series.WriteString("time,requests\n")
	for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Day() < 5; at = at.Add(time.Hour) {
		fmt.Fprintf(&series, "%s,%d\n", at.Format(time.RFC3339), 100+at.Hour())
	}
	events := "kind,start,end\nsale,2026-01-03T09:00:00Z,2026-01-03T11:00:00Z\nsale,2026-01-05T01:00:00Z,2026-01-05T02:00:00Z\n"
	if err := errors.Join(os.Mkdir("traces", 0o700), os.WriteFile("traces/a.csv", []byte(series.String()), 0o600), os.WriteFile("traces/short.csv", []byte("time,requests\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,2\n2026-01-01T02:00:00Z,1\n"), 0o600),
		os.WriteFile("events.csv", []byte(events), 0o600)); err != nil {
		t.Fatal(err)
	}
	left := owns()
	for _, c := range []struct{ path, args string }{
		{"operator snapshot save", "s"}, {"operator snapshot inspect", "s"}, {"operator bundle", "b"}, {"version", ""},
		{"forecast", "--csv traces/a.csv --horizon 6h --events events.csv"}, {"backtest", "--dir traces --horizon 6h --origins 1"},
	} {
		args := strings.Fields(c.path + " " + c.args + " --json")
		code, out, stderr := glidepath(t, t.Context(), args...)
		if code != exitFine {
			t.Errorf("%s: exit code %d: %s", args, code, stderr)
			continue
		}
		own := left["glidepath "+c.path]
		schema, err := compiler.Compile(ownDocument + "#/components/schemas/" + own.schema())
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
		if err == nil {
			err = schema.Validate(v)
		}
		if err != nil {
			t.Errorf("%s does not print a %s: %v\n%s", args, own.schema(), err, out)
		}
		delete(left, "glidepath "+c.path)
	}
	for path := range left {
		t.Errorf("%s is not tried here: add it", path)
	}
}

func TestCommandsPrintTheJSONThatTheReferenceSays(t *testing.T) {
	f := reach(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.OpenAPI))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	aborted := move(t, f, true)
	token := ""
	for x := range f.View().Tokens() {
		if x.Role == proto.RoleViewer {
			token = x.ID
		}
	}
	history := write("h.csv", "time,cpu_cores\n2026-01-05T00:00:00Z,0.1\n2026-01-05T00:05:00Z,0.2\n")
	kind := write("t.yaml", "name: m.tiny\nmax: {cpu: 50m}\n")
	redis := write("a.yaml", "name: redis\nclass: critical\n")
	f.Must(&proto.AppPut{Application: proto.Application{Name: "nginx", Class: proto.Standard}}) // nothing is of it
	cache := write("i.yaml", "name: cache-1\ndriver: service\nservice: {unit: redis-server.service, data: [/var/lib/redis]}\nhost: host-a\naddress: 10.77.0.60/24\nhealth: {tcp: 6379}\ntype: m.small\nclass: critical\napplication: redis\n")
	hold := write("r.yaml", "id: night\nhost: host-b\nsteps:\n- {to: +4h, firm: {cpu: 100m}}\n")
	known := answers()
	for _, c := range []struct{ path, args string }{
		{"status", ""}, {"host list", ""}, {"host show", "host-a"}, {"reservation list", ""}, {"notice list", "--all"},
		{"reservation create", "-f " + hold}, {"reservation show", "night"}, {"reservation extend", "night --until +8h"}, {"reservation release", "night"}, {"host calendar", "host-b"},
		{"host window add", "host-b --whole --from +30h --to +31h --id disks"}, {"host window list", "host-b"}, {"host window remove", "host-b disks"}, {"policy show", ""}, {"policy set", "--probation 10m"},
		{"type apply", "-f " + kind}, {"type list", ""}, {"app apply", "-f " + redis}, {"app list", ""},
		{"event add", "campaign --start +1h --for 1h --instance cache-1"}, {"event list", ""}, {"event remove", "sale"},
		{"calendar add", "sales https://cal.example/a.ics --instance cache-1"}, {"calendar list", ""}, {"calendar show", "sales"}, {"calendar remove", "sales"},
		{"instance list", ""}, {"instance show", "cache-1"}, {"instance apply", "-f " + cache}, {"instance observe", "cache-1"}, {"instance enforce", "cache-1"},
		{"schedule show", "cache-1"}, {"forecast", "cache-1"}, {"forecast scorecard", "cache-1"}, {"history import", "cache-1 -f " + history}, {"history export", "cache-1 --from 2026-01-05T00:00Z"},
		{"plan migrate", "cache-1 --to host-c --store"}, {"plan explain", "cache-1"}, {"plan list", ""}, {"plan show", "PLAN"}, {"plan begin", "PLAN"}, {"plan cancel", "PLAN"}, {"migration list", ""}, {"migration show", aborted}, {"migration explain", aborted}, {"migration watch", aborted},
		{"host drain", "host-a --before 2h"}, {"host drain pause", "host-a"}, {"host drain show", "host-a"}, {"host drain resume", "host-a"}, {"host undrain", "host-a"}, {"rebalance", "--moves 1"},
		{"migrate", "cache-1 --to host-c"}, {"migration abort", "NEWEST"}, {"instance release", "cache-1"},
		{"pause", "--no-wait"}, {"resume", ""}, {"host cordon", "host-b"}, {"host uncordon", "host-b"}, {"host set", "host-b --allocatable cpu=1"}, {"host retention", "host-a"}, {"host tasks", "host-a"},
		{"host forget", "host-b"}, {"operator raft list", ""}, {"operator raft remove", "c2 --force"}, {"operator raft transfer", "c1"},
		{"type remove", "m.tiny"}, {"app remove", "nginx"},
		{"token create", "--role viewer"}, {"token list", ""}, {"token revoke", token},
	} {
		newest := ""
		for m := range f.View().Migrations() {
			newest = m.ID
		}
		if c.path == "instance release" {
			f.Must(&proto.MigrationEnd{Migration: newest, Outcome: proto.OutcomeAborted})
		}
		stored := ""
		for p := range f.View().Plans() {
			stored = p.ID
		}
		args := strings.Fields(c.path + " " + strings.NewReplacer("NEWEST", newest, "PLAN", stored).Replace(c.args) + " --json")
		code, out, stderr := glidepath(t, t.Context(), args...)
		if code != exitFine && c.path != "migration watch" {
			t.Errorf("%s: exit code %d: %s", args, code, stderr)
			continue
		}
		op := described(t)[known["glidepath "+c.path]]
		schema, err := compiler.Compile("openapi.json#/components/schemas/" + op.schema)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
		if err != nil {
			t.Errorf("%s: %v: %s", args, err, out)
			continue
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s does not print a %s: %v\n%s", args, op.schema, err, out)
		}
		delete(known, "glidepath "+c.path)
	}
	// A stream has no end, and these take a move that serves: tests of their own read those.
	for _, path := range []string{"glidepath stream", "glidepath migration return", "glidepath migration complete"} {
		delete(known, path)
	}
	maps.DeleteFunc(known, func(_, operation string) bool { return operation == "" }) // no JSON of the API
	for path := range known {
		t.Errorf("%s is not tried here: add it", path)
	}
}

func TestWhatTheDocumentsHaveSomebodyTypeIsThere(t *testing.T) { clidoctest.Documented(t, tree) }
