package planner

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const mbit = 1_000_000

var four = []link{{"a", resource.NetTx}, {"b", resource.NetTx}, {"c", resource.NetRx}, {"d", resource.NetRx}}

func flows() *rapid.Generator[flow] {
	return rapid.Custom(func(t *rapid.T) flow {
		f := flow{
			links: []link{rapid.SampledFrom(four[:2]).Draw(t, "from"), rapid.SampledFrom(four[2:]).Draw(t, "to")},
			bytes: mbit / 8 * rapid.Int64Range(1, 2000).Draw(t, "size"), class: rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "class"),
			start: begin.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "start")) * time.Second),
		}
		if rapid.Bool().Draw(t, "urgent") {
			f.deadline = f.start.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "within")) * time.Second)
		}
		if rapid.Bool().Draw(t, "bounded") {
			f.most = mbit * rapid.Int64Range(1, 60).Draw(t, "most")
		}
		return f
	})
}

const unit = mbit / 20

// filled raises everybody by one unit after the other: who can't go on stops.
func filled(flows []flow, rates []int64, room map[link]int64) []int64 {
	out := slices.Clone(rates)
	stopped := make([]bool, len(flows))
	for level := int64(1); slices.Contains(stopped, false); level++ {
		for again := true; again; {
			again = false
			more := map[link]int64{}
			for i, f := range flows {
				if !stopped[i] && rates[i] > 0 && out[i] < level*unit && out[i] < most(f) {
					for _, k := range f.links {
						more[k] += min(level*unit, most(f)) - out[i]
					}
				}
			}
			for i, f := range flows {
				full := slices.ContainsFunc(f.links, func(k link) bool { return more[k] > room[k] })
				if !stopped[i] && (full || rates[i] == 0 || out[i] >= most(f)) {
					stopped[i], again = true, true
				}
			}
		}
		for i, f := range flows {
			if !stopped[i] && out[i] < level*unit {
				for _, k := range f.links {
					room[k] -= min(level*unit, most(f)) - out[i]
				}
				out[i] = min(level*unit, most(f))
			}
		}
	}
	return out
}

func TestLinksAreFilledLikeWater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(flows(), 1, 6).Draw(t, "flows")
		room, again := map[link]int64{}, map[link]int64{}
		for _, k := range four {
			room[k] = mbit * rapid.Int64Range(0, 200).Draw(t, "room")
			again[k] = room[k]
		}
		rates, active := make([]int64, len(list)), make([]int, len(list))
		for i := range list {
			active[i], rates[i] = i, rapid.SampledFrom([]int64{0, mbit, leastRate}).Draw(t, "rate")
		}
		want := filled(list, rates, again)
		fill(list, active, rates, room)
		for i := range want {
			if d := rates[i] - want[i]; max(d, -d) >= mbit { // what goes by bits is some of the twin's units ahead, where one passes another for it
				t.Fatalf("flow %d of %+v has %d, want %d", i, list, rates[i], want[i])
			}
		}
	})
}

func TestLinksAreNeverOverrun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(flows(), 1, 6).Draw(t, "flows")
		rooms := map[link]line{}
		for _, k := range four {
			var l line
			for at := begin; at < begin.Add(4*time.Minute); at = at.Add(time.Minute) {
				l.add(at, mbit*rapid.Int64Range(0, 100).Draw(t, "room"))
			}
			l.add(begin.Add(5*time.Minute), leastRate*6)
			rooms[k] = l
		}
		got := share(list, rooms, begin)
		for at := begin; at < begin.Add(30*time.Minute); at = at.Add(time.Second) {
			sums := map[link]int64{}
			for i, f := range list {
				s := got[i]
				rate := s.rate.at(at)
				if at < f.start || at >= s.end {
					continue
				}
				if rate != 0 && rate < min(leastRate, most(f)) || rate > most(f) {
					t.Fatalf("flow %+v has %d bit/s at %s", f, rate, at)
				}
				for _, k := range f.links {
					sums[k] += rate
				}
			}
			for k, n := range sums {
				if n > rooms[k].at(at) {
					t.Fatalf("%v: %d bit/s are taken at %s, and %d are there", k, n, at, rooms[k].at(at))
				}
			}
		}
		for i, f := range list { // all end, with all of it sent
			s := got[i]
			sent := s.rate.sum(timeline.Span{Start: max(begin, f.start), End: s.end}) / 8
			if s.end >= begin.Add(time.Hour) || sent < float64(f.bytes)-1 || sent > float64(f.bytes)+float64(most(f))/8/1000+1e5 {
				t.Fatalf("flow %+v has sent %v until %s", f, sent, s.end)
			}
		}
	})
}

