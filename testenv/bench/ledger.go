//go:build linux

package bench

import "context"

const (
	ledgerTurns = 8   // of each side
	ledgerBar   = 0.7 // of what bare Raft commits
)

// measureLedger runs the coordinator's own benchmark, which has the coordinators in one process and knows their insides.
func measureLedger(ctx context.Context, b *bench) ([]Row, error) {
	b.Progress("ledger: reservations through three coordinators, and bare Raft, in turns")
	m, err := b.benchmark(ctx, "./coordinator", "BenchmarkReservations", ledgerTurns)
	if err != nil {
		return nil, err
	}
	const peer = "bare Raft's Apply"
	return []Row{
		{What: "reservations committed, proposed at the leader", Value: m["reservations/s"], Unit: "/s", Peer: peer, Of: m["bare/s"], Bar: atLeast(ledgerBar)},
		{What: "the same, proposed at all three", Value: m["spread/s"], Unit: "/s", Peer: peer, Of: m["bare/s"]},
		{What: "CPU of one, on all three together", Value: m["cpu-µs"], Unit: "µs", Peer: peer, Of: m["bare-cpu-µs"]},
	}, nil
}
