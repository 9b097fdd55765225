package backtest

import (
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
)

// It is here, and not beside what it tests, for the race detector to see it: what has no goroutines of its own is spared that.
func TestAModelMayBeAskedFromSeveralGoroutines(t *testing.T) {
	values := make([]float64, 14*288)
	for i := range values {
		values[i] = 300 + 150*math.Sin(2*math.Pi*float64(i)/288) + float64((i*7919)%101)/5
	}
	var h forecast.History
	h[resource.CPU] = forecast.Series{Start: midnight, Step: 5 * time.Minute, Values: values}
	m, err := forecast.Train(h, nil, forecast.Options{Maximum: resource.Uniform(1000)})
	if err != nil {
		t.Fatal(err)
	}
	results := make([]*forecast.Forecast, 4)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			f, err := m.Forecast(midnight.Add(14*24*time.Hour), 48*time.Hour)
			if err != nil {
				t.Error(err)
			}
			results[i] = f
		})
	}
	all.Wait()
	for _, f := range results[1:] {
		if !reflect.DeepEqual(f, results[0]) {
			t.Error("two forecasts of one model differ")
		}
	}
}
