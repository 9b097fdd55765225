package proto

import (
	"errors"
	"fmt"
	"math"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Forecaster is one of those whose forecasts of an instance are compared.
type Forecaster int

// The forecasters.
const (
	ByModel     Forecaster = iota // the instance's model
	ByNaive                       // the seasonal naive forecast by day, with conformal errors
	ByWindow                      // a decaying histogram of the last days with a margin, as the Vertical Pod Autoscaler recommends
	Forecasters                   // how many there are
)

// Scorecard is what the home of an instance's owner keeps of how its demand was forecast: what was issued and has not come yet, and tallies
// of what has come. It is of the highest demand in each step.
type Scorecard struct {
	Instance  string                   `msgpack:"i" json:"instance"`
	UpdatedAt timeline.Time            `msgpack:"u" json:"updated_at"`
	Step      int64                    `msgpack:"s" json:"step_ms"`
	Quantiles []int                    `msgpack:"q" json:"quantiles_milli"` // ascending, in thousandths
	Issued    []Issue                  `msgpack:"is" json:"issued"`         // in the order in which they were issued
	Tallies   []Tally                  `msgpack:"t" json:"tallies"`         // ascending by start, then by lead
	Standing  [resource.Kinds]Standing `msgpack:"st" json:"standing"`
}

// Issue is forecasts of some steps as they were issued.
type Issue struct {
	Lead  int64         `msgpack:"l" json:"lead_ms"` // at least that long before the steps
	Start timeline.Time `msgpack:"t" json:"start"`   // of the first step
	Steps int           `msgpack:"n" json:"steps"`
	Said  []Said        `msgpack:"f" json:"said"` // by forecaster
}

// Said is what a forecaster said: the amounts by resource, quantile and step. What is shorter goes on with its last amount; a resource
// without quantiles was not forecast.
type Said struct {
	Amounts [resource.Kinds][][]float32 `msgpack:"a" json:"amounts"`
}

// Tally is how forecasts of steps in a piece of time fared.
type Tally struct {
	Start timeline.Time           `msgpack:"t" json:"start"`
	Lead  int64                   `msgpack:"l" json:"lead_ms"`
	Of    [resource.Kinds]TallyOf `msgpack:"o" json:"of"`
}

// TallyOf is that of one resource.
type TallyOf struct {
	Steps int     `msgpack:"n" json:"steps"` // whose demand is known
	Fared []Fared `msgpack:"f" json:"fared"` // by forecaster
}

// Fared is that of one forecaster: sums over the steps.
type Fared struct {
	Loss    []float32 `msgpack:"l" json:"loss"`    // per quantile: pinball loss
	Covered []int     `msgpack:"c" json:"covered"` // per quantile: steps at or below the forecast
}

// Standing is who forecasts a resource: its model, or the window in its place.
type Standing struct {
	Window bool          `msgpack:"w" json:"window,omitzero"`
	Since  timeline.Time `msgpack:"t" json:"since,omitzero"` // 0: it has been the model always
}

// Bounds of a scorecard. One that is kept stays far below them.
const (
	MaxScorecard   = 3 << 20 // bytes of its encoding
	maxIssues      = 512
	maxIssueSteps  = 1024
	maxTallies     = 512
	maxScoreLevels = 16 // quantiles
)

var errScorecard = errors.New("no usable scorecard")

// Valid returns an error unless every part of the scorecard is there that its counts promise, within bounds.
func (c Scorecard) Valid() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w of %.64q: %s", errScorecard, c.Instance, fmt.Sprintf(format, args...))
	}
	if err := ValidName("instance", c.Instance); err != nil {
		return fmt.Errorf("%w: %w", errScorecard, err)
	}
	levels := len(c.Quantiles)
	if levels == 0 || levels > maxScoreLevels || len(c.Issued) > maxIssues || len(c.Tallies) > maxTallies || c.Step <= 0 {
		return bad("%d quantiles, %d issued and %d tallies on steps of %d ms", levels, len(c.Issued), len(c.Tallies), c.Step)
	}
	for _, is := range c.Issued {
		if is.Lead <= 0 || is.Steps <= 0 || is.Steps > maxIssueSteps || len(is.Said) != int(Forecasters) {
			return bad("%d steps of %d forecasters, %d ms ahead", is.Steps, len(is.Said), is.Lead)
		}
		for _, s := range is.Said {
			for _, amounts := range s.Amounts {
				if len(amounts) != 0 && len(amounts) != levels {
					return bad("%d quantiles in an issue, of %d", len(amounts), levels)
				}
				for _, a := range amounts {
					if len(a) == 0 || len(a) > is.Steps || !finite(a) {
						return bad("%d amounts for %d steps, or one that is none", len(a), is.Steps)
					}
				}
			}
		}
	}
	for _, t := range c.Tallies {
		for _, of := range t.Of {
			if of.Steps < 0 || of.Steps > 0 && len(of.Fared) != int(Forecasters) {
				return bad("a tally of %d steps and %d forecasters", of.Steps, len(of.Fared))
			}
			for _, f := range of.Fared {
				if len(f.Loss) != levels || len(f.Covered) != levels || !finite(f.Loss) {
					return bad("a tally of %d quantiles, of %d, or a loss that is none", len(f.Loss), levels)
				}
			}
		}
	}
	return nil
}

