package auth

import (
	"context"
	"log/slog"
)

// Record is one request to change something.
type Record struct {
	Actor  string // as Principal.Actor; empty for somebody without a good token
	Role   string
	From   string // network address
	Method string // as the API calls it: "PUT /v1/instances/{name}"
	Object string // what it is about: "cache-1"
	ID     string // of the request
	Code   string // "ok", or the code of the failure
	Reason string // of the failure, or what the change meant where its object does not say
}

// Audit writes records of what was changed, by whom, and of what was refused: one JSON line each.
type Audit struct{ log *slog.Logger }

// NewAudit returns an audit that writes to h.
func NewAudit(h slog.Handler) *Audit { return &Audit{slog.New(h)} }

// Write writes a record.
func (a *Audit) Write(ctx context.Context, r Record) {
	a.log.LogAttrs(ctx, slog.LevelInfo, "audit",
		slog.String("actor", r.Actor), slog.String("role", r.Role), slog.String("from", r.From),
		slog.String("method", r.Method), slog.String("object", r.Object), slog.String("request", r.ID),
		slog.String("result", r.Code), slog.String("reason", r.Reason))
}
