package docs_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/coordinator"
	"github.com/glidepath/glidepath/internal/docfile"
)

var update = flag.Bool("update", false, "write what is generated from the code anew")

// file is a configuration file, and the struct that it is read into.
type file struct {
	name, of string
	source   string // folder of the struct
	typ      string
	standard any               // what it is without the file; nil where nothing is set
	words    map[string]string // defaults that depend on where it runs
}

func files() []file {
	return []file{
		{"agent.yaml", "/etc/glidepath/agent.yaml, of the agent of a host", "agent", "Config", agent.Default(), map[string]string{"name": "the host's name up to the first dot"}},
		{"allow.yaml", "/etc/glidepath/allow.yaml, of a host: what the fleet may do there. It belongs to root. What it does not name is denied", "agent/allow", "file", nil, nil},
		{"coordinator.yaml", "/etc/glidepath/coordinator.yaml, of a coordinator", "coordinator", "Config", coordinator.Default(), map[string]string{"name": "the host's name up to the first dot"}},
		{"config.yaml", "~/.config/glidepath/config.yaml, of the `glidepath` command. Flags and the environment win", "coordinator/cmd/glidepath", "settingsFile", nil, map[string]string{"addresses": "`[127.0.0.1:7648]`"}},
	}
}

func TestTheReferenceOfTheConfigurationIsMadeFromIt(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Configuration files\n\nEvery field of every file, made from the code by `make generate`. All of them are optional. Fields that are not here are refused with their line and the\n" +
		"nearest name. Amounts have units: `500m` or `1.5` cores, `256MiB`, `100Mbit`, plain numbers for IOPS, `30s`, `2h`.\n")
	for _, f := range files() {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n| field | type | default | |\n|---|---|---|---|\n", f.name, f.of)
		standard := map[string]string{}
		if f.standard != nil {
			flatten(t, f.standard, standard)
		}
		for _, r := range rows(t, f.source, f.typ, "") {
			if r.comment == "" {
				t.Errorf("%s: the field of %s has no comment: say in %s what it does", f.name, r.name, f.source)
			}
			value := f.words[r.name]
			if value == "" && standard[r.name] != "" {
				value = "`" + standard[r.name] + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.name, r.typ, value, r.comment)
		}
	}
	docfile.File(t, filepath.Join("reference", "config.md"), b.String(), *update)
}

// row is a field of a file.
type row struct{ name, typ, comment string }

// rows reads the fields of a struct from the source, with those of structs in it.
func rows(t *testing.T, dir, typ, prefix string) []row {
	t.Helper()
	st := structOf(t, dir, typ)
	var out []row
	for _, f := range st.Fields.List {
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml")
		name, _, _ := strings.Cut(tag, ",")
		comment := strings.Join(strings.Fields(f.Comment.Text()), " ")
		switch kind := text(f.Type); kind {
		case "AddressConfig", "AuditConfig":
			for _, r := range rows(t, dir, kind, prefix+name+".") {
				r.comment = comment + ": " + r.comment
				out = append(out, r)
			}
		case "config.Log":
			out = append(out, rows(t, "internal/config", "Log", prefix+name+".")...)
		default:
			words := map[string]string{
				"string": "text", "[]string": "list", "bool": "true or false", "config.Duration": "length of time", "config.Amounts": "amounts by resource", "map[string]string": "names with values",
			}
			if words[kind] == "" {
				t.Errorf("%s.%s: say here what a %s is to whoever writes the file", typ, name, kind)
			}
			out = append(out, row{prefix + name, words[kind], comment})
		}
	}
	return out
}

// structOf finds a struct in the source of a folder.
func structOf(t *testing.T, dir, typ string) *ast.StructType {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.Name == typ {
					if st, ok := ts.Type.(*ast.StructType); ok {
						return st
					}
				}
			}
		}
	}
	t.Fatalf("%s has no struct %s", dir, typ)
	return nil
}

// text returns a type as it is written.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return text(e.X) + "." + e.Sel.Name
	case *ast.ArrayType:
		return "[]" + text(e.Elt)
	case *ast.MapType:
		return "map[" + text(e.Key) + "]" + text(e.Value)
	}
	return "?"
}

// flatten collects what a configuration is without its file, by the paths of its fields.
func flatten(t *testing.T, v any, into map[string]string) {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for k, v := range m {
			switch v := v.(type) {
			case map[string]any:
				walk(prefix+k+".", v)
			case string, bool:
				into[prefix+k] = strings.TrimSuffix(fmt.Sprint(v), "0m0s")
			}
		}
	}
	walk("", tree)
}
