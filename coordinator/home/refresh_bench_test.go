package home

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/history"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/traces"
)

// What BenchmarkHour does.
const (
	refreshPerHost = 10
	refreshStored  = 24 // instances with a history of their own; the others have one of theirs
	refreshHistory = learnFrom + forecast.LearnEvery
)

// shared is a real history in which many instances have one between them: storing it takes longer than all that is measured.
type shared struct {
	*history.Store
	stored int
}

func (s shared) Demand(ctx context.Context, instance string, span timeline.Span, highest bool) (forecast.History, error) {
	var n int
	if _, err := fmt.Sscanf(instance, "i-%05d", &n); err != nil {
		return forecast.History{}, nil // a host's own use
	}
	return s.Store.Demand(ctx, storedName(n%s.stored), span, highest)
}

func storedName(n int) string { return fmt.Sprintf("i-%05d", n) }

// storedFleet stores a history of four weeks, and of two hours after now, of all resources.
func storedFleet(b *testing.B, stored int, now timeline.Time) shared {
	b.Helper()
	store, err := history.Open(b.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	patterns := traces.Patterns()
	for i := range stored {
		trace, err := traces.Generate(traces.Spec{
			Seed: uint64(i), Start: now.Add(-refreshHistory), Length: refreshHistory + 2*time.Hour, Pattern: patterns[i%len(patterns)], Shapes: traces.Redis(),
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := store.Import(b.Context(), storedName(i), forecast.History{}, trace.History); err != nil {
			b.Fatal(err)
		}
	}
	return shared{store, stored}
}

// instances puts so many more instances into the world, on hosts of their own.
func (w *world) instances(n int) {
	room := resource.Vector{64_000, 256 << 30, 1e6, 1e6, 64 << 30, 64 << 30, 1e11, 1e11}
	kind, _ := w.view().Type("m.large")
	sizing := planner.NewSizing(proto.Standard, kind, proto.Application{}, proto.DefaultPolicy())
	cold := sizing.Cold(planner.Grid(timeline.Of(time.Now()), grid))
	allocation, _ := sizing.Allocation(cold)
	for i := range n {
		host := fmt.Sprintf("h-%05d", i/refreshPerHost)
		if i%refreshPerHost == 0 {
			w.must(&proto.HostRegister{Incarnation: w.view().Fleet().Incarnation, Facts: proto.HostFacts{
				Name: host, MachineID: "m-" + host, BootID: "b", Capacity: room, Allocatable: room,
				Controllers: []string{"cpu", "io", "memory"}, SyncAddr: host + ":7647",
			}})
			w.must(&proto.HostHome{Host: host, Home: "c1", Standby: "c2"})
		}
		name := storedName(i)
		w.must(&proto.InstanceApply{Envelope: sizing.Envelope(allocation, cold), Floor: sizing.Floor, Spec: proto.InstanceSpec{
			Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"},
			Host: host, Type: kind.Name, Class: proto.Standard, Mode: proto.Enforce, Application: "redis",
		}})
		added, _ := w.view().Instance(name)
		w.must(&proto.InstanceAdopted{Instance: name, Fence: added.Fence})
	}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// held returns the bytes that are in use.
func held() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkHour measures what a home does in an hour for instances whose models it has: the round in which each is trained anew, scored, and
// its document and reservation derived, and the rounds at the later steps of the grid. History, scorecards and tables are real; agents are
// played, and there is one for each host.
//
// It is called with -benchtime=Nx: an hour of N instances.
func BenchmarkHour(b *testing.B) {
	w := newWorld(b, proto.Standard)
	began := timeline.Of(time.Now()).Add(-3 * time.Hour).Floor(grid)
	n := b.N
	w.instances(n)
	store := storedFleet(b, min(n, refreshStored), began)
	var hosts []string
	for host := range w.view().Hosts() {
		if host.Facts.Name != "host-a" && host.Facts.Name != "host-b" {
			hosts = append(hosts, host.Facts.Name)
		}
	}
	h := New(Config{
		Name: "c1", View: w.view, Store: store, Online: func() []string { return hosts }, Propose: w.propose, Meter: &w.meter,
		Call: func(_ context.Context, _, _ string, body []byte) ([]byte, error) {
			var d proto.Document
			if err := proto.Unmarshal(body, &d); err != nil {
				return nil, err
			}
			return proto.Marshal(d.Version)
		},
		Log: slog.New(slog.DiscardHandler), Cards: w.cards, Copy: func(context.Context, proto.Scorecard) error { return nil },
		Silent: func(context.Context) map[string]timeline.Time { return nil }, DataBytes: func(context.Context, string) (int64, error) { return 0, nil },
	})
	// The models that an hour begins with. While they are made the store puts its history into blocks, which is no part of an hour.
	h.round(b.Context(), w.view(), began)
	trained := w.meter.trained.Load()
	if trained < int64(n) {
		b.Fatalf("%d of %d models are there", trained, n)
	}

	hour := began.Add(time.Hour)
	var refresh, steps, waited time.Duration
	b.ResetTimer()
	for at := hour; at < hour.Add(time.Hour); at = at.Add(grid) {
		before, clock := cpuTime(b), time.Now()
		h.round(b.Context(), w.view(), at)
		took := cpuTime(b) - before
		waited += time.Since(clock)
		if at == hour {
			refresh = took
			if again := w.meter.trained.Load() - trained; again < int64(n) {
				b.Fatalf("%d of %d models were trained anew after an hour", again, n)
			}
			continue
		}
		steps += took
	}
	b.StopTimer()
	with := held()
	clear(h.models)
	series := float64(n * int(resource.Kinds))
	each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(n) }
	b.ReportMetric((with-held())/series, "B/series")
	b.ReportMetric(each(refresh), "refresh-ms")
	b.ReportMetric(each(steps), "steps-ms")
	b.ReportMetric(each(waited), "wall-ms")
	b.ReportMetric(float64(w.meter.trained.Load()-trained)/float64(n), "trainings")
	b.ReportMetric(float64(w.meter.pushed.Load())/float64(n), "documents")
}
