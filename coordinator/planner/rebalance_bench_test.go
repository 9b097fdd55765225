package planner

import (
	"fmt"
	"testing"
)

// BenchmarkRebalance looks at a fleet of 1,000 hosts with 10 instances each, every tenth of which is full and every tenth empty.
func BenchmarkRebalance(b *testing.B) {
	const hosts, each = 1000, 10
	w := newEvened(b, hosts)
	for h := range hosts {
		cpu := []int64{700, 400, 400, 400, 400, 400, 400, 400, 400, 20}[h%10]
		for i := range each {
			if !w.runs(fmt.Sprintf("i%d-%d", h, i), fmt.Sprintf("h%d", h), cpu+int64(i), 128<<20) {
				b.Fatal("there is no room for it")
			}
		}
	}
	b.ResetTimer()
	for b.Loop() {
		if r := w.look(); len(r.Suggestions) != DefaultSuggested {
			b.Fatalf("%+v", r.Says)
		}
	}
}

// BenchmarkRebalanceOfFew looks at a fleet of 10,000 hosts, of which none but the first ones has anything, and nothing that it could give away.
func BenchmarkRebalanceOfFew(b *testing.B) {
	w := newEvened(b, 10_000)
	for h := range 10 {
		if !w.runs(fmt.Sprintf("i%d", h), fmt.Sprintf("h%d", h), 20, 128<<20) {
			b.Fatal("there is no room for it")
		}
	}
	b.ResetTimer()
	for b.Loop() {
		if r := w.look(); len(r.Suggestions) != 0 || r.Weighed != 10 {
			b.Fatalf("%+v", r.Says)
		}
	}
}
