package traces

import (
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// fourCampaigns is two weeks of a Redis with four campaigns at different hours.
func fourCampaigns(t *testing.T) (Trace, timeline.Time) {
	t.Helper()
	spec := Spec{Seed: 11, Start: monday, Shapes: Redis(), Missing: .02}
	for _, at := range []time.Duration{2*day + 9*time.Hour, 5*day + 19*time.Hour, 8*day + 13*time.Hour, 12*day + 4*time.Hour} {
		spec.Campaigns = append(spec.Campaigns, Campaign{Start: monday.Add(at), Length: 2 * time.Hour})
	}
	trace, err := Generate(spec)
	if err != nil {
		t.Fatal(err)
	}
	return trace, monday.Add(14 * day)
}

func TestAForecastAtTenSecondsRisesAsTheCampaignBegins(t *testing.T) {
	trace, now := fourCampaigns(t)
	coming := timeline.Span{Start: now.Add(3 * time.Minute), End: now.Add(9 * time.Minute)}
	events := slices.Concat(trace.Events, []forecast.Event{{Kind: CampaignKind, Span: coming}})
	m, err := forecast.Train(trace.History, events, forecast.Options{Step: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Forecast(now, 20*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	p := f.Profile(.99)
	before := p.MaxOver(timeline.Span{Start: now, End: coming.Start})
	during := p.MaxOver(timeline.Span{Start: coming.Start, End: coming.Start.Add(10 * time.Second)})
	height := p.MaxOver(coming)
	later := p.MaxOver(timeline.Span{Start: coming.End, End: now.Add(20 * time.Minute)})
	if before[resource.CPU] > 200 || later[resource.CPU] > 200 {
		t.Errorf("CPU before the campaign %dm, after it %dm, want the base of a tenth of a core", before[resource.CPU], later[resource.CPU])
	}
	if during[resource.CPU] < 500 || height[resource.CPU] < 680 || height[resource.CPU] > 1000 {
		t.Errorf("CPU in the campaign's first step %dm, at its height %dm; it adds up to 600m", during[resource.CPU], height[resource.CPU])
	}
	if rise := (height[resource.Memory] - before[resource.Memory]) >> 20; rise < 80 || rise > 120 {
		t.Errorf("memory rises by %d MiB, a campaign adds 90", rise)
	}
}

func TestEveryPatternIsForecastBetterThanByTheBaseline(t *testing.T) {
	for _, pattern := range Patterns() {
		trace, err := Generate(Spec{Seed: 5, Start: monday, Length: 24 * day, Pattern: pattern, Shapes: Redis()})
		if err != nil {
			t.Fatal(err)
		}
		var h forecast.History
		h[resource.CPU] = trace.History[resource.CPU]
		roll := forecast.Rolling{From: monday.Add(17 * day), To: monday.Add(24 * day)}
		loss := func(members []string) float64 {
			scores, err := forecast.Backtest(h, nil, forecast.Options{Members: members}, roll)
			if err != nil {
				t.Fatal(err)
			}
			return scores[resource.CPU].TotalLoss()
		}
		ratio := loss(nil) / loss(forecast.BaselineMembers())
		t.Logf("%s: %.3f of the conformal seasonal naive's pinball loss", pattern, ratio)
		if !(ratio < 1) {
			t.Errorf("%s: %.3f of the baseline's pinball loss, want less", pattern, ratio)
		}
	}
}
