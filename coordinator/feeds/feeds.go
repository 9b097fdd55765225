// Package feeds follows calendars by their URLs: it fetches each when it is due, and proposes what changed of its events.
package feeds

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Result is what came of a poll, as metrics count it.
type Result string

// The results of a poll.
const (
	Changed   Result = "changed"   // events changed by it
	Unchanged Result = "unchanged" // none did
	Failed    Result = "failed"    // nothing was read
)

// Config is what following calendars needs of a coordinator.
type Config struct {
	View    func() *state.View
	Propose func(ctx context.Context, body proto.Body) error // its error is a *proto.Refusal when the answer is no
	Polled  func(Result)
	Fetcher *Fetcher
	Log     *slog.Logger
}

// Feeds follows the fleet's calendars. Only the leader runs it, one Run at a time; should two leaders do for a moment, the second finds nothing to change.
type Feeds struct {
	cfg   Config
	read  func(ctx context.Context, c proto.Calendar, body []byte, now timeline.Time) ([]proto.Event, error)
	tried map[string]try // in this life, also where what came of it could not be committed
}

// try is a poll that was begun.
type try struct {
	revision uint64 // of what was registered
	at       timeline.Time
}

// New returns what follows the calendars.
func New(cfg Config) *Feeds { return &Feeds{cfg: cfg, read: read, tried: map[string]try{}} }

const (
	lookEvery   = 5 * time.Second  // how often it is looked for calendars that are due
	atOnce      = 2                // calendars that are polled at a time: what one has takes memory while it is read
	restAfter   = 15 * time.Minute // that none is polled for after its events changed: forecasts of all that they touch are made anew
	backoffMost = 6 * time.Hour    // that a calendar which fails is polled after, unless it is to be polled less often than that
	wholeEvery  = 24 * time.Hour   // how often all of one is read, though it is unchanged: its events come into the time that counts day by day
)

// Run polls what is due until ctx ends.
func (f *Feeds) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		f.look(ctx, timeline.Of(time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look polls the calendars that are due, and returns when that has ended.
func (f *Feeds) look(ctx context.Context, now timeline.Time) {
	var polls errgroup.Group
	polls.SetLimit(atOnce)
	there := map[string]try{}
	for c := range f.cfg.View().Calendars() {
		last := f.tried[c.Name]
		if last.revision != c.Revision {
			last = try{}
		}
		if due(c, last.at, now) {
			last = try{c.Revision, now}
			polls.Go(func() error {
				f.poll(ctx, c, now)
				return nil
			})
		}
		there[c.Name] = last
	}
	f.tried = there
	_ = polls.Wait() // a poll that fails is told in its calendar
}

// due reports whether a calendar is to be polled that was tried last at a time, 0 for never, beside what its record says.
func due(c proto.Calendar, tried, now timeline.Time) bool {
	last := tried
	if at := c.Polled.At; at <= now { // else it was written by a clock that was wrong
		last = max(last, at)
	}
	if last == 0 {
		return true
	}
	if at := c.Polled.ChangedAt; at <= now && now.Sub(at) < restAfter {
		return false
	}
	wait := time.Duration(c.Every) * time.Millisecond
	most := max(wait, backoffMost)
	for range min(c.Polled.Failures-1, 20) {
		wait = min(2*wait, most)
	}
	return last.Add(wait+jitter(c.Name, last, wait)) <= now
}

// jitter returns up to a tenth of a wait, another one each time, so that calendars of one server are not all fetched at once.
func jitter(name string, last timeline.Time, wait time.Duration) time.Duration {
	h := fnv.New32a()
	h.Write(strconv.AppendInt([]byte(name), int64(last), 10))
	return wait / 10 * time.Duration(h.Sum32()%1000) / 1000
}

// poll fetches a calendar and proposes what came of it.
func (f *Feeds) poll(ctx context.Context, c proto.Calendar, now timeline.Time) {
	result, err := f.follow(ctx, c, now)
	if ctx.Err() != nil {
		return // deposed: the next leader polls
	}
	var refusal *proto.Refusal
	switch {
	case errors.As(err, &refusal) && (refusal.Result.Code == proto.ResultStale || refusal.Result.Code == proto.ResultNotFound):
		return // it was changed or removed meanwhile
	case err != nil:
		f.cfg.Log.Warn("what came of polling a calendar could not be committed", "calendar", c.Name, "error", err)
		result = Failed
		// So that it is seen where calendars are looked at, and is not tried as often again.
		what := plain("what was read could not be committed: " + without(err.Error(), c.URL))
		if err := f.cfg.Propose(ctx, &proto.CalendarPoll{Calendar: c.Name, Revision: c.Revision, Error: what}); err != nil {
			f.cfg.Log.Warn("that a calendar fails could not be committed either", "calendar", c.Name, "error", err)
		}
	}
	f.cfg.Polled(result)
}

// guarded reads a calendar, and takes a panic for an error: a file from outside ends no coordinator. What it panics with may be of the file, and is not told.
func (f *Feeds) guarded(ctx context.Context, c proto.Calendar, body []byte, now timeline.Time) (found []proto.Event, err error) {
	defer func() {
		if recover() != nil {
			found, err = nil, faultf("it can't be read: something in it makes reading it fail")
		}
	}()
	return f.read(ctx, c, body, now)
}

// follow fetches a calendar, and proposes how its events change; or why they do not.
func (f *Feeds) follow(ctx context.Context, c proto.Calendar, now timeline.Time) (Result, error) {
	etag, modified := c.Polled.ETag, c.Polled.LastModified
	if c.Polled.ReadAt == 0 || c.Polled.ReadAt > now || now.Sub(c.Polled.ReadAt) >= wholeEvery {
		etag, modified = "", ""
	}
	answer, err := f.cfg.Fetcher.fetch(ctx, c.URL, etag, modified)
	if err == nil && answer.unchanged {
		return Unchanged, f.cfg.Propose(ctx, &proto.CalendarPoll{Calendar: c.Name, Revision: c.Revision, Unchanged: true})
	}
	var found []proto.Event
	if err == nil {
		found, err = f.guarded(ctx, c, answer.body, now)
	}
	if ctx.Err() != nil {
		return Failed, ctx.Err()
	}
	if err != nil {
		what := words(err, c.URL)
		if c.Polled.Error != what {
			f.cfg.Log.Warn("a calendar could not be followed: its events stay as they are", "calendar", c.Name, "error", what)
		}
		return Failed, f.cfg.Propose(ctx, &proto.CalendarPoll{Calendar: c.Name, Revision: c.Revision, Error: what})
	}
	last := proto.CalendarPoll{Calendar: c.Name, Revision: c.Revision, ETag: answer.etag, LastModified: answer.modified, Events: len(found)}
	for _, body := range parts(last, difference(f.cfg.View(), c, found, now)) {
		if err := f.cfg.Propose(ctx, body); err != nil {
			return Failed, err
		}
	}
	if is, _ := f.cfg.View().Calendar(c.Name); is.Polled.ChangedAt != c.Polled.ChangedAt {
		return Changed, nil
	}
	return Unchanged, nil
}
