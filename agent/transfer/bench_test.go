package transfer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkFinalRound compares the final round with rsync's last pass over the same data, in turns, and reports the
// ratio of the medians: what a client waits for beside the stop and the start of the service.
// The target of the project is a ratio of at most 0.4.
func BenchmarkFinalRound(b *testing.B) {
	for _, share := range []float64{0, 0.01, 1} {
		b.Run(fmt.Sprintf("changed=%g%%", 100*share), func(b *testing.B) {
			p := newPair(b)
			plain := filepath.Join(filepath.Dir(p.source), "plain") // rsync's own target
			data := filepath.Join(p.source, "appendonly.aof")
			write(b, data, random(60<<20))
			if err := os.Mkdir(plain, 0o755); err != nil {
				b.Fatal(err)
			}
			rsync := func() {
				// Delta and in place, as the scripts do it; a shell stands in for the network, which favours rsync.
				cmd := exec.Command("rsync", "-aHAXS", "--inplace", "--delete", "--no-whole-file",
					"-e", "sh -c 'shift; exec \"$@\"' sh", p.source+"/", "host:"+plain+"/")
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("rsync: %v\n%s", err, out)
				}
			}
			rsync()
			p.must(p.round(Rsync))
			var ours, theirs []time.Duration
			for b.Loop() {
				p.must(p.round(Index)) // before the source is frozen
				change(b, data, share)
				// Armed while the service is being stopped.
				r := p.round(Blocks)
				r.Final = true
				a, err := p.sender.Arm(b.Context(), p.dial(b.Context(), "host-a"), r)
				if err != nil {
					b.Fatal(err)
				}
				begin := time.Now()
				if _, err := a.Run(); err != nil {
					b.Fatal(err)
				}
				ours = append(ours, time.Since(begin))
				p.serving.Wait()

				begin = time.Now()
				rsync()
				theirs = append(theirs, time.Since(begin))
			}
			b.ReportMetric(median(ours).Seconds()*1000, "final-ms")
			b.ReportMetric(median(theirs).Seconds()*1000, "rsync-ms")
			b.ReportMetric(median(ours).Seconds()/median(theirs).Seconds(), "ratio")
		})
	}
}

// change appends and rewrites so that the given share of a file is new, in the way of an append-only file in use.
func change(b *testing.B, path string, share float64) {
	b.Helper()
	if share == 0 {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	n := int(60 << 20 * share)
	if _, err := f.WriteAt(random(n), 60<<20-int64(n)); err != nil {
		b.Fatal(err)
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
