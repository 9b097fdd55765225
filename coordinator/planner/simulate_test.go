package planner

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// drawLine draws pieces of up to most thousands in a second, so that a millisecond has a whole amount, each at most long milliseconds.
func drawLine(t *rapid.T, name string, start timeline.Time, most int64, long int) line {
	var l line
	at := start
	for range rapid.IntRange(1, 6).Draw(t, name) {
		l.add(at, 1000*rapid.Int64Range(0, most).Draw(t, "rate"))
		at += timeline.Time(rapid.IntRange(1, long).Draw(t, "length"))
	}
	return l
}

// at is what a line has at an instant, piece by piece.
func (l line) at(t timeline.Time) int64 {
	out := l.rates[0]
	for i, start := range l.starts {
		if start <= t {
			out = l.rates[i]
		}
	}
	return out
}

func TestLinesAgreeWithEveryMillisecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawLine(t, "a", 50, 5, 60), drawLine(t, "b", 80, 5, 60)
		both := merged(a, b, minOf)
		from := timeline.Time(rapid.IntRange(0, 300).Draw(t, "from"))
		length := timeline.Time(rapid.IntRange(1, 400).Draw(t, "length"))
		amount := rapid.Int64Range(0, 600).Draw(t, "amount")
		var sum, least, most, reached int64
		least = 1 << 60
		until := timeline.Time(-1)
		for at := from; at < from+length; at++ {
			if until < 0 && sum >= amount {
				until = at
			}
			sum += a.at(at) / 1000
			least, most = min(least, a.at(at)), max(most, a.at(at))
			if got := both.at(at); got != min(a.at(at), b.at(at)) {
				t.Fatalf("the smaller of both at %d is %d", at, got)
			}
		}
		if reached = sum; until < 0 && reached >= amount {
			until = from + length
		}
		span := timeline.Span{Start: from, End: from + length}
		if got := a.sum(span); math.Abs(got-float64(sum)) > 1e-6 {
			t.Errorf("over %v it is %v, want %d", span, got, sum)
		}
		if got := a.least(span); got != least {
			t.Errorf("the least over %v is %d, want %d", span, got, least)
		}
		if got := a.most(span); got != most {
			t.Errorf("the most over %v is %d, want %d", span, got, most)
		}
		// A sum that is rounded may come to the amount a millisecond later.
		if got := a.until(from, float64(amount)); until >= 0 && (got < until-1 || got > until+1) || until < 0 && got < span.End {
			t.Errorf("%d come together from %d until %d, want %d", amount, from, got, until)
		}
	})
}

func TestATransferGoesAsMillisecondAfterMillisecondSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := DefaultCosts()
		c.Round = time.Duration(rapid.IntRange(1, 300).Draw(t, "overhead")) * time.Millisecond
		data := rapid.Int64Range(0, 40_000).Draw(t, "data") * 1000
		dirty, rate := drawLine(t, "dirty", 0, 20_000, 2000), drawLine(t, "rate", 0, 20_000, 2000)
		rate.add(rate.starts[len(rate.starts)-1]+1, 5_000_000) // it ends
		got := c.transfer(data, 100, dirty, rate)

		want := Transfer{Settled: true}
		at, rest := timeline.Time(100), data
		send := func() {
			for sent := int64(0); sent < rest; at++ {
				sent += rate.at(at) / 1000
			}
		}
		for {
			begin := at
			send()
			at += timeline.Time(c.Round.Milliseconds())
			var written int64
			for ms := begin; ms < at; ms++ {
				written += dirty.at(ms) / 1000
			}
			written = min(written, data)
			want.Rounds++
			want.Bytes += rest
			before := rest
			rest = written
			if written > smallRest && written >= before {
				want.Settled = false
				break
			}
			if written <= smallRest || want.Rounds == maxRounds {
				break
			}
		}
		want.Copy = time.Duration(at-100) * time.Millisecond
		want.Rest = rest
		want.Bytes += rest
		last := at
		send()
		want.Downtime = c.Stop + c.Start + c.Switch + seconds(data, c.Reread) + time.Duration(at-last)*time.Millisecond
		if got != want {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	})
}

