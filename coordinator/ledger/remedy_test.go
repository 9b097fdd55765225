package ledger

import (
	"slices"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRemediesNameWhoLeavesWhereNobodyCanGiveWay(t *testing.T) {
	l := newLedger(t, "a")
	instance := func(id string, class proto.Class, n int64) proto.Reservation {
		r := classed(id, "a", class, n, n)
		r.Instance, r.Purpose = id, proto.PurposeInstance
		return r
	}
	if err := l.Hold(instance("small", proto.BestEffort, 10), instance("large", proto.Standard, 40), instance("db", proto.Critical, 50)); err != nil {
		t.Fatal(err)
	}
	lost := Capacity{Host: "a", Allocatable: resource.Uniform(70), Ratio: resource.Uniform(1000)}
	if err := l.SetHost(lost); err != nil {
		t.Fatal(err)
	}
	m := l.Remedies("a", anybody)
	want := []string{
		"it is not enough that those who may give way fall to their floors",
		"move away: large (standard)", // small would not be enough, and need not go with it
	}
	if diff := cmp.Diff(want, m.Says[len(m.Says)-2:]); diff != "" {
		t.Fatal(diff)
	}
	if short := l.Shortages("a"); len(short) != resource.Kinds || m.Says[0] != short[0].Error() || short[0].Missing != 30 {
		t.Fatalf("%v, and it says %q", short, m.Says)
	}
}

// TestRemediesEndShortages checks on hosts that facts made short that what is proposed ends it, and that nobody moves for nothing.
func TestRemediesEndShortages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawTight(t)
		may := func(r proto.Reservation) bool { return !w.stays[r.ID] }
		for _, host := range hostNames[:2] {
			w.runs(t, host)
			before := snapshot(w.l)
			m := w.l.Remedies(host, may)
			unchanged(t, "Remedies", before, w.l)
			l := w.l.Clone()
			if l.Short(host) == nil {
				if len(m.Says) > 0 {
					t.Fatalf("nothing is short, and %q is proposed", m.Says)
				}
				continue
			}
			if len(m.Move) == 0 && len(m.Left) == 0 {
				if err := l.Revise(m.Yield.Revise...); err != nil || l.Short(host) != nil {
					t.Fatalf("%v: still %v after\n%q", err, l.Short(host), m.Says)
				}
				w.byTheRulesOf(t, m.Yield.Revise)
				continue
			}
			var ids []string
			for _, r := range m.Move {
				ids = append(ids, r.ID)
			}
			if err := l.Release(ids...); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(l.Shortages(host), m.Left); diff != "" {
				t.Fatalf("what is left:\n%s", diff)
			}
			if len(m.Left) == 0 {
				for i := range ids {
					rest := w.l.Clone()
					if err := rest.Release(slices.Delete(slices.Clone(ids), i, i+1)...); err != nil || rest.Short(host) == nil {
						t.Fatalf("%s moves for nothing: %v", ids[i], err)
					}
				}
				continue
			}
			var all []string
			for _, r := range l.On(host) {
				if r.Purpose == proto.PurposeInstance && may(r) {
					all = append(all, r.ID)
				}
			}
			if err := l.Release(all...); err != nil || l.Short(host) == nil {
				t.Fatalf("%v: %v could move, and was not named", err, all)
			}
		}
	})
}

// byTheRulesOf checks what yields to no change: to what is promised already.
func (w *tight) byTheRulesOf(t *rapid.T, yields []proto.Reservation) {
	for _, y := range yields {
		if err := CheckYield(w.held[y.ID], y, proto.Critical); err != nil || w.stays[y.ID] {
			t.Fatalf("%s gives way: %v", y.ID, err)
		}
	}
}

// runs compares Shortages with every step of the twin.
func (w *tight) runs(t *rapid.T, host string) {
	short := w.l.Shortages(host)
	for k := range resource.Kinds {
		most := map[timeline.Time]int64{} // by the start of the run
		var ends []timeline.Time
		for _, s := range w.spans() {
			limit, n := w.limit(host, s, k), needed(w.on(host), s, k, w.z)
			i := slices.IndexFunc(short, func(f proto.Shortfall) bool { return int(f.Resource) == k && f.Span.Overlaps(s) })
			if (limit < resource.Unlimited && n > limit) != (i >= 0) {
				t.Fatalf("%s needs %d of %d %s in %s, shortages are %v", host, n, limit, resource.Kind(k), s, short)
			}
			if i >= 0 {
				most[short[i].Span.Start] = max(most[short[i].Span.Start], n-limit)
				ends = append(ends, s.End)
			}
		}
		for _, f := range short {
			if int(f.Resource) == k && (f.Missing != most[f.Span.Start] || f.Needed-f.Limit != f.Missing || !slices.Contains(ends, f.Span.End)) {
				t.Fatalf("%v: the most that is missing is %d", f, most[f.Span.Start])
			}
		}
	}
}
