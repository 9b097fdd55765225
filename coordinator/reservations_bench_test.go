package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// What BenchmarkReservations does. A turn of one side is long beside a sync of the store, and short beside what disturbs
// a machine, so that both sides meet the same.
const (
	benchClients  = 64
	benchHosts    = 100
	benchStanding = 20 // reservations that each host has all the time
	benchSegments = 6  // of an envelope: about the 300 bytes of most
	benchTurn     = time.Second
	benchBar      = 0.7 // of what bare Raft commits
)

// BenchmarkReservations measures how many reservations three coordinators commit in a second, and what three nodes of bare
// Raft do with the same bytes, the same store, the same links and as many clients. They work in turns. After each the
// ledger is put back to what it holds all the time.
//
// It is called with -benchtime=Nx: N turns of each side.
func BenchmarkReservations(b *testing.B) {
	members, _, _ := three(b)
	var leader *member
	eventually(b, "a leader", func() error {
		for _, m := range members {
			if m.consensus.IsLeader() {
				leader = m
				return nil
			}
		}
		return errors.New("there is none")
	})
	fillLedger(b, leader)
	bare := bareRaft(b)
	bytes := encoded(b, holding(heldName(0, 0), "host-000"))
	var next [benchClients]int // each client's next reservation
	hold := func(m *member, client int) error {
		n := next[client]
		next[client]++
		return m.do(context.Background(), "bench", holding(heldName(client, n), fmt.Sprintf("host-%03d", (client+n)%benchHosts)))
	}
	var released [benchClients]int
	release := func() {
		for client := range benchClients {
			releaseAll(b, leader, client, released[client], next[client])
			released[client] = next[client]
		}
	}
	var ours, theirs, spread rates
	for b.Loop() {
		ours.turn(b, func(client int) error { return hold(leader, client) })
		release()
		theirs.turn(b, func(int) error { return bare.Apply(bytes, 5*time.Second).Error() })
		spread.turn(b, func(client int) error { return hold(members[client%len(members)], client) })
		release()
	}
	b.ReportMetric(ours.perSecond(), "reservations/s")
	b.ReportMetric(theirs.perSecond(), "bare/s")
	b.ReportMetric(spread.perSecond(), "spread/s")
	b.ReportMetric(ours.perSecond()/theirs.perSecond(), "×bare")
	b.ReportMetric(ours.each(), "cpu-µs")
	b.ReportMetric(theirs.each(), "bare-cpu-µs")
	b.ReportMetric(float64(len(bytes)), "bytes")
	b.ReportMetric(benchClients, "clients")
	if ratio := ours.perSecond() / theirs.perSecond(); ratio < benchBar {
		b.Logf("%.2f of what bare Raft commits, want at least %.2f", ratio, benchBar)
	}
}

// rates is what one side did in its turns.
type rates struct {
	done int64
	took time.Duration
	cpu  time.Duration
}

func (r *rates) perSecond() float64 { return float64(r.done) / r.took.Seconds() }

// each returns the CPU time that one took of all three nodes and the clients, in microseconds.
func (r *rates) each() float64 { return float64(r.cpu.Microseconds()) / float64(r.done) }

// used returns the CPU time that this process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// turn has all clients call for the length of a turn.
func (r *rates) turn(b *testing.B, call func(client int) error) {
	b.Helper()
	before, began := used(b), time.Now()
	end := began.Add(benchTurn)
	var done atomic.Int64
	var all sync.WaitGroup
	for client := range benchClients {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := call(client); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	r.done += done.Load()
	r.took += time.Since(began)
	r.cpu += used(b) - before
}

func heldName(client, n int) string { return fmt.Sprintf("client-%02d-%07d", client, n) }

// releaseAll releases a client's reservations from one number to another.
func releaseAll(b *testing.B, m *member, client, from, to int) {
	b.Helper()
	const together = 100
	for ; from < to; from += together {
		c := &proto.ReservationChange{Author: proto.AuthorOperator}
		for n := from; n < min(from+together, to); n++ {
			c.Release = append(c.Release, heldName(client, n))
		}
		if err := m.do(context.Background(), "bench", c); err != nil {
			b.Fatal(err)
		}
	}
}

// holding is a request that holds a reservation.
func holding(id, host string) *proto.ReservationChange {
	return &proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
		ID: id, Host: host, Class: proto.Critical, Purpose: proto.PurposeHold, Envelope: benchEnvelope(),
	}}}
}

// benchEnvelope returns what every reservation holds. It is made once: bare Raft's clients don't make their bytes anew either.
var benchEnvelope = sync.OnceValue(func() (e proto.Envelope) {
	now := timeline.Of(time.Now())
	for i := range benchSegments {
		start := now.Add(time.Duration(i) * 10 * time.Minute)
		amount := resource.Vector{
			resource.CPU: 250 + int64(10*i), resource.Memory: 128 << 20, resource.ReadIOPS: 200, resource.WriteIOPS: 100,
			resource.ReadBytes: 8 << 20, resource.WriteBytes: 4 << 20, resource.NetTx: 20_000_000, resource.NetRx: 10_000_000,
		}
		e = append(e, proto.Segment{Span: timeline.Span{Start: start, End: start.Add(10 * time.Minute)}, Firm: amount})
	}
	return e
})

// encoded returns a command's bytes as they are committed.
func encoded(b *testing.B, body proto.Body) []byte {
	b.Helper()
	cmd, err := proto.NewCommand(NewID(), "bench", body)
	if err != nil {
		b.Fatal(err)
	}
	cmd.At = timeline.Of(time.Now())
	out, err := proto.Marshal(cmd)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// fillLedger makes the hosts and what they hold all the time.
func fillLedger(b *testing.B, m *member) {
	b.Helper()
	capacity := resource.Vector{
		resource.CPU: 96_000, resource.Memory: 512 << 30, resource.ReadIOPS: 500_000, resource.WriteIOPS: 500_000,
		resource.ReadBytes: 8 << 30, resource.WriteBytes: 8 << 30, resource.NetTx: 25_000_000_000, resource.NetRx: 25_000_000_000,
	}
	var all sync.WaitGroup
	for i := range benchHosts {
		all.Go(func() {
			host := fmt.Sprintf("host-%03d", i)
			facts := proto.HostFacts{Name: host, MachineID: "machine-" + host, CPUs: 96, Capacity: capacity, Allocatable: capacity, Segment: "bench"}
			if err := m.do(context.Background(), "bench", &proto.HostRegister{Facts: facts}); err != nil {
				b.Error(err)
				return
			}
			for n := range benchStanding {
				if err := m.do(context.Background(), "bench", holding(fmt.Sprintf("%s-standing-%02d", host, n), host)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
}
