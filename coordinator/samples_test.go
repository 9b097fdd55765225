package coordinator

import (
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/history"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// TestAWindowOfAnotherTimeHarmsNobody has an agent report windows that can't be, before another host's: they are not stored, at the home and at its standby, and those are.
func TestAWindowOfAnotherTimeHarmsNobody(t *testing.T) {
	k := keepers(t)
	c := k.all["c1"]
	caughtUp, now := time.Now(), timeline.Of(time.Now()).Floor(history.RawStep)
	c.catching.at.Store(&caughtUp)
	report := func(starts ...timeline.Time) {
		t.Helper()
		s := proto.Samples{Sequence: 7}
		for _, start := range starts {
			s.Windows = append(s.Windows, proto.Window{Instance: "cache-1", Start: start, Samples: 10}, proto.Window{Instance: proto.SystemInstance, Start: start, Samples: 10})
		}
		got, err := c.serveSamples(t.Context(), wire.Peer{Identity: pki.Identity{Fleet: "f", Kind: pki.Agent, Name: "host-a"}}, s)
		if err != nil || got.Sequence != 7 {
			t.Fatal(got, err)
		}
	}
	report(now.Add(400*24*time.Hour), now.Add(2*time.Hour), math.MaxInt64, math.MinInt64, 0, now.Add(-49*time.Hour))
	for _, name := range []string{"c1", "c2"} {
		if newest := k.all[name].history.Newest("cache-1"); newest != 0 {
			t.Errorf("%s has a window of %s", name, newest)
		}
	}
	report(now.Add(-20*time.Hour), now.Add(-10*time.Second))
	for _, name := range []string{"c1", "c2"} {
		if newest := k.all[name].history.Newest("cache-1"); newest != now.Add(-10*time.Second) {
			t.Errorf("%s has the newest window of %s", name, newest)
		}
		if err := k.all[name].history.Fold(t.Context()); err != nil {
			t.Error(err)
		}
		got, err := k.all[name].history.Raw(t.Context(), "cache-1", history.DemandMean, timeline.Span{Start: now.Add(-47 * time.Hour), End: now})
		if err != nil || len(got[0].Values) != 20*360 {
			t.Errorf("%s has %d windows, %v", name, len(got[0].Values), err)
		}
	}
}

func TestOfSignalsThereAreThoseThatAnInstanceHasByItsFile(t *testing.T) {
	f := apitest.New(t)
	spec := apitest.Spec("cache-1")
	spec.Signals = []proto.Signal{{Name: "requests", URL: "http://127.0.0.1:9121/metrics", Metric: "requests_total", Kind: proto.SignalCounter}}
	f.Must(&proto.InstanceApply{Spec: spec, Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}}}})
	for instance, want := range map[string]int{"cache-1": 1, "web-1": 0, proto.SystemReservation("host-a"): 0} {
		w := proto.Window{Instance: instance, Signals: []proto.SignalSample{{Name: "made-up", Value: 1}, {Name: "requests", Value: 2}}}
		if got := declared(f.View(), w); len(got) != want || want > 0 && got[0].Name != "requests" {
			t.Errorf("of %s there are %v", instance, got)
		}
	}
}
