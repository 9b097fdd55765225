package figures

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// sources answer for any instance: of "new" nothing is forecast, the data of "unsized" are not known, and the home of "away" is out of reach.
func sources() (s Sources, asked func(instance string) int) {
	var mu sync.Mutex
	times := map[string]int{}
	s.Forecast = func(_ context.Context, r proto.ForecastRequest) (proto.ForecastReply, error) {
		mu.Lock()
		defer mu.Unlock()
		times[r.Instance]++
		switch r.Instance {
		case "new":
			return proto.ForecastReply{Step: 1}, wire.Errorf(wire.NotFound, "too little history")
		case "away":
			return proto.ForecastReply{}, wire.Errorf(wire.Unavailable, "no answer")
		}
		return proto.ForecastReply{Start: r.From, Step: r.Step, Quantiles: []int{r.Steps}}, nil
	}
	s.DataBytes = func(_ context.Context, instance string) (int64, error) {
		if instance == "unsized" {
			return 0, errors.New("its agent does not say")
		}
		return int64(len(instance)), nil
	}
	return s, func(instance string) int {
		mu.Lock()
		defer mu.Unlock()
		return times[instance]
	}
}

func TestEachInstanceIsAskedForOnceOverTheGrid(t *testing.T) {
	s, asked := sources()
	names := []string{"new", "unsized"}
	for i := range 100 {
		names = append(names, fmt.Sprint("i", i))
	}
	now := timeline.Time(3_600_000 + 1)
	f, err := s.At(t.Context(), now, 5*time.Minute, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, "later", "later") {
		got := f.Of(name)
		if name == "new" {
			if got.Forecast.Step != 0 || got.Data != 3 {
				t.Errorf("%+v", got)
			}
			continue
		}
		if r := got.Forecast; r.Start != 3_600_000 || r.Step != 300_000 || r.Quantiles[0] != planner.GridSteps || name != "unsized" && got.Data != int64(len(name)) {
			t.Errorf("%s: %+v", name, got)
		}
		if n := asked(name); n != 1 {
			t.Errorf("%s was asked for %d times", name, n)
		}
	}
	if got := f.Unsized(); !strings.HasSuffix(got, "of unsized") || f.Err() != nil {
		t.Errorf("%q, %v", got, f.Err())
	}
}

func TestWithoutWhatIsExpectedThereIsNoPlan(t *testing.T) {
	s, _ := sources()
	if _, err := s.At(t.Context(), 0, time.Minute, []string{"i", "away"}); wire.CodeOf(err) != wire.Unavailable || !strings.Contains(err.Error(), "instance away") {
		t.Error(err)
	}
	f, err := s.At(t.Context(), 0, time.Minute, []string{"i"})
	if err != nil {
		t.Fatal(err)
	}
	f.Of("away")
	if err := f.Err(); wire.CodeOf(err) != wire.Unavailable {
		t.Error(err)
	}
}

func TestWhatIsAskedAheadHoldsUpNoOtherAndIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, asked := sources()
		forecast := s.Forecast
		s.Forecast = func(ctx context.Context, r proto.ForecastRequest) (proto.ForecastReply, error) {
			out, err := forecast(ctx, r)
			switch r.Instance {
			case "hung", "hung too":
				<-ctx.Done()
				return out, ctx.Err()
			default:
				time.Sleep(time.Second)
			}
			return out, err
		}
		f, err := s.At(t.Context(), 0, time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		names := []string{"a", "hung", "b", "unsized", "hung too", "c"}
		f.Ahead(names)
		f.Ahead(names)
		if took := time.Since(began); took > aheadTime {
			t.Errorf("it took %s", took)
		}
		for _, name := range names {
			_, err := f.Ask(name)
			if n := asked(name); n != 1 || (err != nil) != strings.HasPrefix(name, "hung") {
				t.Errorf("%s was asked for %d times: %v", name, n, err)
			}
		}
		if f.Err() != nil || !strings.HasSuffix(f.Unsized(), "of unsized") {
			t.Errorf("%v, %q", f.Err(), f.Unsized())
		}
	})
}
