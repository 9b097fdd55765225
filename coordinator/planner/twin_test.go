package planner

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// hold holds what is firm on a host for three days, or in the spans from begin on that are named.
func (w *world) hold(id, host string, firm resource.Vector, spans ...timeline.Span) {
	w.t.Helper()
	if len(spans) == 0 {
		spans = []timeline.Span{{Start: begin, End: begin.Add(72 * time.Hour)}}
	}
	r := proto.Reservation{ID: id, Host: host, Class: proto.Standard, Purpose: proto.PurposeHold}
	for _, s := range spans {
		r.Envelope = append(r.Envelope, proto.Segment{Span: s, Firm: firm})
	}
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{r}})
}

// drawn is a host of a fleet that is drawn.
type drawn struct {
	facts    proto.HostFacts
	cordoned bool
	hold     resource.Vector
	spans    []timeline.Span
}

func drawHosts(t *rapid.T) []drawn {
	out := make([]drawn, rapid.IntRange(1, 30).Draw(t, "hosts"))
	for i := range out {
		d := &out[i]
		d.facts = facts(fmt.Sprintf("host-%02d", i), rapid.SampledFrom([]int64{600, 1000, 2000, 4000}).Draw(t, "cpu"))
		d.facts.Segment = rapid.SampledFrom([]string{"lan", "lan", "lan", "dmz"}).Draw(t, "segment")
		d.facts.DiskFree = rapid.SampledFrom([]int64{0, 50 << 20, 1 << 30}).Draw(t, "disk")
		d.facts.CPUModel = rapid.SampledFrom([]string{"", "", "slow", "fast", "new"}).Draw(t, "model")
		d.facts.CPUScore = map[string]int64{"": 100, "slow": 70, "fast": 180}[d.facts.CPUModel]
		d.cordoned = rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "cordoned")
		d.hold = resource.Vector{
			resource.CPU: rapid.Int64Range(0, 600).Draw(t, "held cpu"), resource.Memory: rapid.Int64Range(0, 4<<30).Draw(t, "held memory"),
			resource.NetRx:      rapid.SampledFrom([]int64{0, 400e6, 800e6, 960e6, 990e6}).Draw(t, "held link"),
			resource.WriteBytes: rapid.SampledFrom([]int64{0, 1 << 29, 1<<30 - 1<<22}).Draw(t, "held disk"),
		}
		at := time.Duration(rapid.IntRange(0, 40).Draw(t, "from")) * time.Hour
		d.spans = []timeline.Span{{Start: begin.Add(at), End: begin.Add(at + 6*time.Hour)}, {Start: begin.Add(at + 12*time.Hour), End: begin.Add(at + 20*time.Hour)}}
	}
	return out
}

// join puts the hosts into the fleet of newWorld in an order, beside those that are there, which are cordoned.
func (w *world) join(hosts []drawn, order []int) {
	w.t.Helper()
	for _, name := range []string{"host-b", "host-c"} {
		w.must(&proto.HostSet{Host: name, Cordoned: true})
	}
	for _, i := range order {
		d := hosts[i]
		w.must(&proto.HostRegister{Facts: d.facts, Incarnation: w.state.View().Fleet().Incarnation})
		w.must(&proto.HostSet{Host: d.facts.Name, Cordoned: d.cordoned})
		w.hold("hold-"+d.facts.Name, d.facts.Name, d.hold, d.spans...)
	}
}

func inOrder(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// everyHost is the dumb twin: it plans the move to every host to its end and takes the best score, and of those alike the first name.
func everyHost(t *rapid.T, in Input) (best string, score int64, fits map[string]bool) {
	p, err := prepare(in)
	if err != nil {
		t.Fatal(err)
	}
	fits = map[string]bool{}
	for host := range in.View.Hosts() {
		name := host.Facts.Name
		if name == p.instance.Owner || host.Cordoned || host.Facts.Segment != "lan" || host.Facts.DiskFree != 0 && host.Facts.DiskFree < in.Data {
			continue
		}
		p := p.on(&host)
		r := p.to(host, in.Now)
		if in.View.Ledger().Fits(p.change(r)) != nil {
			continue
		}
		fits[name] = true
		var c candidate
		in.View.Ledger().Weigh(p.fullSpeed(in.Now), func(n string, fit ledger.Fit) bool {
			if n == name {
				c = candidate{name: n, lie: p.lieOf(fit), short: fit.Short()}
			}
			return true
		})
		if c.short != nil {
			continue
		}
		if s := scoreOf(p.terms(c, r.Plan, p.fastest(in.Now))); s > score {
			best, score = name, s
		}
	}
	return best, score, fits
}

// BestOfAllHosts and NeverOnExcluded: the host that is chosen is the best one that looking at each of them would find.
func TestBestOfAllHosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		hosts := drawHosts(t)
		w.join(hosts, inOrder(len(hosts)))
		in := w.input(Request{Instance: "cache-1", Type: "m.large"})
		in.Data = rapid.SampledFrom([]int64{0, 60 << 20, 2 << 30}).Draw(t, "data")
		want, score, fits := everyHost(t, in)
		r, err := Make(in)
		var no *Refusal
		switch {
		case errors.As(err, &no):
			if want != "" || len(fits) > 0 && len(hosts) <= mostKept {
				t.Fatalf("refused, though %s has %d, of %v: %v", want, score, fits, err)
			}
			return
		case err != nil:
			t.Fatal(err)
		case !fits[r.Plan.Target]:
			t.Fatalf("%s does not fit or is excluded", r.Plan.Target)
		case want != "" && (r.Plan.Target != want || r.Plan.Considered[0].Score != score):
			t.Fatalf("to %s with %d; %s has %d", r.Plan.Target, r.Plan.Considered[0].Score, want, score)
		}
		if err := in.View.Ledger().Fits(ledger.Change{Hold: append(r.Extra, r.Reservation)}); err != nil {
			t.Fatalf("AdmittedAsItStands: %v", err)
		}
		told(t, r.Plan, len(hosts)+2)
	})
}

