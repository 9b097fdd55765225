package forecast

import (
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// campaigns adds 600 to the values during the spans and returns the events.
func campaigns(values []float64, length time.Duration, starts ...time.Duration) []Event {
	var events []Event
	for _, at := range starts {
		for i := int(at / step); i < int((at+length)/step) && i < len(values); i++ {
			values[i] += 600
		}
		events = append(events, Event{Kind: "campaign", Span: timeline.Span{Start: after(at), End: after(at + length)}})
	}
	return events
}

func TestARegisteredCampaignIsAnticipated(t *testing.T) {
	values := seasonalDays(14, 1)
	events := campaigns(values, 2*time.Hour, 3*day+9*time.Hour, 6*day+15*time.Hour, 11*day+20*time.Hour)
	now := after(14 * day)
	coming := timeline.Span{Start: now.Add(5 * time.Hour), End: now.Add(7 * time.Hour)}
	quiet := mustForecast(t, cpu(values), events, one(), now, 24*time.Hour)
	busy := mustForecast(t, cpu(values), append(events, Event{Kind: "campaign", Span: coming}), one(), now, 24*time.Hour)
	for i := range busy.Steps() {
		for qi := range busy.Quantiles {
			rise := busy.Values[resource.CPU][qi][i] - quiet.Values[resource.CPU][qi][i]
			in := coming.Contains(busy.Start.Add(time.Duration(i) * step))
			if in && (rise < 540 || rise > 900) || !in && rise != 0 {
				t.Fatalf("step %d quantile %v: rise %.0f, campaign %v", i, busy.Quantiles[qi], rise, in)
			}
		}
	}
	e := busy.Reasons[resource.CPU].Effects
	if len(e) != 1 || e[0].Kind != "campaign" || e[0].Occurrences != 3 || math.Abs(e[0].Mean-600) > 40 {
		t.Errorf("effects %+v", e)
	}
}

func TestACampaignIsNotLearnedAsASeason(t *testing.T) {
	plain := seasonalDays(14, 1)
	values := append([]float64(nil), plain...)
	var starts []time.Duration
	for d := 8; d < 14; d++ { // each noon of the last six days
		starts = append(starts, time.Duration(d)*day+12*time.Hour)
	}
	events := campaigns(values, 2*time.Hour, starts...)
	now := after(14 * day)
	without := mustForecast(t, cpu(plain), nil, one(), now, 24*time.Hour)
	known := mustForecast(t, cpu(values), events, one(), now, 24*time.Hour)
	unknown := mustForecast(t, cpu(values), nil, one(), now, 24*time.Hour)
	noon := 13 * 12
	want, got, season := without.Values[resource.CPU][0][noon], known.Values[resource.CPU][0][noon], unknown.Values[resource.CPU][0][noon]
	if math.Abs(got-want) > 60 {
		t.Errorf("at noon with the campaigns known %.0f, want about %.0f", got, want)
	}
	if season < want+300 {
		t.Errorf("at noon with the campaigns not known %.0f: this test would not see a season learned", season)
	}
}

func TestTheShapeWithinAnEventIsLearned(t *testing.T) {
	values := seasonalDays(14, 1)
	var events []Event
	for _, d := range []int{2, 5, 9, 12} {
		from := d*perDay + 100
		for i := range 36 { // three hours, all of the load in the first
			if i < 12 {
				values[from+i] += 500
			}
		}
		events = append(events, Event{Kind: "launch", Span: timeline.Span{Start: after(time.Duration(from) * step), End: after(time.Duration(from+36) * step)}})
	}
	now := after(14 * day)
	events = append(events, Event{Kind: "launch", Span: timeline.Span{Start: now.Add(time.Hour), End: now.Add(4 * time.Hour)}})
	with := mustForecast(t, cpu(values), events, one(), now, 6*time.Hour)
	without := mustForecast(t, cpu(values), events[:4], one(), now, 6*time.Hour)
	rise := func(i int) float64 { return with.Values[resource.CPU][0][i] - without.Values[resource.CPU][0][i] }
	if rise(14) < 420 || rise(40) > 80 {
		t.Errorf("rise in the first hour %.0f, in the last %.0f", rise(14), rise(40))
	}
}

func TestNoiseIsNotLearnedAsAnEffect(t *testing.T) {
	var events []Event
	for d := range 12 {
		at := time.Duration(d)*day + 7*time.Hour
		events = append(events, Event{Kind: "nothing", Span: timeline.Span{Start: after(at), End: after(at + time.Hour)}})
	}
	f := mustForecast(t, cpu(seasonalDays(14, 1)), events, one(), after(14*day), time.Hour)
	if e := f.Reasons[resource.CPU].Effects[0]; math.Abs(e.Mean) > 10 {
		t.Errorf("an effect of %.1f was found in noise of 15", e.Mean)
	}
}

func TestAStatedSizeStandsInForOccurrencesAndYieldsToThem(t *testing.T) {
	now := after(14 * day)
	coming := Event{Kind: "campaign", Span: timeline.Span{Start: now, End: now.Add(time.Hour)}}
	coming.Stated[resource.CPU] = 200
	values := seasonalDays(14, 1)
	median := func(events []Event) float64 {
		return mustForecast(t, cpu(values), events, one(), now, time.Hour).Values[resource.CPU][0][3]
	}
	base := median(nil)
	if rise := median([]Event{coming}) - base; math.Abs(rise-200) > 1 {
		t.Errorf("with no occurrence the rise is %.0f, want the stated 200", rise)
	}
	past := campaigns(values, 2*time.Hour, 3*day+9*time.Hour, 6*day+15*time.Hour, 11*day+20*time.Hour)
	if rise := median(append(past, coming)) - base; rise < 450 || rise > 550 {
		t.Errorf("with three occurrences of 600 the rise is %.0f, want about 500", rise)
	}
	coming.Size = 2
	coming.Stated = resource.Vector{}
	if rise := median(append(past, coming)) - base; rise < 1100 || rise > 1300 {
		t.Errorf("of size 2 the rise is %.0f, want about 1200", rise)
	}
}

func TestOverlappingKindsAreToldApart(t *testing.T) {
	values := seasonalDays(14, 1)
	var events []Event
	add := func(kind string, at time.Duration, amount float64) {
		for i := int(at / step); i < int(at/step)+24; i++ {
			values[i] += amount
		}
		events = append(events, Event{Kind: kind, Span: timeline.Span{Start: after(at), End: after(at + 2*time.Hour)}})
	}
	add("sale", 2*day, 400)
	add("sale", 7*day, 400)
	add("sale", 10*day, 400)
	add("backup", 4*day, 100)
	add("backup", 7*day, 100)
	add("backup", 12*day, 100)
	f := mustForecast(t, cpu(values), events, one(), after(14*day), time.Hour)
	e := f.Reasons[resource.CPU].Effects
	if len(e) != 2 || math.Abs(e[0].Mean-100) > 35 || math.Abs(e[1].Mean-400) > 50 {
		t.Errorf("effects %+v", e)
	}
}

func TestEventsThatCoverEverythingAreNotLearned(t *testing.T) {
	all := Event{Kind: "always", Span: timeline.Span{Start: monday, End: after(20 * day)}}
	f := mustForecast(t, cpu(seasonalDays(14, 1)), []Event{all}, one(), after(14*day), time.Hour)
	if v := f.Values[resource.CPU][0][0]; v < 250 || v > 350 {
		t.Errorf("median %.0f, want about 300", v)
	}
}

func TestKindsThatAlwaysComeTogetherAddUpToWhatWasSeen(t *testing.T) {
	values := seasonalDays(14, 1)
	events := campaigns(values, 2*time.Hour, 3*day+9*time.Hour, 6*day+15*time.Hour, 11*day+20*time.Hour)
	for _, e := range events[:3] {
		e.Kind = "mailing"
		events = append(events, e)
	}
	f := mustForecast(t, cpu(values), events, one(), after(14*day), time.Hour)
	e := f.Reasons[resource.CPU].Effects
	if len(e) != 2 || math.Abs(e[0].Mean+e[1].Mean-600) > 40 {
		t.Errorf("effects %+v", e)
	}
}

func TestAnEventThatDoesNotMoveAResourceIsNothingToIt(t *testing.T) {
	values := seasonalDays(14, 1)
	events := campaigns(values, 2*time.Hour, 3*day+9*time.Hour, 6*day+15*time.Hour, 11*day+20*time.Hour)
	now := after(14 * day)
	events = append(events, Event{Kind: "campaign", Span: timeline.Span{Start: now.Add(5 * time.Hour), End: now.Add(7 * time.Hour)}})
	h := cpu(values)
	h[resource.NetTx] = h[resource.CPU]
	for i := range events {
		events[i].Not[resource.NetTx] = true
	}
	got, without := mustForecast(t, h, events, one(), now, 24*time.Hour), mustForecast(t, h, nil, one(), now, 24*time.Hour)
	for qi := range got.Quantiles {
		for i, v := range got.Values[resource.NetTx][qi] {
			if v != without.Values[resource.NetTx][qi][i] {
				t.Fatalf("step %d: %v, without events %v", i, v, without.Values[resource.NetTx][qi][i])
			}
		}
	}
	if e := got.Reasons[resource.NetTx].Effects; len(e) != 0 {
		t.Errorf("effects %+v", e)
	}
	if rise := got.Values[resource.CPU][0][6*12] - without.Values[resource.CPU][0][6*12]; rise < 400 {
		t.Errorf("where it counts the rise is %.0f", rise)
	}
}
