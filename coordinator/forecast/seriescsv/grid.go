package seriescsv

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
)

// grid puts the rows in order and on regular steps.
func (r *reader) grid() (*Table, error) {
	t := &Table{Columns: r.opts.ValueColumns, Rows: len(r.times)}
	if n := r.order(); n > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s: %d of %d rows are not in the order of time, and were put there", r.name, n, len(r.times)))
	}
	step, twice := r.step()
	if twice > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s: %d times are there twice, their values were put together", r.name, twice))
	}
	if step > maxStep {
		return nil, r.fault(0, r.opts.TimeColumn, "forecasts are made from samples at most 6h apart; are these times in seconds?", "most of its times lie %s apart", step)
	}
	first, last := r.times[0], r.times[len(r.times)-1]
	if most := min(maxSteps, maxCells/int64(len(r.values))); int64(last-first)/step.Milliseconds() >= most { // of times far apart Sub would overflow
		i := r.widestGap()
		return nil, r.fault(int(r.lines[i]), r.opts.TimeColumn, "is this time right? If it is, begin the file there, or read fewer columns",
			"it lies %d h after the time before it, and the whole is more than %d steps of %s", int64(r.times[i]-r.times[i-1])/time.Hour.Milliseconds(), most, step)
	}
	at := func(i int) int { return int((last.Sub(r.times[i]) + step/2) / step) } // steps before the last
	n := at(0) + 1
	for _, values := range r.values {
		s := forecast.Series{Start: last.Add(-time.Duration(n-1) * step), Step: step, Fold: r.opts.Fold, Values: make([]float64, n)}
		for i := range s.Values {
			s.Values[i] = math.NaN()
		}
		fold(s, values, at)
		t.Series = append(t.Series, s)
	}
	return t, nil
}

// fold writes the values of rows, in the order of time, into the steps that they lie in, counted from the end by at.
func fold(s forecast.Series, values []float64, at func(row int) int) {
	in, count := -1, 0.0
	for i, v := range values {
		j := len(s.Values) - 1 - at(i)
		if j != in {
			in, count = j, 0
		}
		if math.IsNaN(v) {
			continue
		}
		count++
		switch {
		case count == 1:
			s.Values[j] = v
		case s.Fold == forecast.Max:
			s.Values[j] = max(s.Values[j], v)
		default:
			s.Values[j] += (v - s.Values[j]) / count
		}
	}
}

// order sorts the rows by time, those of one time as they stand in the file, and returns how many were out of place.
func (r *reader) order() int {
	if slices.IsSorted(r.times) {
		return 0
	}
	wrong := 0
	for i := 1; i < len(r.times); i++ {
		if r.times[i] < r.times[i-1] {
			wrong++
		}
	}
	sort.Stable(byTime{r})
	return wrong
}

// byTime sorts the rows in place: there may be millions.
type byTime struct{ *reader }

func (b byTime) Len() int           { return len(b.times) }
func (b byTime) Less(i, j int) bool { return b.times[i] < b.times[j] }
func (b byTime) Swap(i, j int) {
	b.times[i], b.times[j] = b.times[j], b.times[i]
	b.lines[i], b.lines[j] = b.lines[j], b.lines[i]
	for _, v := range b.values {
		v[i], v[j] = v[j], v[i]
	}
}

// step returns how far most times lie apart, in whole seconds, and how many are there again.
func (r *reader) step() (step time.Duration, twice int) {
	var apart []int64 // milliseconds
	for i := 1; i < len(r.times); i++ {
		if d := int64(r.times[i] - r.times[i-1]); d > 0 {
			apart = append(apart, d)
		} else {
			twice++
		}
	}
	if len(apart) == 0 {
		return forecast.DefaultStep, twice
	}
	slices.Sort(apart)
	middle := min((apart[(len(apart)-1)/2]+apart[len(apart)/2])/2, maxApart.Milliseconds())
	return max(time.Second, (time.Duration(middle) * time.Millisecond).Round(time.Second)), twice
}

// widestGap returns the row that lies furthest from the one before it.
func (r *reader) widestGap() int {
	widest := 1
	gap := func(i int) timeline.Time { return r.times[i] - r.times[i-1] }
	for i := range r.times[1:] {
		if gap(i+1) > gap(widest) {
			widest = i + 1
		}
	}
	return widest
}
