package backtest

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Score is how well a series was forecast: sums and counts over all origins, so that scores can be pooled.
type Score struct {
	Series   string    `json:"series"`
	Resource string    `json:"resource"`
	Origins  int       `json:"origins"`
	Steps    int       `json:"steps"`         // compared
	Loss     []float64 `json:"loss"`          // per quantile: sum of the pinball loss
	Baseline []float64 `json:"baseline_loss"` // the same of the conformal daily seasonal naive forecast
	Covered  []int     `json:"covered"`       // per quantile: steps at or below the forecast
	AbsError float64   `json:"abs_error"`     // sum of absolute errors of the median
	NaiveAbs float64   `json:"naive_abs"`     // the same of what was at that time on the last day before the origin
	AbsSteps int       `json:"abs_steps"`     // that these two are of
}

// Figures are what a score says, of a series or of many. What can't be said is left out.
type Figures struct {
	Ratio    *float64  `json:"pinball_ratio,omitempty"` // pinball loss over that of the baseline, summed over the quantiles
	Coverage []float64 `json:"coverage,omitempty"`      // per quantile
	AbsRatio *float64  `json:"abs_error_ratio,omitempty"`
}

// Figures returns what the score says.
func (s Score) Figures() Figures {
	var f Figures
	if s.Steps > 0 {
		f.Ratio = forecast.LossRatio(sum(s.Loss), sum(s.Baseline))
	}
	if s.AbsSteps > 0 {
		f.AbsRatio = forecast.LossRatio(s.AbsError, s.NaiveAbs)
	}
	for _, c := range s.Covered {
		if s.Steps > 0 {
			f.Coverage = append(f.Coverage, float64(c)/float64(s.Steps))
		}
	}
	return f
}

func sum(all []float64) float64 {
	total := 0.0
	for _, v := range all {
		total += v
	}
	return total
}

// actuals are what came, on the steps of a forecast.
type actuals struct {
	series forecast.Series
	step   time.Duration
	phase  time.Duration // of the origin within a step
	ready  bool
	on     forecast.Series
}

// begin puts what came on steps of which one begins at the origin.
func (a *actuals) begin(at timeline.Time) {
	phase := at.Sub(at.Floor(a.step))
	if a.ready && a.phase == phase {
		return
	}
	a.phase, a.ready = phase, true
	moved := a.series
	moved.Start = moved.Start.Add(-phase)
	a.on = moved
	if a.step >= moved.Step {
		a.on = moved.Resample(a.step)
	}
	a.on.Start = a.on.Start.Add(phase)
}

func (a *actuals) at(t timeline.Time) float64 {
	i := int64(t-a.on.Start) / a.on.Step.Milliseconds()
	if t < a.on.Start || i >= int64(len(a.on.Values)) {
		return math.NaN()
	}
	return a.on.Values[i]
}

const day = 24 * time.Hour

// add scores one forecast.
func (s *Score) add(ours, naive *forecast.One, known *actuals) {
	s.Origins++
	n := len(ours.Values[0])
	came := make([]float64, n)
	median := medianOf(ours.Quantiles)
	for i := range came {
		ahead := time.Duration(i) * ours.Step
		came[i] = known.at(ours.Start.Add(ahead))
		if math.IsNaN(came[i]) {
			continue
		}
		s.Steps++
		before := known.at(ours.Start.Add(ahead - day*(1+ahead/day)))
		if !math.IsNaN(before) {
			s.AbsError += math.Abs(came[i] - ours.Values[median][i])
			s.NaiveAbs += math.Abs(came[i] - before)
			s.AbsSteps++
		}
	}
	for qi, q := range ours.Quantiles {
		if loss, n := forecast.Pinball(came, ours.Values[qi], q); n > 0 {
			s.Loss[qi] += loss * float64(n)
			share, _ := forecast.Coverage(came, ours.Values[qi])
			s.Covered[qi] += int(math.Round(share * float64(n)))
		}
		if loss, n := forecast.Pinball(came, naive.Values[qi], q); n > 0 {
			s.Baseline[qi] += loss * float64(n)
		}
	}
}

