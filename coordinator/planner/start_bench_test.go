package planner

import (
	"testing"
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
