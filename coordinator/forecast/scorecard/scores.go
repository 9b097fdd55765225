package scorecard

import (
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Scores returns what a scorecard says of the last day, week and month (30 days). Each begins with the piece of time in which it began: six hours
// of UTC, or, in a month, a day.
func Scores(c *proto.Scorecard, now timeline.Time) proto.Scores {
	out := proto.Scores{Instance: c.Instance, UpdatedAt: c.UpdatedAt, Step: c.Step, Quantiles: c.Quantiles, StandsIn: StandsIn(c)}
	for _, p := range []struct {
		name   string
		length time.Duration
		piece  time.Duration
	}{{"day", day, piece}, {"week", week, piece}, {"month", 30 * day, day}} {
		from := now.Add(-p.length).Floor(p.piece)
		period := proto.ScorePeriod{Name: p.name, Span: timeline.Span{Start: from, End: now}, Of: []proto.Score{}}
		for _, k := range resource.All() {
			for _, lead := range Leads() {
				if of := total(c, k, lead.Milliseconds(), from); of.Steps > 0 {
					period.Of = append(period.Of, proto.Score{
						Resource: k, Lead: lead.Milliseconds(), Steps: of.Steps,
						Model: fit(of, proto.ByModel), Naive: fit(of, proto.ByNaive), Window: fit(of, proto.ByWindow),
					})
				}
			}
		}
		out.Periods = append(out.Periods, period)
	}
	return out
}

// total adds up the tallies of a resource and a lead that begin at a time or later; of any lead where that is 0.
func total(c *proto.Scorecard, k resource.Kind, lead int64, from timeline.Time) proto.TallyOf {
	var out proto.TallyOf
	for _, t := range c.Tallies {
		if t.Start >= from && (lead == 0 || t.Lead == lead) {
			out = sum(out, t.Of[k])
		}
	}
	return out
}

func fit(of proto.TallyOf, by proto.Forecaster) proto.Fit {
	var out proto.Fit
	f := of.Fared[by]
	for qi := range f.Loss {
		out.Loss = append(out.Loss, float64(f.Loss[qi])/float64(of.Steps))
		out.Coverage = append(out.Coverage, float64(f.Covered[qi])/float64(of.Steps))
	}
	return out
}

// StandsIn returns the resources that the window forecasts in the place of the model.
func StandsIn(c *proto.Scorecard) []proto.StandsIn {
	out := []proto.StandsIn{}
	for k, s := range c.Standing {
		if s.Window {
			out = append(out, proto.StandsIn{Resource: resource.Kind(k), Since: s.Since})
		}
	}
	return out
}

// Summary returns what a scorecard says of the last week, in short.
func Summary(c *proto.Scorecard, now timeline.Time) proto.ScoreSummary {
	out := proto.ScoreSummary{Instance: c.Instance, UpdatedAt: c.UpdatedAt, Quantiles: c.Quantiles, StandsIn: StandsIn(c), Of: []proto.ScoreSummaryOf{}}
	from := now.Add(-week)
	for _, k := range resource.All() {
		of := total(c, k, 0, from.Floor(piece))
		if of.Steps == 0 {
			continue
		}
		losses := since(c, k, from).loss
		out.Of = append(out.Of, proto.ScoreSummaryOf{
			Resource: k, Scored: int64(of.Steps) * c.Step / int64(len(Leads())), Coverage: fit(of, proto.ByModel).Coverage,
			Naive: forecast.LossRatio(losses[proto.ByModel], losses[proto.ByNaive]), Window: forecast.LossRatio(losses[proto.ByModel], losses[proto.ByWindow]),
		})
	}
	return out
}