func TestADeadlineThatCanBeKeptIsKept(t *testing.T) {
	links := []link{{"a", resource.NetTx}, {"c", resource.NetRx}}
	rooms := map[link]line{links[0]: flat(100 * mbit), links[1]: flat(100 * mbit)}
	urgent := flow{links: links, bytes: 80 * mbit / 8 * 100, deadline: begin.Add(100 * time.Second), class: proto.BestEffort, start: begin}
	other := flow{links: links, bytes: 80 * mbit / 8 * 100, class: proto.Critical, start: begin}
	got := share([]flow{other, urgent}, rooms, begin)
	if got[1].end > urgent.deadline || got[1].least() < 80*mbit {
		t.Errorf("what is due at %s ends at %s", urgent.deadline, got[1].end)
	}
	if first := got[0].rate.at(begin); first < leastRate || first > 20*mbit {
		t.Errorf("beside it the other one gets %d bit/s", first)
	}
	// Of two that can't both have the least rate, the higher class has it.
	urgent.deadline = 0
	rooms[links[0]] = flat(leastRate + 1)
	got = share([]flow{urgent, other}, rooms, begin)
	if got[0].rate.at(begin) != 0 || got[1].rate.at(begin) != leastRate+1 || got[0].end <= got[1].end {
		t.Errorf("%d and %d bit/s, until %s and %s", got[0].rate.at(begin), got[1].rate.at(begin), got[0].end, got[1].end)
	}
}

func TestTransfersShareAHalfOfWhatHostsHaveLeft(t *testing.T) {
	w := newWorld(t)
	soon := timeline.Span{Start: begin.Floor(grid), End: begin.Floor(grid).Add(time.Hour)}
	w.must(&proto.HostSet{Host: "host-b", Reduced: timeline.Flat(soon, resource.Vector{resource.NetRx: 900_000_000, resource.WriteBytes: 1<<30 - 1_500_000})})
	got := room(w.state.View().Ledger(), "host-b")
	if n := got[link{"host-b", resource.NetRx}].at(begin); n != 50_000_000 {
		t.Errorf("the link takes %d bit/s", n)
	}
	if n := got[link{"host-b", resource.WriteBytes}].at(begin); n != leastRate { // a half is less than a transfer takes at least, and the whole is more
		t.Errorf("the disk takes %d bit/s", n)
	}
	if n := got[link{"host-b", resource.NetRx}].at(soon.End); n != 500_000_000 {
		t.Errorf("later the link takes %d bit/s", n)
	}
	if n := room(w.state.View().Ledger(), "nobody")[link{"nobody", resource.NetTx}].at(begin); n != 0 {
		t.Errorf("a host that nobody knows takes %d bit/s", n)
	}
}

func TestMovesThatBeginTogetherShareTheirLinkAndAreAdmitted(t *testing.T) {
	policy := proto.DefaultPolicy()
	policy.MovesHost = 8
	w := crowd(t, 6, policy)
	var together []Together
	for _, class := range []proto.Class{proto.Critical, proto.Standard, proto.BestEffort} {
		m := to(class, 0, len(together)+1)
		together = append(together, Together{Source: m.Source, Target: m.Target, Bytes: 8 << 30, Class: class})
	}
	rates := Rates(w.state.View(), together, 2_000_000_000, begin)
	for i, n := range rates {
		if n < 160*mbit || n > 167*mbit { // a half of a gigabit, less what the instances hold, by three
			t.Errorf("move %d gets %d bit/s", i, n)
		}
	}
	for i, class := range []proto.Class{proto.Critical, proto.Standard, proto.BestEffort} {
		m := to(class, 0, i+1)
		costs := DefaultCosts()
		costs.Rate = rates[i]
		r, err := Make(Input{Request: Request{Instance: m.Instance, Target: m.Target}, View: w.state.View(), Now: begin, Forecast: forecast(200), Data: 8 << 30, Costs: costs})
		if err != nil {
			t.Fatal(err)
		}
		if r.Plan.Rate != rates[i] {
			t.Errorf("%s is planned at %d bit/s, its share is %d", m.Instance, r.Plan.Rate, rates[i])
		}
		w.must(&proto.MigrationStart{ID: "m-" + m.Instance, Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra})
	}
	together[0].Bytes = 0
	if got := Rates(w.state.View(), together[:1], 5, begin)[0]; got != 5 {
		t.Errorf("a move without data gets %d", got)
	}
}
