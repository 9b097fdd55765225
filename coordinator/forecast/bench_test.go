package forecast

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// benchmarked returns a series at 5 minutes that ends an hour after midnight.
func benchmarked() Series {
	n := 14*288 + 12
	s := Series{Start: 1_700_000_000_000 - 1_700_000_000_000%86_400_000, Step: 5 * time.Minute, Values: make([]float64, n)}
	seed := uint64(1)
	for i := range s.Values {
		seed = seed*6364136223846793005 + 1442695040888963407
		noise := float64(seed>>11) / (1 << 53)
		s.Values[i] = 300 + 200*math.Sin(2*math.Pi*float64(i)/288) + 80*noise*noise
	}
	return s
}

// BenchmarkOfSeriesSeries48Hours trains on two weeks at 5 minutes and forecasts 48 hours at 5 minutes.
func BenchmarkOfSeriesSeries48Hours(b *testing.B) { benchmarkSeries(b, false) }

// BenchmarkOfSeriesAnHourLater does the same where a model of the hour before is there.
func BenchmarkOfSeriesAnHourLater(b *testing.B) { benchmarkSeries(b, true) }

func benchmarkSeries(b *testing.B, again bool) {
	s := benchmarked()
	opts, err := Options{Maximum: resource.Uniform(1000)}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	var before *learned
	if again {
		m, err := train(resource.CPU, s.Before(s.End().Add(-time.Hour)), nil, opts, nil)
		if err != nil {
			b.Fatal(err)
		}
		before = &m.learned
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := train(resource.CPU, s, nil, opts, before)
		if err != nil {
			b.Fatal(err)
		}
		if v := m.values(&Model{opts: opts}, resource.CPU, s.End(), 576); v[3][575] <= 0 {
			b.Fatal("no forecast")
		}
	}
}

// BenchmarkTrainBesideSignals trains on four weeks of eight resources that follow so many signals: from scratch, and where a model of the hour before is there.
func BenchmarkTrainBesideSignals(b *testing.B) {
	const n, whole = 28*perDay + perDay/24, 28 * perDay
	requests := crowd(29, 1)
	var h History
	for k := range h {
		h[k] = Series{Start: monday, Step: step, Values: servedLater(requests, uint64(k)+2)[:n]}
	}
	for _, count := range []int{0, 1, 4} {
		opts := one()
		for i := range count {
			values := noise(n, uint64(i)+20)
			for j := range values {
				values[j] = max(0, requests[j]+5*values[j])
			}
			opts.Signals = append(opts.Signals, Signal{fmt.Sprint(i), Series{Start: monday, Step: step, Values: values}})
		}
		known := opts
		known.Signals = signalsBefore(opts.Signals, after(whole*step))
		before, err := Train(h.Before(after(whole*step)), nil, known)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			before *Model
		}{{"from scratch", nil}, {"an hour later", before}} {
			b.Run(fmt.Sprintf("%d, %s", count, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					m, err := Retrain(c.before, h, nil, opts)
					if err != nil {
						b.Fatal(err)
					}
					taken, all := m.TakenOver()
					if want := map[bool]int{true: all}[c.before != nil]; taken != want || len(m.kinds[resource.CPU].follows) != count {
						b.Fatalf("%d of %d series were taken over, and %d signals are followed", taken, all, len(m.kinds[resource.CPU].follows))
					}
				}
			})
		}
	}
}
