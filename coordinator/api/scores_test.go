package api_test

import (
	"context"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestScoresOfAnInstanceAndOfAllAreThoseOfTheirHomes(t *testing.T) {
	better := .8
	fit := proto.Fit{Loss: []float64{1.5, .25}, Coverage: []float64{.5, .95}}
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.Scores = func(_ context.Context, instance string) (proto.Scores, error) {
			return proto.Scores{
				Instance: instance, UpdatedAt: 7_200_000, Step: 300_000, Quantiles: []int{500, 950}, StandsIn: []proto.StandsIn{{Resource: resource.CPU, Since: 3_600_000}},
				Periods: []proto.ScorePeriod{{Name: "day", Span: timeline.Span{End: 7_200_000}, Of: []proto.Score{{Resource: resource.CPU, Lead: 3_600_000, Steps: 12, Model: fit, Naive: fit, Window: fit}}}},
			}, nil
		}
		f.Config.AllScores = func(context.Context) ([]proto.ScoreSummary, []string) {
			return []proto.ScoreSummary{{Instance: "cache-1", UpdatedAt: 7_200_000, Quantiles: []int{500, 950}, Of: []proto.ScoreSummaryOf{
				{Resource: resource.CPU, Scored: 3_600_000, Coverage: []float64{.5, .95}, Naive: &better},
			}}}, []string{"c2"}
		}
	})
	w.adopt("cache-1")
	s := ok[proto.Scores](w, "GET /v1/instances/cache-1/scorecard", nil)
	if s.Instance != "cache-1" || s.Periods[0].Of[0].Model.TotalLoss() != 1.75 || s.StandsIn[0].Resource != resource.CPU {
		t.Errorf("%+v", s)
	}
	all := ok[v1.Scorecards](w, "GET /v1/scorecards", nil)
	if len(all.Items) != 1 || *all.Items[0].Of[0].Naive != .8 || all.Items[0].Of[0].Window != nil || len(all.Silent) != 1 {
		t.Errorf("%+v", all)
	}
	w.fails(v1.CodeNotFound, 404, "GET /v1/instances/nothing/scorecard", nil)
}

func TestAHomeThatIsAwayIsNoReasonToHideTheOthersScores(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	if all := ok[v1.Scorecards](w, "GET /v1/scorecards", nil); all.Items == nil || len(all.Silent) != 1 {
		t.Errorf("%+v", all)
	}
	w.fails(v1.CodeUnavailable, 503, "GET /v1/instances/cache-1/scorecard", nil)
}
