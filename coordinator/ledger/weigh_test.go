package ledger

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// weighed is what Weigh says of a host, good for longer than the call.
type weighed struct {
	Tightest         int32
	Kind             resource.Kind
	Span             timeline.Span
	MeanSquare, Rise int64
	Skew, SkewRise   int64
	Short            *proto.Shortfall
}

func weighedOf(f Fit) weighed {
	return weighed{f.Tightest, f.Kind, f.Span, f.MeanSquare, f.Rise, f.Skew, f.SkewRise, f.Short()}
}

func weighAll(l *Ledger, e proto.Envelope) map[string]weighed {
	out := map[string]weighed{}
	l.Weigh(e, func(host string, f Fit) bool {
		out[host] = weighedOf(f)
		return true
	})
	return out
}

// weigh compares Weigh with Scan, with Fits, with a ledger that never knew anything but what is held now, and with the
// envelopes themselves.
func (w *twin) weigh(t *rapid.T, l *Ledger) {
	probe := reservations(w.now).Draw(t, "weighed")
	probe.ID, probe.Forced = "weighed", false
	got := weighAll(l, probe.Envelope)
	for host, want := range l.Scan(probe.Envelope) {
		if diff := cmp.Diff(want, got[host].Short); diff != "" {
			t.Fatalf("Weigh and Scan differ on %s:\n%s", host, diff)
		}
	}
	fresh, err := New(Grid{10 * time.Second}, w.z, w.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.caps {
		w.setHost(t, fresh, c)
	}
	if err := fresh.Restore(slices.Collect(maps.Values(w.held))); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(weighAll(fresh, probe.Envelope), got); diff != "" {
		t.Fatalf("what was done before counts (-fresh +ledger):\n%s", diff)
	}
	for host, f := range got {
		probe.Host = host
		var want *proto.Shortfall
		if err := l.Fits(Change{Hold: []proto.Reservation{probe}}); err != nil && !errors.As(err, &want) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, f.Short); diff != "" {
			t.Fatalf("Weigh and Fits differ on %s:\n%s", host, diff)
		}
		with := append(w.on(host), probe)
		if least := w.tightest(host, with); f.Short == nil && (float64(f.Tightest) > max(0, least)*1000 || f.Tightest < 0) {
			t.Fatalf("%s keeps %d thousandths free, in truth %g", host, f.Tightest, least*1000)
		}
		alone, ok := l.WeighOn(host, probe.Envelope)
		if diff := cmp.Diff(f, weighedOf(alone)); diff != "" || !ok {
			t.Fatalf("%s alone: %v\n%s", host, ok, diff)
		}
		if alone.Limit > 0 && (int64(alone.Tightest) != alone.Free*1000/alone.Limit || alone.Limit != w.whole(host, int(alone.Kind))) {
			t.Fatalf("%s keeps %d of %d free, which is not %d thousandths", host, alone.Free, alone.Limit, alone.Tightest)
		}
		square, skew := w.balance(host, w.on(host), with[len(with)-1:])
		was, wasSkew := w.balance(host, w.on(host), nil)
		for what, pair := range map[string][2]float64{
			"mean square": {square, float64(f.MeanSquare) / 1e6}, "its rise": {square - was, float64(f.Rise) / 1e6},
			"skew": {skew, float64(f.Skew) / 1e6}, "its rise by it": {skew - wasSkew, float64(f.SkewRise) / 1e6},
		} {
			if off := math.Abs(pair[0] - pair[1]); off > 1e-3*max(1, pair[0]) {
				t.Fatalf("%s of %s is %g, want %g", what, host, pair[1], pair[0])
			}
		}
	}
}

// tightest is the smallest share of a limit that is free in any step.
func (w *twin) tightest(host string, held []proto.Reservation) float64 {
	least := 1.0
	for _, s := range w.spans() {
		for k := range resource.Kinds {
			whole := w.whole(host, k)
			if whole <= 0 || whole >= resource.Unlimited {
				continue
			}
			least = min(least, float64(w.limit(host, s, k)-needed(held, s, k, w.z))/float64(whole))
		}
	}
	return least
}

// whole is a host's limit where nothing is reduced.
func (w *twin) whole(host string, k int) int64 {
	c := w.caps[host]
	c.Reduced = nil
	return (&twin{caps: map[string]Capacity{host: c}}).limit(host, timeline.Span{}, k)
}

