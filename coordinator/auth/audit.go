package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Record is one request to change something, or one that was turned away for who asked.
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

// Audit writes records of what was changed, by whom, and of what was refused: one JSON line each. Its methods may be called concurrently.
type Audit struct {
	log *slog.Logger

	mu      sync.Mutex
	second  int64 // in which strangers are counted
	n       int   // of their records in it
	skipped int   // of their records since the last one that was written
}

// strangers is how many requests without a good token are recorded in a second: nobody must be able to fill the disk from outside.
const strangers = 20

// NewAudit returns an audit that writes to h.
func NewAudit(h slog.Handler) *Audit { return &Audit{log: slog.New(h)} }

// admit reports whether a stranger's request is recorded, and how many were not since the last one that was.
func (a *Audit) admit(now time.Time) (skipped int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := now.Unix(); s != a.second {
		a.second, a.n = s, 0
	}
	if a.n++; a.n > strangers {
		a.skipped++
		return 0, false
	}
	skipped, a.skipped = a.skipped, 0
	return skipped, true
}

// Write writes a record. Those of requests without a good token are written up to a number in a second; the next one says how many were not.
func (a *Audit) Write(ctx context.Context, r Record) {
	if r.Actor == "" {
		skipped, ok := a.admit(time.Now())
		if !ok {
			return
		}
		if skipped > 0 {
			a.log.LogAttrs(ctx, slog.LevelWarn, "audit", slog.String("result", "skipped"), slog.Int("records", skipped))
		}
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "audit",
		slog.String("actor", r.Actor), slog.String("role", r.Role), slog.String("from", r.From),
		slog.String("method", r.Method), slog.String("object", r.Object), slog.String("request", r.ID),
		slog.String("result", r.Code), slog.String("reason", r.Reason))
}