// finite reports whether all values are numbers from 0 on.
func finite(values []float32) bool {
	for _, v := range values {
		if !(v >= 0 && v <= math.MaxFloat32) {
			return false
		}
	}
	return true
}

// ScoresRequest asks the home of an instance's owner how its forecasts fared, or a coordinator for all instances that it is home to.
type ScoresRequest struct {
	Instance string `msgpack:"i" json:"instance"` // "": all, in short
}

// ScoresReply has the scores that were asked for.
type ScoresReply struct {
	Scores  *Scores        `msgpack:"s" json:"scores,omitempty"`
	Summary []ScoreSummary `msgpack:"a" json:"summary,omitempty"` // of all, sorted by name
}

// Scores is how forecasts of an instance fared against what came: of the highest demand in each step, which an allocation has to hold.
type Scores struct {
	Instance  string        `msgpack:"i" json:"instance"`
	UpdatedAt timeline.Time `msgpack:"u" json:"updated_at"` // 0: nothing was issued yet
	Step      int64         `msgpack:"s" json:"step_ms"`
	Quantiles []int         `msgpack:"q" json:"quantiles_milli"` // ascending, in thousandths
	StandsIn  []StandsIn    `msgpack:"w" json:"stands_in"`       // resources that the window forecasts in the place of the model
	Periods   []ScorePeriod `msgpack:"p" json:"periods"`         // the last day, week and month
}

// StandsIn is a resource that the window forecasts in the place of the instance's model, because that lost against it.
type StandsIn struct {
	Resource resource.Kind `msgpack:"r" json:"resource"`
	Since    timeline.Time `msgpack:"t" json:"since"`
}

// ScorePeriod is how forecasts of the steps in a period fared.
type ScorePeriod struct {
	Name string        `msgpack:"n" json:"name"` // day, week or month
	Span timeline.Span `msgpack:"sp" json:"span"`
	Of   []Score       `msgpack:"o" json:"of"` // by resource and lead; those without a step are left out
}

// Score is that of a resource's forecasts which were issued some time ahead.
type Score struct {
	Resource resource.Kind `msgpack:"r" json:"resource"`
	Lead     int64         `msgpack:"l" json:"lead_ms"` // at least that long before the steps
	Steps    int           `msgpack:"n" json:"steps"`
	Model    Fit           `msgpack:"m" json:"model"`
	Naive    Fit           `msgpack:"s" json:"naive"`  // the seasonal naive forecast by day, with conformal errors
	Window   Fit           `msgpack:"w" json:"window"` // a decaying histogram of the last days with a margin
}

// Fit is how well a forecaster's quantiles fitted, per quantile.
type Fit struct {
	Loss     []float64 `msgpack:"l" json:"loss"`     // mean pinball loss, in the resource's unit
	Coverage []float64 `msgpack:"c" json:"coverage"` // share of the steps at or below the forecast
}

// TotalLoss returns the mean pinball loss summed over the quantiles.
func (f Fit) TotalLoss() float64 {
	sum := 0.0
	for _, l := range f.Loss {
		sum += l
	}
	return sum
}

// ScoreSummary is how forecasts of an instance fared over the last week, in short.
type ScoreSummary struct {
	Instance  string           `msgpack:"i" json:"instance"`
	UpdatedAt timeline.Time    `msgpack:"u" json:"updated_at"`
	Quantiles []int            `msgpack:"q" json:"quantiles_milli"` // ascending, in thousandths
	StandsIn  []StandsIn       `msgpack:"w" json:"stands_in"`
	Of        []ScoreSummaryOf `msgpack:"o" json:"of"` // by resource; those without a step are left out
}

// ScoreSummaryOf is that of one resource, over all leads.
type ScoreSummaryOf struct {
	Resource resource.Kind `msgpack:"r" json:"resource"`
	Scored   int64         `msgpack:"n" json:"scored_ms"`          // length of the steps whose demand is known, for each lead on average
	Coverage []float64     `msgpack:"c" json:"coverage"`           // of the model, per quantile
	Naive    *float64      `msgpack:"s" json:"vs_naive,omitzero"`  // the model's pinball loss over that of the seasonal naive forecast; left out where that has none
	Window   *float64      `msgpack:"w" json:"vs_window,omitzero"` // and over that of the window
}