// told checks what a plan says of the hosts: the best first, scores that are the sums of their terms, and every host counted once.
func told(t *rapid.T, p proto.Plan, hosts int) {
	seen, count := map[string]bool{}, len(p.Considered)
	for i, c := range p.Considered {
		if seen[c.Host] {
			t.Fatalf("%s is told twice", c.Host)
		}
		seen[c.Host] = true
		if i > 0 && c.Score > p.Considered[i-1].Score {
			t.Fatalf("%s comes after one with less", c.Host)
		}
		if (c.Score == 0) != (c.Violates != "") || c.Reason == "" {
			t.Fatalf("%+v", c)
		}
		if c.Score > 0 && c.Score != scoreOf(c.Terms) {
			t.Fatalf("%s scores %d by the terms %+v", c.Host, c.Score, c.Terms)
		}
	}
	for _, r := range p.Ruled {
		count += r.Count
		host, _, _ := strings.Cut(r.Example, ":")
		if r.Count <= 0 || seen[host] {
			t.Fatalf("%+v, beside %v", r, seen)
		}
	}
	if p.Considered[0].Host != p.Target || len(p.Considered) > mostKept || count != hosts {
		t.Fatalf("%d of %d hosts are told of, the first is %s", count, hosts, p.Considered[0].Host)
	}
}

func TestDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := drawHosts(t)
		var first []byte
		for range 2 {
			w := newWorld(t)
			w.join(hosts, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)).Perm(len(hosts)))
			r, err := Make(w.input(Request{Instance: "cache-1", Type: "m.large"}))
			var text []byte
			if err != nil {
				text = []byte(err.Error())
			} else if text, err = proto.Marshal(r.Plan); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = text
			} else if !bytes.Equal(first, text) {
				t.Fatalf("two coordinators plan differently: %s and %s", first, text)
			}
		}
	})
}

func TestPeaksThatDoNotCoincideGoTogether(t *testing.T) {
	day := func(from, to time.Duration) []timeline.Span {
		return []timeline.Span{{Start: begin.Add(from), End: begin.Add(to)}, {Start: begin.Add(24*time.Hour + from), End: begin.Add(24*time.Hour + to)}}
	}
	for _, night := range []bool{false, true} {
		w := newWorld(t)
		w.must(&proto.HostRegister{Facts: facts("host-b", 4000), Incarnation: w.state.View().Fleet().Incarnation})
		w.hold("web", "host-b", resource.Vector{resource.CPU: 2500}, day(0, 12*time.Hour)...)
		w.hold("batch", "host-c", resource.Vector{resource.CPU: 2500}, day(12*time.Hour, 24*time.Hour)...)
		in := w.input(Request{Instance: "cache-1", Type: "m.large"})
		low := resource.Vector{resource.CPU: 50, resource.Memory: 64 << 20}
		high := low
		high[resource.CPU] = 800
		first, second, want := high, low, "host-c"
		if night {
			first, second, want = low, high, "host-b"
		}
		var p timeline.Profile
		for at := time.Duration(0); at < 48*time.Hour; at += 24 * time.Hour {
			p = append(p,
				timeline.Step{Span: timeline.Span{Start: begin.Add(at), End: begin.Add(at + 2*time.Hour)}, Amount: low}, // what a start takes is gone by then
				timeline.Step{Span: timeline.Span{Start: begin.Add(at + 2*time.Hour), End: begin.Add(at + 10*time.Hour)}, Amount: first},
				timeline.Step{Span: timeline.Span{Start: begin.Add(at + 10*time.Hour), End: begin.Add(at + 14*time.Hour)}, Amount: low},
				timeline.Step{Span: timeline.Span{Start: begin.Add(at + 14*time.Hour), End: begin.Add(at + 22*time.Hour)}, Amount: second},
				timeline.Step{Span: timeline.Span{Start: begin.Add(at + 22*time.Hour), End: begin.Add(at + 24*time.Hour)}, Amount: low})
		}
		in.Forecast.Profiles = []timeline.Profile{p, p, p}
		r, err := Make(in)
		if err != nil || r.Plan.Target != want {
			t.Fatalf("night %v: to %q: %v %+v", night, r.Plan.Target, err, r.Plan.Considered)
		}
		if why := r.Plan.Considered[1].Reason; !strings.Contains(why, "most of it for room: ") || !strings.Contains(why, "% of its cpu stay free at its fullest time") ||
			!strings.Contains(why, "; on "+want+" ") {
			t.Errorf("night %v: %q", night, why)
		}
	}
}

