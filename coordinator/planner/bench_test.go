package planner

import (
	"fmt"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// large adds hosts to the fleet of newWorld, with so many holds each, of eight segments, of which every second one is pooled.
func large(w *world, hosts, each int) {
	w.t.Helper()
	for i := range hosts {
		name := fmt.Sprintf("node-%05d", i)
		f := facts(name, 64_000)
		f.Allocatable[resource.Memory], f.Allocatable[resource.NetRx], f.Allocatable[resource.NetTx] = 512<<30, 25e9, 25e9
		w.must(&proto.HostRegister{Facts: f, Incarnation: 1})
		var hold []proto.Reservation
		for j := range each {
			r := proto.Reservation{ID: fmt.Sprintf("%s/%d", name, j), Host: name, Class: proto.Standard, Purpose: proto.PurposeHold}
			for s := range 8 {
				n := int64(400 + (i*7+j*13+s*29)%500)
				seg := proto.Segment{Span: timeline.Span{Start: begin.Add(time.Duration(s) * 8 * time.Hour), End: begin.Add(time.Duration(s+1) * 8 * time.Hour)}}
				seg.Firm = resource.Vector{resource.CPU: n, resource.Memory: n << 20, resource.WriteBytes: n << 8, resource.NetTx: n << 10, resource.NetRx: n << 10}
				if j%2 == 0 {
					seg.Mean[resource.CPU], seg.Own[resource.CPU], seg.Common[resource.CPU] = n/2, n/10, n/20
				}
				r.Envelope = append(r.Envelope, seg)
			}
			hold = append(hold, r)
		}
		if each > 0 {
			w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: hold})
		}
	}
}

// uneven is a forecast in which no step is like its neighbour: plans that are made from it are the largest.
func uneven() proto.ForecastReply {
	var middle, high timeline.Profile
	for i := range GridSteps {
		span := timeline.Span{Start: begin.Floor(grid).Add(time.Duration(i) * grid), End: begin.Floor(grid).Add(time.Duration(i+1) * grid)}
		n := int64(300 + 200*math.Sin(float64(i)/46) + float64(i*37%50))
		v := resource.Vector{resource.CPU: n, resource.Memory: n << 18, resource.ReadIOPS: n, resource.WriteIOPS: n, resource.ReadBytes: n << 10, resource.WriteBytes: n << 10, resource.NetTx: n << 12, resource.NetRx: n << 12}
		middle = append(middle, timeline.Step{Span: span, Amount: v})
		high = append(high, timeline.Step{Span: span, Amount: v.Scale(3, 2)})
	}
	return proto.ForecastReply{Instance: "cache-1", Start: begin.Floor(grid), Step: grid.Milliseconds(), Quantiles: []int{500, 950, 990}, Profiles: []timeline.Profile{middle, high, high}}
}

func plans(w *world) Input {
	in := w.input(Request{Instance: "cache-1", Type: "m.large"})
	in.Forecast, in.Data = uneven(), 8<<30
	return in
}

func TestPlanIsSmall(t *testing.T) {
	w := newWorld(t)
	large(w, 300, 0)
	r, err := Make(plans(w))
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(r.Plan)
	if err != nil {
		t.Fatal(err)
	}
	about, err := proto.Marshal([]any{r.Plan.Considered, r.Plan.Ruled})
	if err != nil {
		t.Fatal(err)
	}
	if len(about) > 16<<10 || len(r.Plan.Considered) != mostKept || len(b) > 128<<10 {
		t.Errorf("a plan has %d bytes, of which %d are about %d hosts and those beside them", len(b), len(about), len(r.Plan.Considered))
	}
	t.Logf("%d bytes, %d about hosts", len(b), len(about))
}

// BenchmarkPlan10000Hosts plans a move, without a target, over hosts with 50 reservations each. It reports how many scans of the ledger, which read
// every step of every host, take as long, and the CPU time of all threads: beside others the clock says less.
func BenchmarkPlan10000Hosts(b *testing.B) {
	w := newWorld(b)
	large(w, 10_000, 50)
	in := plans(w)
	before, n := spent(b), 0
	for b.Loop() {
		if _, err := Make(in); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(spent(b)-before)/float64(n), "cpu-ns/op")
	p, err := prepare(in)
	if err != nil {
		b.Fatal(err)
	}
	need, each := p.fullSpeed(begin), b.Elapsed()/time.Duration(b.N)
	begun := time.Now()
	for range 5 {
		for range in.View.Ledger().Scan(need) {
		}
	}
	b.ReportMetric(float64(each)/float64(time.Since(begun)/5), "scans/op")
}

// spent returns the CPU time that this process has used.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