// balance is, of what is held and a probe, the mean of the squared shares and that of the variances between the resources, by blocks of the grid.
func (w *twin) balance(host string, held, probe []proto.Reservation) (square, skew float64) {
	next := w.now.Floor(10 * time.Second).Ceil(time.Minute) // where the coarse step that was split last ends
	type block struct {
		spans  []timeline.Span
		weight float64
	}
	var blocks []block
	add := func(from timeline.Time, steps int, length timeline.Time, weight float64) timeline.Time {
		b := block{weight: weight}
		for i := range timeline.Time(steps) {
			b.spans = append(b.spans, timeline.Span{Start: from + i*length, End: from + (i+1)*length})
		}
		blocks = append(blocks, b)
		return from + timeline.Time(steps)*length
	}
	at := next
	for range 6 {
		at = add(at, 12, 10*second, 12)
	}
	for range 21 {
		at = add(at, 4, 60*second, 24)
	}
	blocks = append(blocks, block{[]timeline.Span{{Start: at, End: timeline.Forever}}, 24})
	total := 0.0
	for _, b := range blocks {
		var sum, squares, kinds float64
		for k := range resource.Kinds {
			whole := w.whole(host, k)
			if whole <= 0 || whole >= resource.Unlimited {
				continue
			}
			var there, more float64
			for _, s := range b.spans {
				there += float64(needed(held, s, k, 0))
				more += float64(needed(probe, s, k, 0))
			}
			n := float64(len(b.spans)) // amounts are whole units
			used := min((math.Floor(there/n)+math.Floor(more/n))/float64(whole), 16)
			sum, squares, kinds = sum+used, squares+used*used, kinds+1
		}
		if kinds == 0 {
			return 0, 0
		}
		total += b.weight
		square += b.weight * squares / kinds
		skew += b.weight * (squares/kinds - sum*sum/kinds/kinds)
	}
	return square / total, skew / total
}

func TestPeaksThatDoNotCoincideWeighLess(t *testing.T) {
	l := newLedger(t, "by-day", "by-night")
	const day = timeline.Time(86_400_000)
	noon := timeline.Time(now).Floor(24*time.Hour) + day + day/2
	peak := func(id, host string, at timeline.Time) proto.Reservation {
		return proto.Reservation{ID: id, Host: host, Class: proto.Standard, Purpose: proto.PurposeHold, Envelope: proto.Envelope{
			{Span: timeline.Span{Start: now, End: at}, Firm: resource.Uniform(10)},
			{Span: timeline.Span{Start: at, End: at + 4*3_600_000}, Firm: resource.Uniform(50)},
			{Span: timeline.Span{Start: at + 4*3_600_000, End: timeline.Forever}, Firm: resource.Uniform(10)},
		}}
	}
	if err := l.Hold(peak("a", "by-day", noon), peak("b", "by-night", noon-day/2)); err != nil {
		t.Fatal(err)
	}
	got := weighAll(l, peak("c", "", noon).Envelope)
	day1, night := got["by-day"], got["by-night"]
	if day1.MeanSquare <= night.MeanSquare || day1.Rise <= night.Rise || day1.Tightest >= night.Tightest {
		t.Fatalf("beside another peak %+v, apart from it %+v", day1, night)
	}
	if day1.Tightest != 0 || night.Tightest != 400 || day1.Span.Start > noon || day1.Span.End <= noon {
		t.Fatalf("free: %d thousandths at %s, and %d", day1.Tightest, day1.Span, night.Tightest)
	}
}

func TestWhatEvensResourcesOutSkewsLess(t *testing.T) {
	l := newLedger(t, "cpu", "memory")
	only := func(id, host string, k resource.Kind) proto.Reservation {
		r := hold(id, host, 0, now, timeline.Forever)
		r.Envelope[0].Firm[k] = 60
		return r
	}
	if err := l.Hold(only("a", "cpu", resource.CPU), only("b", "memory", resource.Memory)); err != nil {
		t.Fatal(err)
	}
	got := weighAll(l, only("c", "", resource.CPU).Envelope)
	if s := got["cpu"]; s.Short == nil || s.Short.Missing != 20 || s.Tightest != 0 {
		t.Fatalf("%+v", s)
	}
	if got["memory"].Skew >= got["cpu"].Skew || got["memory"].SkewRise >= got["cpu"].SkewRise {
		t.Fatalf("even %+v, uneven %+v", got["memory"], got["cpu"])
	}
}

func TestWeighingStopsWhenItIsTold(t *testing.T) {
	l := newLedger(t, "a", "b", "c")
	var asked []string
	l.Weigh(hold("x", "", 1, now, timeline.Forever).Envelope, func(host string, _ Fit) bool {
		asked = append(asked, host)
		return len(asked) < 2
	})
	if diff := cmp.Diff([]string{"a", "b"}, asked); diff != "" {
		t.Fatal(diff)
	}
}