// Where hosts are filled one after another the room that is left speaks against a host, and all else as it does.
func TestHostsAreFilledAsThePolicySays(t *testing.T) {
	for fill, want := range map[proto.Fill]string{proto.FillSpread: "host-c", proto.FillPack: "host-b"} {
		w := newWorld(t)
		policy := proto.DefaultPolicy()
		policy.Fill = fill
		w.must(&proto.PolicyPut{Policy: policy})
		w.must(&proto.HostRegister{Facts: facts("host-b", 4000), Incarnation: w.state.View().Fleet().Incarnation})
		w.hold("web", "host-b", resource.Vector{resource.CPU: 2500})
		r, err := Make(w.input(Request{Instance: "cache-1"}))
		if err != nil || r.Plan.Target != want {
			t.Fatalf("fill %q: to %q: %v %+v", fill, r.Plan.Target, err, r.Plan.Considered)
		}
		other := r.Plan.Considered[1]
		if why := other.Reason; !strings.Contains(why, "most of it for room: ") {
			t.Errorf("fill %q: %q", fill, why)
		}
		for _, c := range r.Plan.Considered {
			room, peaks := c.Terms[0].Points, c.Terms[1].Points
			if c.Score != scoreOf(c.Terms) || room <= 0 || room >= roomWeight || peaks <= 0 {
				t.Errorf("fill %q: %s scores %d: %+v", fill, c.Host, c.Score, c.Terms)
			}
		}
	}
}

// What a look at a few steps of a host says of a move to it is what planning it to its end does.
func TestAScoreIsMadeOutOfAFewSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		hosts := drawHosts(t)
		w.join(hosts, inOrder(len(hosts)))
		var reduced timeline.Profile
		for i := range rapid.IntRange(0, 4).Draw(t, "reductions") { // of the source
			span := timeline.Span{Start: begin.Add(time.Duration(i) * 7 * time.Minute), End: begin.Add(time.Duration(i+1) * 7 * time.Minute)}
			reduced = append(reduced, timeline.Step{Span: span, Amount: resource.Vector{resource.NetTx: mbit * rapid.Int64Range(0, 990).Draw(t, "link")}})
		}
		w.must(&proto.HostSet{Host: "host-a", Reduced: reduced})
		in := w.input(Request{Instance: "cache-1", Type: "m.large", At: begin.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "start")) * time.Minute)})
		in.Data = rapid.Int64Range(0, 8<<30).Draw(t, "data")
		p, err := prepare(in)
		if err != nil {
			t.Fatal(err)
		}
		start := p.begin()
		for host := range in.View.Hosts() {
			name := host.Facts.Name
			if name == p.instance.Owner {
				continue
			}
			if rapid.Bool().Draw(t, "given up") {
				p.recent.gaveUp = map[string]past{name: {"m1", begin}}
			}
			p := p.on(&host)
			phases, r := p.pace(name, start), p.to(host, start)
			if !reflect.DeepEqual(phases, r.Plan.Phases) {
				t.Fatalf("%s: %v, and to its end %v", name, phases, r.Plan.Phases)
			}
			c := candidate{name: name, lie: p.lie(name)}
			if got, want := p.worth(c, phases, p.fastest(start)), scoreOf(p.terms(c, r.Plan, p.fastest(start))); got != want {
				t.Fatalf("%s scores %d, and to its end %d", name, got, want)
			}
		}
	})
}

// Of hosts that are all alike, as they are where the source's link makes every move slow, a move is planned to its end for no more than are kept.
func TestFewMovesArePlannedToTheirEnd(t *testing.T) {
	w := newWorld(t)
	large(w, 300, 0)
	w.must(&proto.HostSet{Host: "host-a", Reduced: timeline.Flat(timeline.Span{Start: begin, End: timeline.Forever}, resource.Vector{resource.NetTx: 900 * mbit})})
	in := plans(w)
	p, err := prepare(in)
	if err != nil {
		t.Fatal(err)
	}
	l := p.list(in.Now)
	if l.tried != mostKept || len(l.options) != mostKept || l.fits < 300 {
		t.Errorf("a move is planned to %d of %d hosts, %d are kept", l.tried, l.fits, len(l.options))
	}
	if first := l.options[0]; first.score >= first.candidate.score {
		t.Errorf("%s scores %d of %d: the link does not show", first.name, first.score, first.candidate.score)
	}
}
