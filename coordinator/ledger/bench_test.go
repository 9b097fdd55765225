package ledger

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"golang.org/x/sys/unix"
)

// large has the growth measured up to 100,000 hosts, which takes some gigabytes.
var large = flag.Bool("large", false, "measure ledgers of 100,000 hosts, too")

// each is how many reservations there are on a host, and segments how many there are in one.
const (
	each     = 50
	segments = 6
)

// A host of the fleet, which fifty instances all but fill, and the demand of an instance at its peak.
var (
	hostSize = resource.Vector{20_000, 200 << 30, 45_000, 36_000, 900 << 20, 800 << 20, 5_000_000_000, 6_000_000_000}
	instance = resource.Vector{700, 5 << 30, 1500, 1200, 30 << 20, 25 << 20, 150_000_000, 200_000_000}
)

// typical returns a reservation as the planner makes them of forecasts, with peaks at one time of the day or another: memory firm,
// a little of everything else, too, and the rest of it pooled.
func typical(i int, id, host string) proto.Reservation {
	r := proto.Reservation{ID: id, Host: host, Instance: "shop/web-" + id, Class: proto.Standard, Purpose: proto.PurposeInstance, Floor: instance.Scale(1, 10)}
	for j := range segments {
		at := timeline.Time(now) + timeline.Time(j)*7_200_000
		s := proto.Segment{Span: timeline.Span{Start: at, End: at + 7_200_000}}
		share := int64(50 + (i*131+j*37)%51) // of a hundred
		for k, n := range instance {
			n = n * share / 100
			if kind := resource.Kind(k); kind == resource.Memory {
				s.Firm[k] = n
			} else {
				s.Firm[k], s.Mean[k], s.Own[k], s.Common[k] = n/10, n/2, n/7, n/21
			}
		}
		r.Envelope = append(r.Envelope, s)
	}
	r.Envelope[segments-1].End = timeline.Forever
	return r
}

// fleet returns a ledger of hosts that are more or less full.
func fleet(tb testing.TB, hosts, each int) *Ledger {
	tb.Helper()
	l := newLedger(tb)
	list := make([]proto.Reservation, 0, hosts*each)
	for i := range hosts {
		name := fmt.Sprintf("host-%06d", i)
		if err := l.SetHost(Capacity{Host: name, Allocatable: hostSize.Scale(int64(110+i%50), 100), Ratio: resource.Uniform(1000)}); err != nil {
			tb.Fatal(err)
		}
		for j := range each {
			list = append(list, typical(i+j, fmt.Sprintf("%06d-%02d", i, j), name))
		}
	}
	if err := l.Restore(list); err != nil {
		tb.Fatal(err)
	}
	for name := range l.Hosts() {
		if s := l.Short(name); s != nil {
			tb.Fatal(s)
		}
	}
	return l
}

// BenchmarkScan asks all hosts for one envelope, and for one that is as large as six, for which many have no room or hardly any.
// BenchmarkScan/weigh weighs the small one on all.
func BenchmarkScan(b *testing.B) {
	l := fleet(b, 10_000, each)
	e := typical(7, "new", "").Envelope
	six := typical(7, "new", "").Envelope
	for i := range six {
		for _, v := range parts(&six[i]) {
			*v = v.Scale(6, 1)
		}
	}
	for name, e := range map[string]proto.Envelope{"one": e, "six": six} {
		b.Run(name, func(b *testing.B) {
			fits := 0
			repeat(b, func() {
				fits = 0
				for _, s := range l.Scan(e) {
					if s == nil {
						fits++
					}
				}
			})
			b.ReportMetric(float64(fits), "fit")
		})
	}
	b.Run("weigh", func(b *testing.B) {
		repeat(b, func() {
			l.Weigh(e, func(_ string, f Fit) bool { return f.Tightest >= 0 })
		})
	})
}

