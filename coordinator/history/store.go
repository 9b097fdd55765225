// Package history keeps the time series of what was measured: windows of 10 s for two days, and 5-minute blocks for five weeks.
package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Steps at which history is kept.
const (
	RawStep   = proto.WindowLength * time.Millisecond
	BlockStep = 5 * time.Minute
)

// How long each is kept. Late windows are taken for as long as agents buffer them, old blocks for as long as they are kept.
const (
	rawRetention   = proto.AboveMost
	rawLateness    = 25 * time.Hour
	blockRetention = 5 * 7 * 24 * time.Hour
)

// mostAhead is how far ahead of this coordinator's clock a time may be. What is later is not stored: the engine would take the present of all other instances for too
// old, and delete it.
const mostAhead = 10 * time.Minute

// Metric names a figure that is kept of each resource.
type Metric string

// The figures. The ones of a window are folded over its seconds, the ones of a block over its windows.
const (
	DemandMean Metric = "demand_mean"
	DemandMax  Metric = "demand_max" // the highest second of a window, the highest window maximum of a block
	DemandP95  Metric = "demand_p95" // blocks only: of the windows' maxima
	UsageMean  Metric = "usage_mean"
	UsageMax   Metric = "usage_max"
	Granted    Metric = "granted"   // the allocation at the end; missing where no limit was
	Scheduled  Metric = "scheduled" // what the schedule alone said
	Throttled  Metric = "throttled" // share of the time in which CPU was throttled, 0 to 1; kept for cpu only
)

const (
	labelInstance = "instance"
	labelResource = "resource"
)

// ErrInstance is wrapped when a window or a query names no instance.
var ErrInstance = errors.New("no instance is named")

// Store is the history of the hosts that a coordinator is home or standby to. Its methods may be called concurrently.
type Store struct {
	log   *slog.Logger
	raw   *tsdb.DB
	block *tsdb.DB

	mu        sync.Mutex
	instances map[string]*progress
}

// progress is how far an instance's windows have come, and how far they have been folded into blocks.
type progress struct {
	newest timeline.Time // start of the newest window
	folded timeline.Time // end of the last block folded
}

// Open opens the history under dir, or makes it. Close it.
func Open(dir string, log *slog.Logger) (*Store, error) {
	s := &Store{log: log, instances: map[string]*progress{}}
	var err error
	if s.raw, err = open(filepath.Join(dir, "raw"), log, rawRetention, rawLateness); err != nil {
		return nil, err
	}
	if s.block, err = open(filepath.Join(dir, "block"), log, blockRetention, blockRetention); err != nil {
		return nil, errors.Join(err, s.raw.Close())
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func open(dir string, log *slog.Logger, keep, late time.Duration) (*tsdb.DB, error) {
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = keep.Milliseconds()
	opts.OutOfOrderTimeWindow = late.Milliseconds()
	opts.MaxBlockDuration = max(opts.MinBlockDuration, keep.Milliseconds()/10)
	opts.StripeSize = 1 << 10 // the default, 16384, costs megabytes that a small fleet does not need
	db, err := tsdb.Open(dir, log.With("component", "history"), nil, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("open history %s: %w", dir, err)
	}
	return db, nil
}

// Close writes what is buffered and closes the store.
func (s *Store) Close() error { return errors.Join(s.raw.Close(), s.block.Close()) }

// Dated reports whether a window is of a time that Append should be given now: no older than what is kept, and hardly ahead. How late a window is counts
// from the newest of all instances: one that is far ahead makes those of all others too late, and what is stored too old to be kept.
func Dated(w proto.Window, now timeline.Time) bool {
	return w.Start > now.Add(-rawRetention) && w.Start <= now.Add(mostAhead)
}

// Append stores windows durably. A window that is stored already is skipped; one that is older than the store takes is
// dropped and counted in late, and one that is yet to come, of a host whose clock is wrong, is dropped and logged.
func (s *Store) Append(ctx context.Context, windows []proto.Window) (late int, err error) {
	app := s.raw.Appender(ctx)
	w := newWriter(app)
	early, whose := 0, ""
	for i := range windows {
		win := &windows[i]
		if win.Instance == "" {
			return 0, errors.Join(fmt.Errorf("window %d: %w", i, ErrInstance), app.Rollback())
		}
		if win.Start > w.latest {
			early, whose = early+1, win.Instance
			continue
		}
		w.vector(win.Instance, DemandMean, win.Start, win.Demand.Mean)
		w.vector(win.Instance, DemandMax, win.Start, win.Demand.Max)
		w.vector(win.Instance, UsageMean, win.Start, win.Usage.Mean)
		w.vector(win.Instance, UsageMax, win.Start, win.Usage.Max)
		w.limits(win.Instance, Granted, win.Start, win.Granted)
		w.limits(win.Instance, Scheduled, win.Start, win.Scheduled)
		w.put(win.Instance, Throttled, resource.CPU, win.Start, float64(win.Throttled)/proto.WindowLength)
		for _, s := range win.Signals {
			w.signal(win.Instance, s.Name, win.Start, s.Value)
		}
	}
	if w.err != nil {
		return 0, errors.Join(fmt.Errorf("store windows: %w", w.err), app.Rollback())
	}
	if err := app.Commit(); err != nil {
		return 0, fmt.Errorf("store windows: %w", err)
	}
	if early > 0 {
		s.log.Warn("samples of a time that is yet to come are not stored: set the clock of their host right, or this coordinator's", "instance", whose, "windows", early)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range windows {
		if windows[i].Start > w.latest {
			continue
		}
		p := s.progress(windows[i].Instance, windows[i].Start)
		p.newest = max(p.newest, windows[i].Start)
	}
	return w.late, nil
}

// Newest returns the start of the newest window of an instance; 0 if there is none.
func (s *Store) Newest(instance string) timeline.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.instances[instance]; p != nil {
		return p.newest
	}
	return 0
}

// progress returns the entry of an instance; a new one starts at the block that holds first. s.mu is held.
func (s *Store) progress(instance string, first timeline.Time) *progress {
	p := s.instances[instance]
	if p == nil {
		p = &progress{folded: first.Floor(BlockStep)}
		s.instances[instance] = p
	}
	return p
}

// writer appends samples and keeps the first error that matters. It leaves out what is later than latest.
type writer struct {
	app    storage.Appender
	latest timeline.Time
	late   int
	err    error
}

func newWriter(app storage.Appender) writer {
	return writer{app: app, latest: timeline.Of(time.Now()).Add(mostAhead)}
}

func (w *writer) vector(instance string, m Metric, at timeline.Time, v resource.Vector) {
	for k, n := range v {
		w.put(instance, m, resource.Kind(k), at, float64(n))
	}
}

// limits stores the amounts that are limits.
func (w *writer) limits(instance string, m Metric, at timeline.Time, v resource.Vector) {
	for k, n := range v {
		if n < resource.Unlimited {
			w.put(instance, m, resource.Kind(k), at, float64(n))
		}
	}
}

// put stores an amount. What can't be one is left out: it would be in the way of every forecast.
func (w *writer) put(instance string, m Metric, k resource.Kind, at timeline.Time, v float64) {
	if !(v >= 0 && v <= float64(resource.Unlimited)) {
		return
	}
	w.append(labels.FromStrings(labels.MetricName, string(m), labelInstance, instance, labelResource, k.String()), at, v)
}

func (w *writer) append(l labels.Labels, at timeline.Time, v float64) {
	if w.err != nil || at > w.latest {
		return
	}
	_, err := w.app.Append(0, l, int64(at), v)
	switch {
	case err == nil, errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
		w.late++
	default:
		w.err = err
	}
}
