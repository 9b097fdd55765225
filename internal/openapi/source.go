package openapi

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// source is what the comments of a module's packages say. Packages are read when they are asked for.
type source struct {
	module, root string
	packages     map[string]*comments
}

// comments are those of one package.
type comments struct {
	types  map[string]string
	fields map[string]string  // by type and field: "Host.Facts"
	values map[string][]value // constants by their type, in the order of the source
}

// value is a constant with its comment.
type value struct{ value, comment string }

func newSource(module, root string) *source {
	return &source{module: module, root: root, packages: map[string]*comments{}}
}

// comment returns what is said of a type, or of its field.
func (s *source) comment(t reflect.Type, field string) []string {
	name, _, _ := strings.Cut(t.Name(), "[")
	c := s.of(t)
	text := c.types[name]
	if field != "" {
		text = c.fields[name+"."+field]
	}
	if text == "" {
		return nil
	}
	return []string{text}
}

// values returns the constants of a type.
func (s *source) values(t reflect.Type) []value { return s.of(t).values[t.Name()] }

// of returns the comments in the package of a type; none for packages of others.
func (s *source) of(t reflect.Type) *comments {
	path := t.PkgPath()
	c, ok := s.packages[path]
	if ok {
		return c
	}
	c = &comments{types: map[string]string{}, fields: map[string]string{}, values: map[string][]value{}}
	s.packages[path] = c
	dir, ours := strings.CutPrefix(path, s.module+"/")
	if !ours {
		return c
	}
	if err := c.read(filepath.Join(s.root, filepath.FromSlash(dir))); err != nil {
		panic(fmt.Sprintf("the source of %s can't be read: %s", path, err)) // the test runs in it
	}
	return c
}

func (c *comments) read(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				c.declaration(g)
			}
		}
	}
	return nil
}

func (c *comments) declaration(g *ast.GenDecl) {
	for _, s := range g.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			c.types[s.Name.Name] = said(s.Doc, g.Doc, s.Comment)
			if st, ok := s.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, n := range f.Names {
						c.fields[s.Name.Name+"."+n.Name] = said(f.Doc, f.Comment)
					}
				}
			}
		case *ast.ValueSpec:
			if name, ok := s.Type.(*ast.Ident); ok && g.Tok == token.CONST && len(s.Values) == 1 {
				if lit, ok := s.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						c.values[name.Name] = append(c.values[name.Name], value{text, said(s.Doc, s.Comment)})
					}
				}
			}
		}
	}
}

// said returns the first of the comments that says something, each of its paragraphs in a line.
func said(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if text := strings.TrimSpace(g.Text()); text != "" {
			paragraphs := strings.Split(text, "\n\n")
			for i, p := range paragraphs {
				paragraphs[i] = strings.Join(strings.Fields(p), " ")
			}
			return strings.Join(paragraphs, "\n")
		}
	}
	return ""
}
