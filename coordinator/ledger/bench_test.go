package ledger

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// fleet returns a ledger of hosts with reservations of eight segments each; pooled in five resources if asked.
func fleet(b *testing.B, hosts, each int, pooled bool) *Ledger {
	b.Helper()
	l := newLedger(b)
	for i := range hosts {
		name := fmt.Sprintf("host-%05d", i)
		if err := l.SetHost(Capacity{Host: name, Allocatable: resource.Uniform(1 << 40), Ratio: resource.Uniform(1000)}); err != nil {
			b.Fatal(err)
		}
		for j := range each {
			if err := l.Hold(sized(fmt.Sprintf("%s/%d", name, j), name, pooled)); err != nil {
				b.Fatal(err)
			}
		}
	}
	return l
}

func sized(id, host string, pooled bool) proto.Reservation {
	r := proto.Reservation{ID: id, Host: host, Class: proto.Standard, Purpose: proto.PurposeHold}
	for i := range timeline.Time(8) {
		s := proto.Segment{Span: timeline.Span{Start: now + i*7_200_000, End: now + (i+1)*7_200_000}, Firm: resource.Uniform(1000)}
		if pooled {
			for _, k := range []resource.Kind{resource.CPU, resource.ReadIOPS, resource.WriteIOPS, resource.NetTx, resource.NetRx} {
				s.Mean[k], s.Own[k], s.Common[k] = 500, 100, 50
			}
		}
		r.Envelope = append(r.Envelope, s)
	}
	r.Envelope[7].End = timeline.Forever
	return r
}

func BenchmarkScan10000Hosts(b *testing.B) {
	for _, pooled := range []bool{false, true} {
		b.Run(fmt.Sprintf("pooled=%v", pooled), func(b *testing.B) {
			l := fleet(b, 10_000, 1, pooled)
			e := sized("new", "", pooled).Envelope
			for b.Loop() {
				for host, s := range l.Scan(e) {
					if s != nil {
						b.Fatal(host, s)
					}
				}
			}
		})
	}
}

func BenchmarkHoldAndRelease(b *testing.B) {
	for _, pooled := range []bool{false, true} {
		b.Run(fmt.Sprintf("pooled=%v", pooled), func(b *testing.B) {
			l := fleet(b, 100, 20, pooled)
			r := sized("new", "host-00050", pooled)
			for b.Loop() {
				if err := l.Hold(r); err != nil {
					b.Fatal(err)
				}
				if err := l.Release("new"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRoll1000Hosts(b *testing.B) {
	l := fleet(b, 1000, 20, true)
	at := timeline.Time(now)
	for b.Loop() {
		at = at.Add(5 * time.Minute)
		l.Roll(at)
	}
}

// BenchmarkMemory reports what a host costs, and what a reservation on it does.
func BenchmarkMemory(b *testing.B) {
	const hosts, each = 200, 50
	for _, pooled := range []bool{false, true} {
		b.Run(fmt.Sprintf("pooled=%v", pooled), func(b *testing.B) {
			for b.Loop() {
				start := heap()
				empty := fleet(b, hosts, 0, pooled)
				perHost := (heap() - start) / hosts
				runtime.KeepAlive(empty)
				start = heap()
				full := fleet(b, hosts, each, pooled)
				grown := heap() - start
				runtime.KeepAlive(full)
				b.ReportMetric(perHost, "B/host")
				b.ReportMetric((grown-hosts*perHost)/(hosts*each), "B/reservation")
			}
		})
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
