package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func TestAForecastShowsWhatSignalsAreToBeAndWhatFollowsThem(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	f := proto.ForecastReply{Quantiles: []int{500, 950}, Signals: []proto.SignalForecast{
		{
			Name: "requests", Kind: proto.SignalCounter, Values: [][]float64{{80, 120.123}, {90, 1234.6}}, Pattern: &proto.SignalPattern{Pattern: "periodic", Confidence: 934},
			Effects: []proto.SignalEffect{{Resource: resource.CPU, Each: .8312}, {Resource: resource.NetTx, Each: 12_000}},
		},
		{Name: "sessions", Kind: proto.SignalGauge, Values: [][]float64{{7}, {9.5}}},
	}}
	if err := a.printSignalForecasts(f); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"", "SIGNAL MOST AT P50 MOST AT P95 PATTERN DEMAND",
		"requests 120.1/s 1235/s periodic (93 %) 0.831 ms of cpu each, 12 kbit of net_tx each", "sessions 7 9.5 - -",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestHowReadingSignalsGoesIsSaid(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	a.printSignalStates([]proto.SignalState{
		{Name: "requests", Value: 12.5, At: 1_767_571_200_000}, {Name: "errors"}, {Name: "sessions", Value: 3, At: 1, Fault: "it answered 500 Internal Server Error"},
	})
	for _, want := range []string{"requests: 12.5 at 2026-01-05", "errors: a counter's rate is known when it has been read twice", "sessions: it answered 500"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