func TestRoundsThatNeverEndArePredictedAllTheSame(t *testing.T) {
	got := DefaultCosts().transfer(1<<50, begin, flat(resource.Unlimited), flat(1))
	if got.Settled || got.Copy < farAhead || got.Downtime < farAhead || begin.Add(got.Copy+got.Downtime) >= timeline.Forever {
		t.Errorf("%+v", got)
	}
}

// course predicts moving cache-1 to host-b with what else a test says.
func (w *world) course(in Input, start timeline.Time) (*planning, course) {
	w.t.Helper()
	in.View, in.Costs = w.state.View(), DefaultCosts()
	in.Request.Instance, in.Request.Target, in.Request.Type = "cache-1", "host-b", "m.large"
	p, err := prepare(in)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	host, _ := in.View.Host("host-b")
	return p, p.course(p.way(host), start)
}

func TestATransferIsNeverPlannedFasterThanWhatIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for _, host := range []string{"host-a", "host-b"} {
			var reduced timeline.Profile
			at := begin.Floor(grid)
			for range rapid.IntRange(0, 5).Draw(t, "reductions") {
				end := at.Add(grid * time.Duration(rapid.IntRange(1, 20).Draw(t, "steps")))
				share := rapid.Int64Range(0, 100).Draw(t, "share")
				reduced = append(reduced, timeline.Step{Span: timeline.Span{Start: at, End: end}, Amount: resource.Vector{
					resource.NetTx: 9_800_000 * share, resource.NetRx: 9_800_000 * share, resource.ReadBytes: 10 << 20 * share, resource.WriteBytes: 10 << 20 * share,
				}})
				at = end
			}
			w.must(&proto.HostSet{Host: host, Reduced: reduced})
		}
		start := begin.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "start")) * time.Minute)
		in := Input{Now: begin, Data: rapid.Int64Range(0, 8<<30).Draw(t, "data"), Forecast: forecast(700)}
		p, c := w.course(in, start)
		busy := c.busy(grid)
		if busy.Start > start || busy.End < c.phases[2].End || busy.End < c.high.end(c.phases[1].Start) {
			t.Fatalf("it holds the links in %v, and needs them from %v to %v", busy, start, c.phases[2].End)
		}
		for _, end := range []struct {
			host  string
			kinds [2]resource.Kind
		}{{"host-a", [2]resource.Kind{resource.NetTx, resource.ReadBytes}}, {"host-b", [2]resource.Kind{resource.NetRx, resource.WriteBytes}}} {
			for _, s := range w.state.View().Ledger().Steps(end.host) {
				if !s.Overlaps(busy) {
					continue
				}
				link, disk := s.Headroom()[end.kinds[0]], s.Headroom()[end.kinds[1]]*8
				if c.rate > max(leastRate, min(link, disk)/2) {
					t.Fatalf("it is to move at %d bit/s, and %s has %d and %d left in %v", c.rate, end.host, link, disk, s.Span)
				}
			}
		}
		if c.rate < leastRate || c.rate > DefaultCosts().Rate {
			t.Fatalf("it is to move at %d bit/s", c.rate)
		}
		f := c.figures()
		for _, b := range []proto.Band{f.Bytes, f.Duration, f.Downtime} {
			if b.Median > b.High || b.Median < 0 {
				t.Fatalf("%+v: the band is the wrong way round", f)
			}
		}
		var pressure int64
		copying := c.phases[1].Span
		for host, kinds := range map[string][]resource.Kind{"host-a": {resource.NetTx, resource.ReadBytes}, "host-b": {resource.NetRx, resource.WriteBytes}} {
			for _, s := range w.state.View().Ledger().Steps(host) {
				if !s.Overlaps(copying) {
					continue
				}
				for k, n := range s.Needed {
					if k := resource.Kind(k); k == resource.Memory || k == resource.ReadIOPS || k == resource.WriteIOPS || s.Limit[k] == 0 {
						continue
					}
					if host == "host-b" {
						n += p.wanted.MaxOver(s.Span)[k]
					}
					switch resource.Kind(k) {
					case kinds[0]:
						n += c.rate
					case kinds[1]:
						n += c.rate / 8
					}
					pressure = max(pressure, min(1000, n*1000/s.Limit[k]))
				}
			}
		}
		if f.Pressure != pressure {
			t.Fatalf("neighbours at %d, want %d", f.Pressure, pressure)
		}
	})
}
