package ledger

import (
	"cmp"
	"errors"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// twin is a ledger without arrays, trees or 128-bit tricks: it adds everything up again at every question.
type twin struct {
	step time.Duration // base step of the grid; 10 s where it is not said
	z    int64
	now  timeline.Time
	caps map[string]Capacity
	held map[string]proto.Reservation
}

const second = timeline.Time(1000)

// spans returns the grid, written down another way than layout does.
func (w *twin) spans() []timeline.Span {
	var out []timeline.Span
	step := cmp.Or(w.step, 10*time.Second)
	at := w.now.Floor(step)
	fine := at.Add(72 * step).Ceil(6 * step)
	coarse := fine.Add(84 * 6 * step)
	for ; at < fine; at = at.Add(step) {
		out = append(out, timeline.Span{Start: at, End: at.Add(step)})
	}
	for ; at < coarse; at = at.Add(6 * step) {
		out = append(out, timeline.Span{Start: at, End: at.Add(6 * step)})
	}
	return append(out, timeline.Span{Start: coarse, End: timeline.Forever})
}

func (w *twin) on(host string) []proto.Reservation {
	var out []proto.Reservation
	for _, id := range slices.Sorted(maps.Keys(w.held)) {
		if w.held[id].Host == host {
			out = append(out, w.held[id])
		}
	}
	return out
}

// needed is the admission condition's left side over a span: of each reservation the largest it holds in it.
func needed(held []proto.Reservation, s timeline.Span, k int, z int64) int64 {
	var sum, deviations int64
	own, common := new(big.Int), new(big.Int)
	for _, r := range held {
		var f, o, c int64
		for _, g := range r.Envelope {
			if g.Overlaps(s) {
				f, o, c = max(f, g.Firm[k]+g.Mean[k]), max(o, g.Own[k]), max(c, g.Common[k])
			}
		}
		sum += f
		if o+c > 0 {
			deviations += o + c
			own.Add(own, new(big.Int).Mul(big.NewInt(o), big.NewInt(o)))
			common.Add(common, big.NewInt(c))
		}
	}
	if deviations == 0 {
		return sum
	}
	own.Add(own, common.Mul(common, common))
	root := new(big.Int).Sqrt(own)
	if new(big.Int).Mul(root, root).Cmp(own) < 0 {
		root.Add(root, big.NewInt(1))
	}
	root.Mul(root, big.NewInt(z)).Add(root, big.NewInt(999)).Div(root, big.NewInt(1000))
	return sum + root.Int64()
}

func (w *twin) limit(host string, s timeline.Span, k int) int64 {
	c := w.caps[host]
	n := c.Allocatable[k]
	if n >= resource.Unlimited {
		return n
	}
	n -= c.Reduced.MaxOver(s)[k]
	if resource.Kind(k) == resource.Memory {
		n -= c.Debt
	}
	return max(0, n) * c.Ratio[k] / 1000
}

// short returns the first step and resource of the host where after needs more than the limit and more than before.
func (w *twin) short(host string, before, after []proto.Reservation) *proto.Shortfall {
	for _, s := range w.spans() {
		for k := range resource.Kinds {
			limit := w.limit(host, s, k)
			n := needed(after, s, k, w.z)
			if limit < resource.Unlimited && n > limit && n > needed(before, s, k, w.z) {
				return &proto.Shortfall{Host: host, Span: s, Resource: resource.Kind(k), Missing: n - limit, Needed: n, Limit: limit}
			}
		}
	}
	return nil
}

// try answers what Apply should, for a change whose reservations are valid and named once.
func (w *twin) try(c Change) (map[string]proto.Reservation, *proto.Shortfall) {
	next := maps.Clone(w.held)
	base := maps.Clone(w.held)
	hosts := map[string]bool{}
	for _, id := range c.Release {
		hosts[next[id].Host] = true
		delete(next, id)
	}
	for _, r := range slices.Concat(c.Revise, c.Hold) {
		hosts[r.Host] = true
		if r.Forced {
			base[r.ID] = r
		} else if base[r.ID].Forced {
			delete(base, r.ID)
		}
		next[r.ID] = r
	}
	after, before := &twin{held: next}, &twin{held: base}
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		if s := w.short(host, before.on(host), after.on(host)); s != nil {
			return nil, s
		}
	}
	return next, nil
}

var hostNames = []string{"a", "b", "c"}

func vectors(most int64) *rapid.Generator[resource.Vector] {
	return rapid.Custom(func(t *rapid.T) resource.Vector {
		var v resource.Vector
		for _, k := range []resource.Kind{resource.CPU, resource.Memory, resource.NetTx} {
			v[k] = rapid.Int64Range(0, most).Draw(t, k.String())
		}
		return v
	})
}

