package collect

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const benched = 50 // instances

// mostOfBare is the most that a round may cost, as a multiple of reading the same files and looking at nothing.
const mostOfBare = 3

// fifty returns a sampler of fifty instances that look like the kernel's.
func fifty(t testing.TB) *Sampler {
	tr := newTree(t)
	var targets []Target
	for i := range benched {
		name := fmt.Sprintf("instance-%02d", i)
		cgroup := "system.slice/" + name + ".service"
		tr.write(cgroup, state{cpu: 123_456_789 + i, periods: 98765, throttledPeriods: 432, throttled: 765_432, stall: 9_876_543, memory: 200 << 20, file: 70 << 20, refaults: 1234, bytes: 1 << 30})
		targets = append(targets, Target{name, cgroup})
	}
	return tracking(t, tr.root, targets)
}

// tracking returns a sampler of targets that has been through its first rounds.
func tracking(t testing.TB, mount string, targets []Target) *Sampler {
	s := New(Config{Cgroups: mount, Net: &traffic{ok: true}})
	t.Cleanup(s.Close)
	s.Track(targets)
	for range 2 * statEvery {
		if _, err := s.instances(0.5); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// bare reads the files that the sampler reads, as often as it reads them, and does nothing else.
func bare(s *Sampler, round int) error {
	for i := range s.tracked {
		g := &s.tracked[i].cgroup
		for f, fd := range g.fd {
			if f == memoryStat && (round+i)%statEvery != 0 {
				continue
			}
			if _, err := unix.Pread(fd, s.buf, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestSamplingAllocatesNextToNothing(t *testing.T) {
	s := fifty(t)
	perRound := testing.AllocsPerRun(100, func() {
		if _, err := s.instances(0.5); err != nil {
			t.Fatal(err)
		}
	})
	// Looking whether a cgroup was replaced takes a path, every statEvery rounds.
	if most := float64(benched) / statEvery; perRound > most {
		t.Errorf("%.1f allocations in a round of %d instances, want at most %.0f", perRound, benched, most)
	}
}

// BenchmarkSampling measures rounds of fifty instances and bare reads of the same files in turns, so that both see
// the same machine, and fails when their ratio is above mostOfBare.
func BenchmarkSampling(b *testing.B) { benchmarkSampling(b, fifty(b)) }

func benchmarkSampling(b *testing.B, s *Sampler) {
	b.ReportAllocs()
	var sampling, reading time.Duration
	for round := 0; b.Loop(); round++ {
		start := time.Now()
		if _, err := s.instances(0.5); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if err := bare(s, round); err != nil {
			b.Fatal(err)
		}
		sampling += middle.Sub(start)
		reading += time.Since(middle)
	}
	ratio := float64(sampling) / float64(reading)
	b.ReportMetric(float64(sampling.Microseconds())/float64(b.N), "sample-µs/round")
	b.ReportMetric(float64(reading.Microseconds())/float64(b.N), "bare-µs/round")
	b.ReportMetric(ratio, "×bare")
	if ratio > mostOfBare {
		b.Errorf("sampling costs %.2f times the bare reads, want at most %d", ratio, mostOfBare)
	}
}

// BenchmarkHost measures the host's part of a round.
func BenchmarkHost(b *testing.B) {
	h := hostReader{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.observe(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
