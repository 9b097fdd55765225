package planner

import (
	"fmt"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// BenchmarkBestStart plans one move to one host at the best of all starts of the grid.
func BenchmarkBestStart(b *testing.B) {
	w := newWorld(b)
	var writes, cpu []int64
	for i := range GridSteps / 12 {
		writes = append(writes, repeat(12, int64(i%7)<<20)...)
		cpu = append(cpu, repeat(12, int64(i%5)*100)...)
	}
	f := busy(writes, cpu)
	for b.Loop() {
		if _, err := w.timed(Request{Best: true, LeastGain: DefaultLeastGain}, f, 2<<30); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBestStartAnywhere plans one move at the best of all starts over 10,000 hosts, from a host with a link as wide as a transfer may use, and from one whose
// link makes every move slow.
func BenchmarkBestStartAnywhere(b *testing.B) {
	w := newWorld(b)
	large(w, 10_000, 50)
	for _, narrow := range []bool{false, true} {
		b.Run(fmt.Sprintf("narrow=%v", narrow), func(b *testing.B) {
			if narrow {
				w.must(&proto.HostSet{Host: "host-a", Reduced: timeline.Flat(timeline.Span{Start: begin, End: timeline.Forever}, resource.Vector{resource.NetTx: 900 * mbit})})
			}
			in := plans(w)
			in.Request.Best, in.Request.LeastGain = true, DefaultLeastGain
			for b.Loop() {
				if _, err := Make(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