// BenchmarkBesideTwin has one question and one change asked of a ledger of 10,000 hosts, and of the dumb twin, which adds up again
// the host that it is asked about and knows no other.
func BenchmarkBesideTwin(b *testing.B) {
	l := fleet(b, 10_000, each)
	const host = "host-000048"
	r := typical(7, "new", host)
	w := &twin{
		z: l.z, now: timeline.Time(now), step: 5 * time.Minute, held: map[string]proto.Reservation{},
		caps: map[string]Capacity{host: {Host: host, Allocatable: hostSize.Scale(158, 100), Ratio: resource.Uniform(1000)}},
	}
	for _, r := range l.On(host) {
		w.held[r.ID] = r
	}
	c := Change{Hold: []proto.Reservation{r}}
	b.Run("fits", func(b *testing.B) {
		repeat(b, func() {
			if err := l.Fits(c); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("fits/twin", func(b *testing.B) {
		repeat(b, func() {
			if _, s := w.try(c); s != nil {
				b.Fatal(s)
			}
		})
	})
	b.Run("hold and release", func(b *testing.B) {
		repeat(b, func() {
			if err := l.Hold(r); err != nil {
				b.Fatal(err)
			}
			if err := l.Release(r.ID); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("hold and release/twin", func(b *testing.B) {
		repeat(b, func() {
			for _, c := range []Change{c, {Release: []string{r.ID}}} {
				held, s := w.try(c)
				if s != nil {
					b.Fatal(s)
				}
				w.held = held
			}
		})
	})
}

// BenchmarkRoll moves the grid by a base step, and by a coarse one at once, which splits one on every host, with a clone taken before each
// as views of the tables are. BenchmarkRoll/ahead is how it is done as time goes by: what a command takes longer before a split, and the split.
func BenchmarkRoll(b *testing.B) {
	l := fleet(b, 10_000, each)
	for _, split := range []bool{false, true} {
		b.Run(fmt.Sprintf("split=%v", split), func(b *testing.B) {
			l := l.Clone()
			l.Roll(l.Start().Floor(30 * time.Minute).Add(35 * time.Minute)) // just after a split
			repeat(b, func() {
				view := l.Clone()
				if split {
					l.Roll(l.Start().Add(30 * time.Minute))
				} else {
					view.Roll(l.Start().Add(5 * time.Minute))
				}
			})
		})
	}
	b.Run("ahead", func(b *testing.B) {
		l, calls, splits := l.Clone(), 0, 0
		var ahead, split time.Duration
		for b.Loop() {
			view := l.Clone()
			next := l.layout.next().base
			for begun := used(b); len(l.ahead.hosts) < l.hosts.Len(); calls++ {
				l.Roll(next - aheadSteps*l.layout.step)
				now := used(b)
				ahead, begun = ahead+now-begun, now
			}
			begun := used(b)
			l.Roll(next)
			split += used(b) - begun
			splits++
			runtime.KeepAlive(view)
		}
		b.ReportMetric(float64(ahead)/float64(calls), "ahead-ns/call")
		b.ReportMetric(float64(split)/float64(splits), "split-ns/op")
	})
}

// BenchmarkAfterView holds and releases on a host that a view has, too, so that it is copied first.
func BenchmarkAfterView(b *testing.B) {
	l := fleet(b, 1_000, each)
	r := typical(7, "new", "host-000048")
	for _, view := range []bool{false, true} {
		b.Run(fmt.Sprintf("view=%v", view), func(b *testing.B) {
			repeat(b, func() {
				if view {
					l.Clone()
				}
				if err := l.Hold(r); err != nil {
					b.Fatal(err)
				}
				if view {
					l.Clone()
				}
				if err := l.Release(r.ID); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkGrowth reports what a host costs, what a reservation on it does, and what a scan takes of each host, in fleets of
// more and more hosts: three figures that are to stay as they are. The largest one has fewer reservations on each host.
func BenchmarkGrowth(b *testing.B) {
	type size struct{ hosts, each int }
	sizes := []size{{1_000, each}, {10_000, each}, {10_000, 5}}
	if *large {
		sizes = append(sizes, size{100_000, 5})
	}
	e := typical(7, "new", "").Envelope
	for _, n := range sizes {
		b.Run(fmt.Sprintf("hosts=%d/each=%d", n.hosts, n.each), func(b *testing.B) {
			for b.Loop() {
				start := heap()
				pooling := fleet(b, n.hosts, 1) // that each host has its pools
				one := heap() - start
				runtime.KeepAlive(pooling)
				start = heap()
				full := fleet(b, n.hosts, n.each)
				perReservation := (heap() - start - one) / float64(n.hosts*(n.each-1))
				began := used(b)
				for range 10 {
					for range full.Scan(e) {
					}
				}
				took := (used(b) - began) / 10
				b.ReportMetric(one/float64(n.hosts)-perReservation, "B/host")
				b.ReportMetric(perReservation, "B/reservation")
				b.ReportMetric(float64(took.Nanoseconds())/float64(n.hosts), "scan-ns/host")
			}
		})
	}
}

// repeat does something again and again, and reports the CPU time that it took: beside others the clock says less.
func repeat(b *testing.B, do func()) {
	b.Helper()
	before, n := used(b), 0
	for b.Loop() {
		do()
		n++
	}
	b.ReportMetric(float64(used(b)-before)/float64(n), "cpu-ns/op")
}

// used returns the CPU time that this process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
