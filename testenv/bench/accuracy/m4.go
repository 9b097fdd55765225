//go:build linux

package accuracy

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// What the M4 competition's rules fix for hourly series. (Makridakis, Spiliotis and Assimakopoulos, The M4 Competition:
// 100,000 time series and 61 forecasting methods, International Journal of Forecasting 36(1), 2020.)
const (
	m4Horizon    = 48
	m4Season     = 24
	m4Alpha      = .05    // one less the interval's level
	naive2SMAPE  = 18.383 // of the benchmark Naive2, in percent
	naive2MASE   = 2.395
	m4WindowDays = 60 // more than the longest series
)

// M4 is how well the hourly series were forecast, with the competition's measures; less is better.
type M4 struct {
	Series int
	SMAPE  float64 // symmetric mean absolute percentage error, in percent
	MASE   float64 // mean absolute scaled error, season 24
	OWA    float64 // overall weighted average of both, relative to Naive2
	MSIS   float64 // mean scaled interval score of the 95 % interval
	ACD    float64 // distance of the interval's coverage from .95
	Below  float64 // share of values below the interval
	Above  float64 // share above
	CPU    time.Duration
	// Published are the competition's entries by figure, best first.
	Published []Entry
}

// Entry is a submission to the competition.
type Entry struct {
	Team      string
	OWA       float64 // NaN where the table has none
	MSIS, ACD float64
}

// ScoreM4 forecasts every hourly series of the M4 competition 48 hours ahead.
func ScoreM4(ctx context.Context, o Options) (M4, error) {
	var total M4
	dir := filepath.Join(o.Dir, "m4-hourly")
	train, err := readM4(filepath.Join(dir, "Hourly-train.csv.gz"))
	if err != nil {
		return total, err
	}
	test, err := readM4(filepath.Join(dir, "Hourly-test.csv.gz"))
	if err != nil {
		return total, err
	}
	if len(train) != len(test) {
		return total, fmt.Errorf("%s: %d series to train on, %d to test", dir, len(train), len(test))
	}
	if total.Published, err = readPublished(dir); err != nil {
		return total, err
	}
	took := o.chosen(len(train))
	before := CPUTime()
	scores, err := each(ctx, o.Workers, len(took), func(i int) (M4, error) {
		past, future := train[took[i]], test[took[i]]
		if o.Holdout {
			cut := len(past) - m4Horizon
			past, future = past[:cut], past[cut:]
		}
		return scoreM4(past, future, o.Members)
	})
	if err != nil {
		return total, err
	}
	n := float64(len(scores))
	for _, s := range scores {
		total.SMAPE += s.SMAPE / n
		total.MASE += s.MASE / n
		total.MSIS += s.MSIS / n
		total.Below += s.Below / n
		total.Above += s.Above / n
	}
	total.CPU, total.Series = CPUTime()-before, len(scores)
	total.OWA = (total.SMAPE/naive2SMAPE + total.MASE/naive2MASE) / 2
	total.ACD = math.Abs(total.Below + total.Above - m4Alpha)
	return total, nil
}

// scoreM4 forecasts one series. When it began is not published in a form that could be used: only the season's length is.
func scoreM4(past, future []float64, members []string) (M4, error) {
	var h forecast.History
	h[resource.CPU] = forecast.Series{Start: timeline.Of(time.Unix(1_400_025_600, 0)), Step: time.Hour, Values: past}
	m, err := forecast.Train(h, nil, forecast.Options{
		Step: time.Hour, Quantiles: []float64{m4Alpha / 2, .5, 1 - m4Alpha/2}, Window: m4WindowDays * 24 * time.Hour,
		Maximum: resource.Uniform(1), Members: members,
	})
	if err != nil {
		return M4{}, err
	}
	f, err := m.Forecast(h[resource.CPU].End(), time.Duration(len(future))*time.Hour)
	if err != nil {
		return M4{}, err
	}
	v := f.Values[resource.CPU]
	return measureM4(past, future, v[0], v[1], v[2]), nil
}

// measureM4 returns the competition's measures of one series' interval [low, high] around mid.
func measureM4(past, future, low, mid, high []float64) M4 {
	s := M4{MASE: forecast.MASE(future, mid, past, m4Season)}
	scale := 0.0
	for i := m4Season; i < len(past); i++ {
		scale += math.Abs(past[i]-past[i-m4Season]) / float64(len(past)-m4Season)
	}
	n := float64(len(future))
	for i, y := range future {
		s.SMAPE += 200 * math.Abs(y-mid[i]) / (math.Abs(y) + math.Abs(mid[i])) / n
		width := high[i] - low[i]
		switch {
		case y < low[i]:
			s.Below += 1 / n
			width += 2 / m4Alpha * (low[i] - y)
		case y > high[i]:
			s.Above += 1 / n
			width += 2 / m4Alpha * (y - high[i])
		}
		s.MSIS += width / scale / n
	}
	return s
}

// readM4 reads a gzipped CSV with a head line and a series in each line, its name first, blanks at the end.
func readM4(path string) ([][]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", path, err)
	}
	r := csv.NewReader(z)
	r.FieldsPerRecord = -1
	if _, err := r.Read(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var out [][]float64
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		var s []float64
		for _, cell := range row[1:] {
			if cell == "" {
				break
			}
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: series %s: %w", path, row[0], err)
			}
			s = append(s, v)
		}
		if len(s) < m4Horizon {
			return nil, fmt.Errorf("%s: series %s has %d values, want at least %d", path, row[0], len(s), m4Horizon)
		}
		out = append(out, s)
	}
}

// readPublished reads the tables of points and of intervals, best first each.
func readPublished(dir string) ([]Entry, error) {
	var out []Entry
	for _, name := range []string{"m4_hourly_published.tsv", "m4_hourly_PI_published.tsv"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		head := strings.Split(lines[0], "\t")
		for _, line := range lines[1:] {
			e := Entry{OWA: math.NaN(), MSIS: math.NaN(), ACD: math.NaN()}
			for i, cell := range strings.Split(line, "\t") {
				v, err := strconv.ParseFloat(cell, 64)
				switch {
				case i >= len(head):
					return nil, fmt.Errorf("%s: %q has more cells than the head", name, line)
				case head[i] == "team":
					e.Team = cell
				case err != nil:
				case head[i] == "OWA":
					e.OWA = v
				case head[i] == "MSIS":
					e.MSIS = v
				case head[i] == "ACD":
					e.ACD = v
				}
			}
			out = append(out, e)
		}
	}
	return out, nil
}
