// Package migrate carries out what the tables say about who is to run which instance: it walks the operations of migrations, and those of adoption and release.
//
// It runs on the leader alone. Every decision is committed before it is acted on, every operation of a migration is
// recorded before it is sent, and the next thing to do follows from the tables only: a new leader goes on where the last
// one stopped. An operation that was on its way then is sent again under the same identifier, and the agent joins it or
// repeats its result.
package migrate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// Config is what an executor works with.
type Config struct {
	View    func() *state.View
	Changed func() <-chan struct{} // closed at the next change; it is taken before the View that is acted on
	// Propose commits a command and returns when it is applied here.
	Propose func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error)
	// CallAgent calls a method of a host's agent, by way of its home. Errors have codes of wire.
	CallAgent func(ctx context.Context, host, method string, body []byte) ([]byte, error)
	// VerifyLeader returns nil when a majority still took this coordinator for its leader after the call began.
	VerifyLeader func() error
	// Handover brings the instance's history to the target's home. What it can't bring is missing in forecasts, no more. It may be nil.
	Handover func(ctx context.Context, instance, fromHost, toHost string) error
	Log      *slog.Logger
}

// Executor walks migrations, adoptions and releases. Its methods may be called concurrently; Run once at a time.
type Executor struct {
	cfg Config

	mu       sync.Mutex
	leading  bool
	since    time.Time            // when this coordinator began to lead
	granted  map[string]time.Time // when a migration's target was last given a permit, by migration
	progress map[string]Progress  // by migration
}

// New returns an executor; Run makes it work.
func New(cfg Config) *Executor {
	return &Executor{cfg: cfg, granted: map[string]time.Time{}, progress: map[string]Progress{}}
}

// actor is who proposes, in the words of the audit trail.
const actor = "coordinator"

// gather is how long several changes of the tables are waited for before they are looked at together.
const gather = 50 * time.Millisecond

// Run works until ctx ends. It must be called after a barrier: permits are given, and operations sent, by what is in the tables.
func (e *Executor) Run(ctx context.Context) error {
	e.lead()
	defer e.retreat()
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()

	ended := make(chan string)
	busy := map[string]bool{}
	begin := func(key string, work func(context.Context)) {
		if busy[key] {
			return
		}
		busy[key] = true
		all.Go(func() {
			work(ctx)
			select {
			case ended <- key:
			case <-ctx.Done():
			}
		})
	}
	for m := range e.cfg.View().Migrations() {
		if _, open := leftover(m); !m.Active() && open {
			e.walk(begin, m.ID)
		}
	}
	for {
		changed := e.cfg.Changed()
		view := e.cfg.View()
		for m := range view.ActiveMigrations() {
			e.walk(begin, m.ID)
		}
		for i := range view.Instances() {
			if i.State == proto.InstanceAdopting || i.State == proto.InstanceReleasing {
				e.keep(begin, i.Name())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case key := <-ended:
			delete(busy, key)
		case <-changed:
			sleep(ctx, gather)
		}
	}
}

func (e *Executor) walk(begin func(string, func(context.Context)), id string) {
	begin("migration "+id, func(ctx context.Context) {
		w := &walker{Executor: e, id: id, log: e.cfg.Log.With("migration", id)}
		w.run(ctx)
	})
}

func (e *Executor) keep(begin func(string, func(context.Context)), instance string) {
	begin("instance "+instance, func(ctx context.Context) {
		k := &keeper{Executor: e, name: instance, log: e.cfg.Log.With("instance", instance)}
		k.run(ctx)
	})
}

func (e *Executor) lead() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leading, e.since = true, time.Now()
	clear(e.granted)
	clear(e.progress)
}

func (e *Executor) retreat() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leading = false
}

// forget drops what is remembered of a migration that has ended.
func (e *Executor) forget(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.granted, id)
	delete(e.progress, id)
}

// sleep waits, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
