// Package config reads YAML files strictly: what it does not know it refuses, with the line and the nearest name.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 1 << 20

// Read reads the file at path into the struct that v points to, over what is in it already. Fields that v does not have
// are errors. A file that is not there is os.ErrNotExist.
func Read(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return Decode(f, path, v)
}

// Decode reads the one YAML document of r into v; name stands for it in errors.
func Decode(r io.Reader, name string, v any) error {
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > MaxSize {
		return fmt.Errorf("%s is larger than %d bytes", name, MaxSize)
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // nothing but comments
		}
		return fmt.Errorf("%s: %w", name, explain(err, v))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s has more than one document: keep one, or use a file for each", name)
	}
	return nil
}

var (
	unknownField = regexp.MustCompile(`^line (\d+): field (\S+) not found in type .*$`)
	wrongKind    = regexp.MustCompile("(?s)^line (\\d+): cannot unmarshal !!(\\w+)(?: `(.*)`)? into (.+)$")
)

// explain turns the decoder's words into ones for operators: every problem in one error, with the nearest known name.
func explain(err error, v any) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		what, parser := strings.CutPrefix(err.Error(), "yaml: ")
		if parser && strings.HasPrefix(what, "line ") {
			return fmt.Errorf("%s: this is not YAML; look there and on the line above for a bracket, quote or colon that is missing, and for tabs", what)
		}
		return errors.New(what) // of a value that says itself what it should be, or of what can't be read
	}
	known := fields(reflect.TypeOf(v), nil)
	problems := make([]string, len(te.Errors))
	for i, p := range te.Errors {
		problems[i] = p
		if m := unknownField.FindStringSubmatch(p); m != nil {
			problems[i] = fmt.Sprintf("line %s: unknown field %q", m[1], m[2])
			if near := Nearest(m[2], known); near != "" {
				problems[i] += fmt.Sprintf(": did you mean %q?", near)
			}
		}
		if m := wrongKind.FindStringSubmatch(p); m != nil {
			what := map[string]string{"seq": "a list", "map": "a mapping"}[m[2]]
			single := what == ""
			if single {
				what = strconv.Quote(m[3])
			}
			problems[i] = fmt.Sprintf("line %s: %s is not %s", m[1], what, wanted(m[4], single))
		}
	}
	return errors.New(strings.Join(problems, "; "))
}

// wanted says in words what a Go type takes, that was given a single value or not. Of a named type it is not known which of both it takes.
func wanted(goType string, single bool) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list: write one like [a, b]"
	case strings.HasPrefix(goType, "map["), strings.HasPrefix(goType, "struct"), strings.Contains(goType, ".") && single:
		return "what is wanted here: write a mapping like {name: value}"
	case strings.Contains(goType, "."):
		return "what is wanted here: its reference says what is"
	case strings.Contains(goType, "int"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "bool":
		return "true or false"
	}
	return "a text"
}

// fields collects the YAML names of a type and of all that it holds.
func fields(t reflect.Type, seen []reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(seen, t) {
		return nil
	}
	seen = append(seen, t)
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		names = append(names, name)
		names = append(names, fields(f.Type, seen)...)
	}
	return names
}

// Nearest returns the candidate that word was most likely meant to be, "" when none is near. It is for error messages.
func Nearest(word string, candidates []string) string {
	best, at := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < at {
			best, at = c, d
		}
	}
	return best
}

// distance is Levenshtein's edit distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