func envelopes(now timeline.Time, class proto.Class) *rapid.Generator[proto.Envelope] {
	return rapid.Custom(func(t *rapid.T) proto.Envelope {
		at := now + second*timeline.Time(rapid.IntRange(-100, 2000).Draw(t, "start"))
		at = max(at, 0)
		var e proto.Envelope
		for range rapid.IntRange(1, 5).Draw(t, "segments") {
			at += second * timeline.Time(rapid.SampledFrom([]int{0, 0, 3, 500}).Draw(t, "gap"))
			end := at + second*timeline.Time(rapid.SampledFrom([]int{1, 7, 10, 65, 700, 4000}).Draw(t, "length"))
			s := proto.Segment{Span: timeline.Span{Start: at, End: end}, Firm: vectors(30).Draw(t, "firm")}
			if class != proto.Critical && rapid.Bool().Draw(t, "pooled") {
				s.Mean, s.Own, s.Common = vectors(10).Draw(t, "mean"), vectors(10).Draw(t, "own"), vectors(5).Draw(t, "common")
				s.Mean[resource.Memory], s.Own[resource.Memory], s.Common[resource.Memory] = 0, 0, 0
			}
			e = append(e, s)
			at = end
		}
		if rapid.Bool().Draw(t, "open") {
			e[len(e)-1].End = timeline.Forever
		}
		return e
	})
}

func reservations(now timeline.Time) *rapid.Generator[proto.Reservation] {
	return rapid.Custom(func(t *rapid.T) proto.Reservation {
		class := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "class")
		return proto.Reservation{
			ID:   rapid.StringMatching("r[0-9]{1,2}").Draw(t, "id"),
			Host: rapid.SampledFrom(hostNames).Draw(t, "host"), Class: class,
			Purpose:  rapid.SampledFrom([]proto.Purpose{proto.PurposeHold, proto.PurposeInstance}).Draw(t, "purpose"),
			Envelope: envelopes(now, class).Draw(t, "envelope"), Floor: vectors(8).Draw(t, "floor"),
			Forced: rapid.IntRange(0, 9).Draw(t, "forced") == 0,
		}
	})
}

func capacities(name string) *rapid.Generator[Capacity] {
	return rapid.Custom(func(t *rapid.T) Capacity {
		c := Capacity{Host: name, Ratio: resource.Uniform(1000), Allocatable: resource.Uniform(resource.Unlimited)}
		c.Allocatable[resource.CPU] = rapid.Int64Range(0, 120).Draw(t, "cpu")
		c.Allocatable[resource.Memory] = rapid.Int64Range(0, 120).Draw(t, "memory")
		c.Ratio[resource.CPU] = rapid.Int64Range(500, 2000).Draw(t, "ratio")
		c.Debt = rapid.SampledFrom([]int64{0, 0, 20}).Draw(t, "debt")
		if rapid.Bool().Draw(t, "reduced") {
			start := second * timeline.Time(rapid.IntRange(0, 4000).Draw(t, "at"))
			c.Reduced = timeline.Flat(timeline.Span{Start: start, End: start + 300*second}, vectors(100).Draw(t, "by"))
		}
		return c
	})
}

// TestNoOversell drives a ledger and its twin with the same random changes: they must decide alike, name the same
// shortfall, and the sums must be those of the envelopes; nothing may be promised that is not there at any instant.
func TestNoOversell(t *testing.T) { rapid.Check(t, noOversell) }