// medianOf returns the index of the quantile nearest to the median.
func medianOf(quantiles []float64) int { return nearest(quantiles, .5) }

func nearest(quantiles []float64, q float64) int {
	best := 0
	for i, v := range quantiles {
		if math.Abs(v-q) < math.Abs(quantiles[best]-q) {
			best = i
		}
	}
	return best
}

// Line is the figures of a series, or of a resource over all series.
type Line struct {
	Score
	Figures
}

// Overall are the figures of all.
type Overall struct {
	Figures            // the ratio is the mean of the resources', the coverage that of all steps, the ratio of absolute errors the mean over series
	Series     int     `json:"series"`
	Forecasts  int     `json:"forecasts"`
	Calibrated float64 `json:"calibrated"`   // share of the series with anything to compare whose own coverage at the quantile nearest to .95 lies within .90 to .99
	Of         float64 `json:"calibrated_q"` // that quantile
}

// Result is what a backtest found.
type Result struct {
	Settings
	Series    []Line    `json:"series"`    // in the order of the files' names and of the columns
	Resources []Line    `json:"resources"` // pooled by what was lost in all
	Overall   Overall   `json:"overall"`
	LeftOut   []LeftOut `json:"left_out,omitempty"`
	Notes     []string  `json:"notes,omitempty"`
}

// result pools what came of the files.
func (r *Run) result(parts []part) *Result {
	out := &Result{Settings: r.Settings, Series: []Line{}, Resources: []Line{}}
	pooled := map[string]*Score{}
	var columns []string
	all := Score{Covered: make([]int, len(r.Quantiles))}
	near := nearest(r.Quantiles, .95)
	out.Overall.Of = r.Quantiles[near]
	abs, absOf, within, covered := 0.0, 0.0, 0.0, 0.0
	for _, p := range parts {
		out.Notes = append(out.Notes, p.Notes...)
		if p.LeftOut != nil {
			out.LeftOut = append(out.LeftOut, *p.LeftOut)
		}
		for _, s := range p.Scores {
			f := s.Figures()
			out.Series = append(out.Series, Line{s, f})
			if pooled[s.Resource] == nil {
				columns = append(columns, s.Resource)
				pooled[s.Resource] = &Score{Resource: s.Resource}
			}
			pooled[s.Resource].pool(s)
			all.pool(s)
			if f.AbsRatio != nil {
				abs, absOf = abs+*f.AbsRatio, absOf+1
			}
			if len(f.Coverage) > 0 {
				covered++
				if f.Coverage[near] >= .90 && f.Coverage[near] <= .99 {
					within++
				}
			}
		}
	}
	mean, of := 0.0, 0.0
	for _, c := range columns {
		f := pooled[c].Figures()
		out.Resources = append(out.Resources, Line{*pooled[c], f})
		if f.Ratio != nil {
			mean, of = mean+*f.Ratio, of+1
		}
	}
	o := &out.Overall
	o.Series, o.Forecasts = len(out.Series), all.Origins
	o.Coverage = all.Figures().Coverage
	if of > 0 {
		o.Ratio = forecast.LossRatio(mean, of)
	}
	if absOf > 0 {
		o.AbsRatio = forecast.LossRatio(abs, absOf)
	}
	o.Calibrated = within / max(1, covered)
	return out
}

// pool adds another series.
func (s *Score) pool(o Score) {
	s.Origins, s.Steps = s.Origins+o.Origins, s.Steps+o.Steps
	s.AbsError, s.NaiveAbs, s.AbsSteps = s.AbsError+o.AbsError, s.NaiveAbs+o.NaiveAbs, s.AbsSteps+o.AbsSteps
	grow := func(to []float64, by []float64) []float64 {
		to = append(to, make([]float64, max(0, len(by)-len(to)))...)
		for i, v := range by {
			to[i] += v
		}
		return to
	}
	s.Loss, s.Baseline = grow(s.Loss, o.Loss), grow(s.Baseline, o.Baseline)
	s.Covered = append(s.Covered, make([]int, max(0, len(o.Covered)-len(s.Covered)))...)
	for i, c := range o.Covered {
		s.Covered[i] += c
	}
}
