// Package openapi writes the OpenAPI 3.1 document of an API from its routes, the types of their messages, and the comments on those.
//
// Types are read by reflection and comments from the source, so the document is made where the source is, in a test, and
// programs carry what was made.
package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Operation is one method of the API.
type Operation struct {
	ID      string // unique
	Pattern string // of http.ServeMux, with its method
	Summary string
	Role    string // that it takes at least
	Where   string // it is defined: what an author is told to complete
	Query   []Param

	Takes      reflect.Type // the request's body; nil for none, or for one that is not JSON
	TakesMedia string       // "" for no body
	Optional   bool         // the body may be left out
	Gives      reflect.Type // the reply, or one line of it
	Or         reflect.Type // what that may be instead; nil: nothing else
	GivesMedia []string
	Keyed      bool // it takes the header that makes a repeated request be carried out once
}

// Param is a parameter of the query.
type Param struct {
	Name string
	Type string // string, integer or boolean
	What string
}

// Schema is a JSON schema.
type Schema map[string]any

// Options are what a document says beside its operations.
type Options struct {
	Title, Version, Description string

	Module, Root string // the module's path, and the folder it is in
	// Native are schemas of types that write their JSON themselves, with the names they get.
	Native map[reflect.Type]Named
	// Raw says what is in a field that holds JSON, by the names of type and field: "Error.Detail".
	Raw map[string]reflect.Type
	// Filled reports whether lists of a type are never null, also where they are empty.
	Filled func(reflect.Type) bool

	Error     reflect.Type // the body of what failed; nil where there are no operations
	Key       Param        // the header that makes a repeated request be carried out once
	Operation []Operation
}

// Named is a schema with its name.
type Named struct {
	Name   string
	Schema Schema
}

// Document returns the document, indented, its keys sorted. The error names everything that the operations leave out.
func Document(o Options) ([]byte, error) {
	w := newWriter(o)
	paths := map[string]Schema{}
	ids := map[string]string{}
	for _, op := range o.Operation {
		method, path, ok := strings.Cut(op.Pattern, " ")
		if !ok {
			w.problem("%s has no method", op.Pattern)
			continue
		}
		w.complete(op)
		if other, twice := ids[op.ID]; twice {
			w.problem("%s and %s are both answered by %s, after which operations are named: give each a function of its own", other, op.Pattern, op.ID)
		}
		ids[op.ID] = op.Pattern
		if paths[path] == nil {
			paths[path] = Schema{}
		}
		paths[path][strings.ToLower(method)] = w.operation(op, path)
	}
	return w.encode(Schema{
		"paths":    paths,
		"security": []Schema{{"token": []string{}}},
		"components": Schema{
			"securitySchemes": Schema{"token": Schema{"type": "http", "scheme": "bearer", "bearerFormat": "gpa1.…", "description": "from glidepathd init, or glidepath token create --role ROLE"}},
			"responses":       Schema{"Error": Schema{"description": "It failed; the code says how.", "content": Schema{"application/json": Schema{"schema": w.of(o.Error)}}}},
			"schemas":         w.schemas, // the last: the others fill it
		},
	})
}

// Schemas returns a document without operations, of types that a program prints. The error names what can't be said of them.
func Schemas(o Options, types ...reflect.Type) ([]byte, error) {
	w := newWriter(o)
	for _, t := range types {
		w.of(t)
	}
	return w.encode(Schema{"components": Schema{"schemas": w.schemas}})
}

func newWriter(o Options) *writer {
	return &writer{Options: o, source: newSource(o.Module, o.Root), named: map[string]reflect.Type{}, schemas: Schema{}}
}