func noOversell(t *rapid.T) {
	w := &twin{z: 2330, now: 1_000_000 * second, caps: map[string]Capacity{}, held: map[string]proto.Reservation{}}
	l, err := New(Grid{10 * time.Second}, w.z, w.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range hostNames {
		w.setHost(t, l, capacities(name).Draw(t, name))
	}
	var clone *Ledger // that nobody changes
	var cloned map[string]any
	t.Repeat(map[string]func(*rapid.T){
		"change": func(t *rapid.T) { w.change(t, l) },
		"clone": func(t *rapid.T) {
			clone = l.Clone()
			if rapid.Bool().Draw(t, "go on with the clone") {
				clone, l = l, clone
			}
			cloned = snapshot(clone)
		},
		"roll": func(t *rapid.T) {
			w.now += second * timeline.Time(rapid.SampledFrom([]int{1, 9, 10, 55, 600, 3000, 9000}).Draw(t, "by"))
			l.Roll(w.now)
		},
		"capacity": func(t *rapid.T) {
			w.setHost(t, l, capacities(rapid.SampledFrom(hostNames).Draw(t, "host")).Draw(t, "capacity"))
		},
		"z": func(t *rapid.T) {
			w.z = rapid.Int64Range(0, 4000).Draw(t, "z")
			if err := l.SetZ(w.z); err != nil {
				t.Fatal(err)
			}
		},
		"expire": func(t *rapid.T) {
			gone := map[string]bool{}
			for _, r := range l.Expire(w.now, func(r proto.Reservation) bool { return r.ID == "r7" }) {
				gone[r.ID] = true
			}
			for id, r := range w.held {
				if ended := r.End() <= w.now && id != "r7"; ended != gone[id] {
					t.Fatalf("%s ends at %s, now is %s, expired: %v", id, r.End(), w.now, gone[id])
				}
			}
			maps.DeleteFunc(w.held, func(id string, _ proto.Reservation) bool { return gone[id] })
		},
		"weigh":    func(t *rapid.T) { w.weigh(t, l) },
		"extend":   func(t *rapid.T) { w.extend(t, l) },
		"squeeze":  func(t *rapid.T) { w.squeeze(t, l) },
		"remedies": func(t *rapid.T) { w.remedies(t, l) },
		"": func(t *rapid.T) {
			w.compare(t, l)
			if clone != nil {
				unchanged(t, "what was done to the other", cloned, clone)
			}
		},
	})
}

func (w *twin) setHost(t *rapid.T, l *Ledger, c Capacity) {
	if err := l.SetHost(c); err != nil {
		t.Fatal(err)
	}
	w.caps[c.Host] = c
}

// changes draws what is held, revised and released at once.
func (w *twin) changes(t *rapid.T) Change {
	var c Change
	named := map[string]bool{}
	for _, r := range rapid.SliceOfN(reservations(w.now), 1, 4).Draw(t, "reservations") {
		if named[r.ID] {
			continue
		}
		named[r.ID] = true
		old, there := w.held[r.ID]
		switch {
		case !there:
			c.Hold = append(c.Hold, r)
		case rapid.Bool().Draw(t, "release"):
			c.Release = append(c.Release, r.ID)
		default:
			r.Host = old.Host
			c.Revise = append(c.Revise, r)
		}
	}
	return c
}

func (w *twin) change(t *rapid.T, l *Ledger) {
	c := w.changes(t)
	next, want := w.try(c)
	before := snapshot(l)
	fits := l.Fits(c)
	verdict, no := l.Explain(c)
	if diff := gocmp.Diff(want, verdict.Short); no != nil || diff != "" || verdict.Fits != (want == nil) {
		t.Fatalf("Explain answers %v (-twin +verdict):\n%s", no, diff)
	}
	unchanged(t, "Fits or Explain", before, l)
	err := l.Apply(c)
	var got *proto.Shortfall
	if err != nil && !errors.As(err, &got) {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("the twin decides otherwise (-twin +ledger):\n%s", diff)
	}
	if (fits == nil) != (err == nil) {
		t.Fatalf("Fits answers %v and Apply %v", fits, err)
	}
	if err != nil {
		unchanged(t, "a refused change", before, l)
		return
	}
	w.held = next
	if len(c.Hold) > 0 { // holding again what is held changes nothing
		before := snapshot(l)
		if err := l.Hold(c.Hold...); err != nil {
			t.Fatalf("the same hold again: %v", err)
		}
		unchanged(t, "the same hold again", before, l)
	}
	// Scan answers what Hold would.
	probe := reservations(w.now).Draw(t, "probe")
	probe.ID, probe.Forced = "probe", false
	for host, got := range l.Scan(probe.Envelope) {
		probe.Host = host
		var want *proto.Shortfall
		if err := l.Fits(Change{Hold: []proto.Reservation{probe}}); err != nil && !errors.As(err, &want) {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("Scan and Fits differ on %s:\n%s", host, diff)
		}
	}
}

func unchanged(t *rapid.T, what string, before map[string]any, l *Ledger) {
	if after := snapshot(l); !reflect.DeepEqual(before, after) {
		t.Fatalf("%s changed the ledger:\n%s", what, gocmp.Diff(before, after))
	}
}

func (w *twin) compare(t *rapid.T, l *Ledger) {
	if found := l.Check(); len(found) > 0 {
		t.Fatalf("NoOversell: %q", found)
	}
	l.hosts.Ascend(func(p place) bool {
		if p != placeOf(p.host) {
			t.Fatalf("%s was changed, and lies where Scan finds it as it was before", p.name)
		}
		return true
	})
	for _, host := range hostNames {
		held := w.on(host)
		if on := l.On(host); len(held)+len(on) > 0 && !reflect.DeepEqual(held, on) {
			t.Fatalf("reservations on %s:\n%s", host, gocmp.Diff(held, on))
		}
		spans := w.spans()
		steps := l.Steps(host)
		if len(spans) != len(steps) {
			t.Fatalf("%d steps, want %d", len(steps), len(spans))
		}
		over := false
		for i, s := range steps {
			if s.Span != spans[i] {
				t.Fatalf("step %d is %s, want %s", i, s.Span, spans[i])
			}
			for k := range resource.Kinds {
				want, limit := needed(held, s.Span, k, w.z), w.limit(host, s.Span, k)
				if s.Needed[k] != want || s.Limit[k] != limit {
					t.Fatalf("%s at %s needs %d of %d %s, want %d of %d", host, s.Span, s.Needed[k], s.Limit[k], resource.Kind(k), want, limit)
				}
				over = over || want > limit
			}
		}
		if over != (l.Short(host) != nil) {
			t.Fatalf("%s is short: %v, Short says %v", host, over, l.Short(host))
		}
	}
}

// snapshot is everything that can be read of a ledger.
func snapshot(l *Ledger) map[string]any {
	out := map[string]any{"all": slices.Collect(l.Reservations())}
	for host := range l.Hosts() {
		out[host] = l.Steps(host)
		out[host+" held"] = l.On(host)
		out[host+" short"] = l.Short(host)
	}
	return out
}
