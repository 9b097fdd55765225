package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// lies is how an envelope would lie on each host, in words: what is drawn of hosts for looks over many of them shows in it.
func lies(l *Ledger, e proto.Envelope) map[string]string {
	out := map[string]string{}
	l.Weigh(e, func(host string, f Fit) bool {
		out[host] = fmt.Sprint(f.Tightest, f.Kind, f.Span, f.Free, f.Limit, f.MeanSquare, f.Rise, f.Skew, f.SkewRise, f.Short())
		return true
	})
	return out
}

// TestRolledAheadIsRolled: a ledger that rolls hosts ahead, some at every command, whatever changes meanwhile, is at every time the one that is made
// from what is reserved.
func TestRolledAheadIsRolled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &twin{z: 2330, now: 1_000_000*second + second*timeline.Time(rapid.IntRange(0, 70).Draw(t, "now")), caps: map[string]Capacity{}, held: map[string]proto.Reservation{}}
		l, err := New(Grid{10 * time.Second}, w.z, w.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range hostNames {
			w.setHost(t, l, capacities(name).Draw(t, name))
		}
		for i := range rapid.IntRange(0, 3*aheadOnce).Draw(t, "more hosts") { // than one call rolls
			w.setHost(t, l, Capacity{Host: fmt.Sprintf("%03d", i), Ratio: resource.Uniform(1000), Allocatable: resource.Uniform(100)})
		}
		probe := envelopes(w.now, proto.Standard).Draw(t, "probe")
		kept, was := l.Clone(), snapshot(l)
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			w.now += second * timeline.Time(rapid.SampledFrom([]int{0, 1, 5, 10, 20, 60, 120}).Draw(t, "by"))
			l.Roll(w.now)
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				w.setHost(t, l, capacities(rapid.SampledFrom(hostNames).Draw(t, "host")).Draw(t, "capacity"))
			case 1:
				w.z = rapid.Int64Range(0, 4000).Draw(t, "z")
				if err := l.SetZ(w.z); err != nil {
					t.Fatal(err)
				}
			case 2:
				kept = l.Clone() // from here on what changes is copied
				was = snapshot(kept)
			case 3:
				if len(l.On("c")) == 0 {
					if err := l.RemoveHost("c"); err != nil {
						t.Fatal(err)
					}
					w.setHost(t, l, capacities("c").Draw(t, "c again"))
				}
			case 4, 5, 6, 7:
				r := reservations(w.now).Draw(t, "reservation")
				if _, there := l.Reservation(r.ID); there {
					r.Host = w.held[r.ID].Host
					if l.Revise(r) == nil {
						w.held[r.ID] = r
					}
				} else if l.Hold(r) == nil {
					w.held[r.ID] = r
				}
			}
			anew, err := New(Grid{10 * time.Second}, w.z, w.now)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range w.caps {
				w.setHost(t, anew, c)
			}
			var list []proto.Reservation
			for r := range l.Reservations() {
				list = append(list, r)
			}
			if err := anew.Restore(list); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(snapshot(anew), snapshot(l)); diff != "" {
				t.Fatalf("at %s (-anew +rolled):\n%s", w.now, diff)
			}
			if diff := gocmp.Diff(lies(anew, probe), lies(l, probe)); diff != "" {
				t.Fatalf("at %s it would lie (-anew +rolled):\n%s", w.now, diff)
			}
			unchanged(t, "rolling a clone", was, kept)
		}
	})
}

// The split itself is left with nothing but to put in place what was rolled ahead, and that is not there twice before it is near.
func TestSplitsAreDoneAhead(t *testing.T) {
	l, err := New(Grid{5 * time.Minute}, 2330, 600_000)
	if err != nil {
		t.Fatal(err)
	}
	const hosts = 3*aheadOnce + 1
	for i := range hosts {
		if err := l.SetHost(Capacity{Host: fmt.Sprintf("%03d", i), Ratio: resource.Uniform(1000), Allocatable: resource.Uniform(100)}); err != nil {
			t.Fatal(err)
		}
	}
	split := l.layout.next().base
	near := split - aheadSteps*l.layout.step
	if l.Roll(near - 1); l.ahead.begun {
		t.Fatal("it was begun before the split is near")
	}
	for n := range 5 {
		view := l.Clone()
		l.Roll(near + timeline.Time(n))
		if got, want := len(l.ahead.hosts), min(hosts, (n+1)*aheadOnce); got != want || len(l.ahead.queue) != hosts-want {
			t.Fatalf("call %d: %d hosts are rolled ahead and %d are to be, of %d", n, got, len(l.ahead.queue), hosts)
		}
		if view.ahead.begun {
			t.Fatal("a clone has them, too")
		}
	}
	if err := l.Hold(hold("r", "007", 1, near, timeline.Forever)); err != nil {
		t.Fatal(err)
	}
	if len(l.ahead.hosts) != hosts-1 || l.ahead.hosts["007"] != nil {
		t.Fatal("a host that has changed is still rolled ahead")
	}
	ready := l.ahead.hosts
	l.Roll(split)
	if l.ahead.begun || len(l.ahead.hosts) > 0 {
		t.Fatal("what is in place is kept beside it")
	}
	for name := range l.Hosts() {
		if h, _ := l.host(name); (ready[name] == h) == (name == "007") {
			t.Fatalf("%s was rolled ahead: %v, and is in place: %v", name, ready[name] != nil, ready[name] == h)
		}
	}
}
