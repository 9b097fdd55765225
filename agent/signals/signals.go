// Package signals scrapes the figures that instances' applications expose in Prometheus' text format.
package signals

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	// Every is how often signals are scraped: once in each window.
	Every = proto.WindowLength * time.Millisecond

	atOnce  = 4           // pages that are fetched at a time
	longest = time.Minute // between two values of a counter, for their difference to say what its rate is now
)

// Config is what a scraper needs.
type Config struct {
	Now    func() timeline.Time            // the coordinators' time
	Wanted func() []proto.InstanceSpec     // instances that run here and whose signals are to be scraped
	Allow  func(signal proto.Signal) error // refuses what may not be fetched here
	Meter  func(err error)                 // is told of each signal that was looked at, and why it could not be read
	Log    *slog.Logger
}

// Scraper scrapes the signals of a host's instances. Its methods may be called concurrently.
type Scraper struct {
	cfg    Config
	client *http.Client
	seed   maphash.Seed // of series' hashes: nobody can make labels that collide

	mu       sync.Mutex
	readings map[string][]reading // by instance, in the order of its spec
}

// reading is what is known of a signal.
type reading struct {
	signal proto.Signal
	series map[uint64]float64 // of a counter, as they were last
	at     time.Time          // of series; zero: there are none
	state  proto.SignalState
	taken  bool // the value of state is in a window, or there is none
}

// New returns a scraper; Run makes it work.
func New(cfg Config) *Scraper {
	return &Scraper{cfg: cfg, client: newClient(new(net.Dialer).DialContext), seed: maphash.MakeSeed(), readings: map[string][]reading{}}
}

// Run scrapes until ctx ends. What can't be read is a sample that is missing, and no error.
func (s *Scraper) Run(ctx context.Context) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		s.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// page is a URL with the signals of one instance that are there.
type page struct {
	instance, url string
	signals       []proto.Signal
}

// round scrapes everything once.
func (s *Scraper) round(ctx context.Context) {
	pages := s.begin()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, p := range pages {
		group.Go(func() error {
			got, faults, at, err := s.fetch(ctx, p.url, p.signals)
			if ctx.Err() == nil {
				s.took(p, got, faults, at, err)
			}
			return nil
		})
	}
	_ = group.Wait() // which has no error to tell
}

// begin brings what is known in line with what is wanted, and returns what is to be fetched.
func (s *Scraper) begin() []page {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pages []page
	next := map[string][]reading{}
	for _, spec := range s.cfg.Wanted() {
		before := s.readings[spec.Name]
		problems := spec.SignalProblems()
		for i, signal := range spec.Signals {
			if i == proto.MaxSignals {
				break
			}
			r := reading{signal: signal, taken: true, state: proto.SignalState{Name: signal.Name}}
			if j := slices.IndexFunc(before, func(old reading) bool { return reflect.DeepEqual(old.signal, signal) }); j >= 0 {
				r = before[j]
			}
			var err error = &proto.Fault{Code: proto.FaultRefused, What: strings.Join(problems, "; "), Remedy: "mend the instance's file and apply it again"}
			if len(problems) == 0 {
				err = s.cfg.Allow(signal)
			}
			if err != nil {
				s.fault(spec.Name, &r, err)
			} else if j := slices.IndexFunc(pages, func(p page) bool { return p.instance == spec.Name && p.url == signal.URL }); j >= 0 {
				pages[j].signals = append(pages[j].signals, signal)
			} else {
				pages = append(pages, page{spec.Name, signal.URL, []proto.Signal{signal}})
			}
			next[spec.Name] = append(next[spec.Name], r)
		}
	}
	s.readings = next
	return pages
}

// fault notes why a signal is not read, and logs it once. s.mu is held.
func (s *Scraper) fault(instance string, r *reading, err error) {
	s.cfg.Meter(err)
	text := words(err)
	if r.state.Fault != text {
		s.cfg.Log.Warn("a signal can't be read", "instance", instance, "signal", r.signal.Name, "url", r.signal.URL, "error", text)
	}
	r.state.Fault, r.series, r.at = text, nil, time.Time{}
}

// took takes in what came of a page.
func (s *Scraper) took(p page, got []found, faults []error, at time.Time, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, signal := range p.signals {
		j := slices.IndexFunc(s.readings[p.instance], func(r reading) bool { return reflect.DeepEqual(r.signal, signal) })
		if j < 0 {
			continue
		}
		r, err := &s.readings[p.instance][j], failed
		if err == nil {
			err = faults[i]
		}
		if err != nil {
			s.fault(p.instance, r, err)
			continue
		}
		s.cfg.Meter(nil)
		if r.state.Fault != "" {
			s.cfg.Log.Info("a signal can be read again", "instance", p.instance, "signal", signal.Name)
		}
		r.state.Fault = ""
		if v, ok := r.next(got[i], at); ok {
			r.state.Value, r.state.At, r.taken = v, s.cfg.Now(), false
		}
	}
}

// next returns what was found at a time says: the sum of what a gauge's series are, and of the rates of a counter's. A series of which nothing was known says nothing
// of its rate, nor does one that is gone, so that the counter does not jump with them. A counter says nothing where none of its series was known before,
// and where one has fallen: the application has begun anew.
func (r *reading) next(f found, at time.Time) (float64, bool) {
	if r.signal.Kind != proto.SignalCounter {
		return f.total, true
	}
	before, over, known := r.series, at.Sub(r.at), !r.at.IsZero()
	r.series, r.at = f.series, at
	if !known || over <= 0 || over > longest {
		return 0, false
	}
	rise, same := 0.0, false
	for key, value := range f.series {
		was, ok := before[key]
		if ok && value < was {
			return 0, false
		}
		if ok {
			rise, same = rise+(value-was), true
		}
	}
	rate := rise / over.Seconds()
	return rate, same && rate <= proto.MostSignal
}

// Fill adds to windows what was read since the last ones: each value goes to the newest window of its instance that had begun by then.
func (s *Scraper) Fill(windows []proto.Window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for instance, readings := range s.readings {
		for i := range readings {
			r := &readings[i]
			if r.taken {
				continue
			}
			var to *proto.Window
			for j := range windows {
				if w := &windows[j]; w.Instance == instance && w.Start <= r.state.At && (to == nil || w.Start > to.Start) {
					to = w
				}
			}
			if to != nil {
				to.Signals = append(to.Signals, proto.SignalSample{Name: r.signal.Name, Value: r.state.Value})
				r.taken = true
			}
		}
	}
	for i := range windows {
		slices.SortFunc(windows[i].Signals, func(a, b proto.SignalSample) int { return strings.Compare(a.Name, b.Name) })
	}
}

// States returns how scraping the signals of an instance goes, in the order of its spec.
func (s *Scraper) States(instance string) []proto.SignalState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []proto.SignalState
	for _, r := range s.readings[instance] {
		out = append(out, r.state)
	}
	return out
}
