package api

import (
	"net/http"
	"reflect"
	"runtime"
	"strings"

	"github.com/glidepath/glidepath/internal/openapi"
)

// Patterns returns what the API routes.
func (s *Server) Patterns() []string {
	var out []string
	for _, r := range s.routes() {
		out = append(out, r.pattern)
	}
	return out
}

// Operations returns what the API says of its routes.
func (s *Server) Operations() []openapi.Operation {
	var out []openapi.Operation
	for _, r := range s.routes() {
		name := runtime.FuncForPC(reflect.ValueOf(r.answer).Pointer()).Name()
		name, _, _ = strings.Cut(name[strings.LastIndex(name, "/")+len("/api."):], ".") // a closure is called after the function that made it
		op := openapi.Operation{
			ID: name, Pattern: r.pattern, Summary: r.summary, Role: string(r.role), Where: "routes.go",
			Takes: r.takes, Optional: r.optional, Gives: r.gives, Or: r.or, GivesMedia: r.produces, Keyed: !strings.HasPrefix(r.pattern, http.MethodGet+" "),
		}
		switch {
		case r.media != "":
			op.TakesMedia = r.media
		case r.takes != nil:
			op.TakesMedia = "application/json"
		}
		for _, p := range r.query {
			op.Query = append(op.Query, openapi.Param{Name: p.name, Type: p.kind, What: p.what})
		}
		out = append(out, op)
	}
	return out
}

// KeepChanges bounds the changes that are kept.
func KeepChanges(s *Server, most int) { s.feed.most = most }
