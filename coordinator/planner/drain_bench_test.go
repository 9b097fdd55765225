package planner

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkDrain plans how 50 instances leave a host in a fleet of 1,000 others, and finds that not all can. It reports the CPU time of all threads.
//
//   - all: every host has 50 reservations, and room.
//   - five: five of them find no room, but would on any host that were empty; by the deadline nothing changes that.
//   - all stay: the same of all fifty.
//   - wires: there is room for all on every host, but what is left of the links takes no transfer of five of them in time.
func BenchmarkDrain(b *testing.B) {
	for _, c := range []struct {
		name string
		in   func(*testing.B) DrainInput
		stay int
	}{
		{"all", roomyDrain, 0},
		{"five", func(b *testing.B) DrainInput { return tightDrain(b, 5) }, 5},
		{"all stay", func(b *testing.B) DrainInput { return tightDrain(b, 50) }, 50},
		{"wires", slowDrain, 5},
	} {
		b.Run(c.name, func(b *testing.B) {
			in := c.in(b)
			before, n := spent(b), 0
			for b.Loop() {
				p, blocked, err := Drain(in)
				if err != nil || (blocked == nil) != (c.stay == 0) || len(p.Stays) != c.stay {
					b.Fatal(err, len(p.Stays), len(p.Moves), blocked)
				}
				n++
			}
			b.ReportMetric(float64(spent(b)-before)/float64(n), "cpu-ns/op")
		})
	}
}

// roomyDrain is a drain in a fleet that has room for it.
func roomyDrain(b *testing.B) DrainInput {
	w := newFleet(b, 64_000)
	for i := range 50 {
		w.run(fmt.Sprintf("i-%02d", i), "host-a", int64(200+i*7))
	}
	large(w, 1000, 50)
	in := w.drain("host-a")
	in.Of = func(string) MovingFigures { return MovingFigures{Data: 8 << 30, Forecast: uneven()} }
	return in
}

// tightDrain is a drain of which so many find no room, as each host has an instance that could be moved.
func tightDrain(b *testing.B, stay int) DrainInput {
	w := newFleet(b, 2_000_000)
	for i := range 50 {
		cpu := int64(200 + i*7)
		if i < stay {
			cpu = int64(30_000 + i)
		}
		w.run(fmt.Sprintf("i-%02d", i), "host-a", cpu)
	}
	large(w, 1000, 20)
	for i := range 1000 {
		w.run(fmt.Sprintf("other-%d", i), fmt.Sprintf("node-%05d", i), 25_000)
	}
	in := w.drain("host-a")
	in.Of = func(string) MovingFigures { return MovingFigures{Data: 8 << 30} }
	in.Deadline = begin.Add(24 * time.Hour)
	return in
}

// slowDrain is a drain of which some have more data than can be moved by the deadline.
func slowDrain(b *testing.B) DrainInput {
	in := roomyDrain(b)
	in.Deadline = begin.Add(24 * time.Hour)
	in.Of = func(instance string) MovingFigures {
		f := MovingFigures{Data: 8 << 30, Forecast: uneven()}
		if instance < "i-05" {
			f.Data = 1 << 50
		}
		return f
	}
	return in
}