// encode returns a document with what all of them say, unless something is left out.
func (w *writer) encode(out Schema) ([]byte, error) {
	out["openapi"] = "3.1.0"
	out["info"] = Schema{"title": w.Title, "version": w.Version, "description": w.Description, "license": Schema{"name": "Apache-2.0", "identifier": "Apache-2.0"}}
	if len(w.problems) > 0 {
		return nil, errors.Join(w.problems...)
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(out); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// writer collects the schemas of one document.
type writer struct {
	Options
	source   *source
	named    map[string]reflect.Type
	schemas  Schema
	problems []error
}

func (w *writer) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Errorf(format, args...))
}

// complete notes what an operation leaves out.
func (w *writer) complete(op Operation) {
	if op.Summary == "" || strings.HasSuffix(op.Summary, ".") || strings.ToUpper(op.Summary[:1]) != op.Summary[:1] {
		w.problem("%s: its summary %q is no sentence without a full stop: set summary in %s", op.Pattern, op.Summary, op.Where)
	}
	if op.Gives == nil && len(op.GivesMedia) == 0 {
		w.problem("%s: what it replies is not said: set gives, or media types in produces, in %s", op.Pattern, op.Where)
	}
	for _, p := range op.Query {
		if !slices.Contains([]string{"string", "integer", "boolean"}, p.Type) || p.What == "" {
			w.problem("%s: query parameter %q needs a type, string, integer or boolean, and a word on what it does: see query in %s", op.Pattern, p.Name, op.Where)
		}
	}
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

func (w *writer) operation(op Operation, path string) Schema {
	params := []Schema{}
	for _, m := range inPath.FindAllStringSubmatch(path, -1) {
		params = append(params, Schema{"name": m[1], "in": "path", "required": true, "schema": Schema{"type": "string"}})
	}
	for _, p := range op.Query {
		params = append(params, Schema{"name": p.Name, "in": "query", "description": p.What, "schema": Schema{"type": p.Type}})
	}
	if op.Keyed {
		params = append(params, Schema{"name": w.Key.Name, "in": "header", "description": w.Key.What, "schema": Schema{"type": w.Key.Type}})
	}
	out := Schema{
		"operationId": op.ID, "summary": op.Summary, "description": "Takes the role " + op.Role + ".", "tags": []string{tag(path)}, "x-role": op.Role,
		"responses": Schema{
			"200":     Schema{"description": "Done.", "content": w.content(op.GivesMedia, op.Gives, op.Or)},
			"default": Schema{"$ref": "#/components/responses/Error"},
		},
	}
	if len(params) > 0 {
		out["parameters"] = params
	}
	if op.Takes != nil || op.TakesMedia != "" {
		out["requestBody"] = Schema{"required": !op.Optional, "content": w.content([]string{op.TakesMedia}, op.Takes)}
	}
	return out
}

// tag is what operations are grouped by: what their paths name first.
func tag(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	return strings.TrimSuffix(parts[min(1, len(parts)-1)], ".json")
}

// content returns what a body is: of the one type, or of one of several.
func (w *writer) content(media []string, types ...reflect.Type) Schema {
	if len(media) == 0 {
		media = []string{"application/json"}
	}
	out := Schema{}
	for _, m := range media {
		schema := Schema{"type": "string"}
		if m != "text/csv" { // the same in a table, beside the JSON
			if of := w.each(types); len(of) == 1 {
				schema = of[0]
			} else if len(of) > 1 {
				schema = Schema{"oneOf": of}
			}
		}
		out[m] = Schema{"schema": schema}
	}
	return out
}

// each returns the schemas of those types that there are.
func (w *writer) each(types []reflect.Type) []Schema {
	var out []Schema
	for _, t := range types {
		if t != nil {
			out = append(out, w.of(t))
		}
	}
	return out
}

// of returns the schema of a type: a reference where the type has a name and is worth one.
func (w *writer) of(t reflect.Type) Schema {
	if n, ok := w.Native[t]; ok {
		w.schemas[n.Name] = n.Schema
		return reference(n.Name)
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return Schema{}
	}
	if t.Kind() != reflect.Pointer && t.Implements(reflect.TypeFor[json.Marshaler]()) {
		w.problem("%s writes its JSON itself: say what that is, with the types that do", t)
		return Schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.Bool:
		return Schema{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Schema{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Schema{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return Schema{"type": "number"}
	case reflect.String:
		return w.text(t)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return Schema{"type": "string", "contentEncoding": "base64"}
		}
		return Schema{"type": "array", "items": w.of(t.Elem())}
	case reflect.Map:
		return Schema{"type": "object", "additionalProperties": w.of(t.Elem())}
	case reflect.Struct:
		return w.object(t)
	default:
		w.problem("%s can't be said in JSON", t)
		return Schema{}
	}
}

func reference(name string) Schema { return Schema{"$ref": "#/components/schemas/" + name} }

// text returns the schema of a string: its values are those that the source has constants for.
func (w *writer) text(t reflect.Type) Schema {
	values := w.source.values(t)
	if len(values) == 0 {
		return Schema{"type": "string"}
	}
	name := w.name(t)
	if w.schemas[name] == nil {
		words := slices.Clone(w.source.comment(t, ""))
		all := make([]string, len(values))
		for i, v := range values {
			all[i] = v.value
			if v.comment != "" {
				words = append(words, fmt.Sprintf("`%s`: %s", v.value, v.comment))
			}
		}
		w.schemas[name] = described(Schema{"type": "string", "enum": all}, words)
	}
	return reference(name)
}

func (w *writer) object(t reflect.Type) Schema {
	name := w.name(t)
	if w.schemas[name] == nil {
		s := Schema{"type": "object"}
		w.schemas[name] = s // before its fields, which may lead back to it
		properties, required := Schema{}, []string{}
		w.fields(t, properties, &required)
		slices.Sort(required)
		if len(properties) > 0 {
			s["properties"] = properties
		}
		if len(required) > 0 {
			s["required"] = required
		}
		described(s, w.source.comment(t, ""))
	}
	return reference(name)
}

// fields adds the fields of a struct. Those of embedded ones come after its own, which win.
func (w *writer) fields(t reflect.Type, properties Schema, required *[]string) {
	var embedded []reflect.Type
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, rest, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-":
			continue
		case f.Anonymous && name == "":
			embedded = append(embedded, f.Type)
			continue
		case !f.IsExported() || properties[name] != nil:
			continue
		case name == "":
			w.problem("%s.%s has no json tag", t, f.Name)
			continue
		}
		s := maps.Clone(w.of(f.Type))
		if raw, ok := w.Raw[t.Name()+"."+f.Name]; ok {
			s = maps.Clone(w.of(raw))
		}
		if !strings.Contains(rest, "omit") {
			*required = append(*required, name)
			if f.Type.Kind() == reflect.Slice && s["type"] == "array" && !w.Filled(t) {
				s["type"] = []string{"array", "null"}
			}
		}
		properties[name] = described(s, w.source.comment(t, f.Name))
	}
	for _, e := range embedded {
		w.fields(e, properties, required)
	}
}

func described(s Schema, words []string) Schema {
	if len(words) > 0 {
		s["description"] = strings.Join(words, "\n")
	}
	return s
}

// name returns the name of a type in the document: where the API itself has one of that name, others are called after their package, too.
func (w *writer) name(t reflect.Type) string {
	name := t.Name()
	if of, arg, generic := strings.Cut(name, "["); generic {
		arg = strings.TrimSuffix(arg, "]")
		name = arg[strings.LastIndexAny(arg, "./")+1:] + of
	} else if w.Error == nil {
		name = strings.ToUpper(name[:1]) + name[1:] // of a program's own
	} else if _, taken := w.source.of(w.Error).types[name]; taken && t.PkgPath() != w.Error.PkgPath() {
		pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	if other := w.named[name]; other != nil && other != t {
		w.problem("%s and %s would both be called %s: give one another name", other, t, name)
	}
	w.named[name] = t
	return name
}
