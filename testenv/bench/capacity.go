//go:build linux

package bench

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	capacityHosts  = 10_000
	capacityEach   = 50
	scanBar        = 10  // ms of CPU, of all hosts for one profile
	planBar        = 50  // ms of CPU, of one move over all hosts
	drainBar       = 2   // seconds of CPU, of 50 instances over 1,000 hosts
	growthBar      = 1.1 // of what a host takes in a tenth of the fleet
	commandsBar    = 99  // a second, "tens at most"
	memoryForLarge = 8 << 30
)

// What measureCapacity runs, by package.
const (
	ledgerPackage, plannerPackage, replanPackage = "./coordinator/ledger", "./coordinator/planner", "./coordinator/replan"

	scanBenchmark, twinBenchmark, growthBenchmark = "BenchmarkScan", "BenchmarkBesideTwin", "BenchmarkGrowth"
	planBenchmark, startBenchmark, drainBenchmark = "BenchmarkPlan10000Hosts", "BenchmarkBestStart", "BenchmarkDrain"
	replayBenchmark                               = "BenchmarkReplay"
)

// measureCapacity runs the benchmarks of ledger, planner and replanning, which make large fleets of their own.
func measureCapacity(ctx context.Context, b *bench) ([]Row, error) {
	var rows []Row
	for _, part := range []struct {
		doing, pkg, name string
		times            int
		args             []string
		rows             func(map[string]metrics) []Row
	}{
		{"all hosts asked for one profile", ledgerPackage, scanBenchmark, 50, nil, scanRows},
		{"questions and changes beside a dumb twin", ledgerPackage, twinBenchmark, 50, nil, twinRows},
		{"memory, and growth", ledgerPackage, growthBenchmark, 1, largeIfItFits(), growthRows},
		{"a move over all hosts", plannerPackage, planBenchmark, 10, nil, planRows},
		{"a move at the best of all starts", plannerPackage, startBenchmark, 20, nil, startRows},
		{"drains of a host, that can be done and not", plannerPackage, drainBenchmark, 3, nil, drainRows},
		{"an hour of a hundred hosts, replanned", replanPackage, replayBenchmark, 1, nil, replayRows},
	} {
		b.Progress(fmt.Sprintf("capacity: %s", part.doing))
		m, err := b.benchmarks(ctx, part.pkg, part.name, part.times, part.args...)
		if err != nil {
			return rows, err
		}
		rows = append(rows, part.rows(m)...)
	}
	return rows, nil
}

// largeIfItFits asks for a fleet of 100,000 hosts where there is memory for it.
func largeIfItFits() []string {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil || (s.Freeram+s.Bufferram)*uint64(s.Unit) < memoryForLarge {
		return nil
	}
	return []string{"-large"}
}

const cpuTime = "cpu-ns/op"

func scanRows(m map[string]metrics) []Row {
	of := func(name string) float64 { return m[name][cpuTime] / 1e6 }
	fleet := fmt.Sprintf("%d hosts × %d reservations: ", capacityHosts, capacityEach)
	return []Row{
		{What: fleet + "all asked whether one profile fits, CPU", Value: of("one"), Unit: "ms", Bar: upTo(scanBar)},
		{What: fmt.Sprintf("%sthe same of six times as much, which fits %.0f hosts", fleet, m["six"]["fit"]), Value: of("six"), Unit: "ms", Bar: upTo(scanBar)},
		{What: fleet + "all weighed for one profile", Value: of("weigh"), Unit: "ms"},
	}
}

func twinRows(m map[string]metrics) []Row {
	const peer = "a twin that adds up one host anew"
	var rows []Row
	for _, r := range []struct{ name, what string }{{"fits", "asked whether a reservation fits on one host"}, {"hold_and_release", "a reservation held and released"}} {
		rows = append(rows, Row{
			What: fmt.Sprintf("%d hosts: %s, CPU", capacityHosts, r.what), Value: m[r.name][cpuTime] / 1e3, Unit: "µs", Peer: peer, Of: m[r.name+"/twin"][cpuTime] / 1e3, Bar: atMost(1),
		})
	}
	return rows
}

func growthRows(m map[string]metrics) []Row {
	size := func(hosts, each int) metrics { return m[fmt.Sprintf("hosts=%d/each=%d", hosts, each)] }
	full, tenth, part := size(capacityHosts, capacityEach), size(capacityHosts/10, capacityEach), size(capacityHosts, 5)
	rows := []Row{
		{What: fmt.Sprintf("memory of a host without reservations, of %d", capacityHosts), Value: full["B/host"] / 1000, Unit: "kB", Peer: "of a tenth as many", Of: tenth["B/host"] / 1000, Bar: atMost(growthBar)},
		{What: "memory of a reservation of six segments", Value: full["B/reservation"] / 1000, Unit: "kB", Peer: "of a tenth as many hosts", Of: tenth["B/reservation"] / 1000, Bar: atMost(growthBar)},
	}
	large := size(10*capacityHosts, 5)
	if large == nil {
		return append(rows, Row{What: fmt.Sprintf("%d hosts are left out, as there is too little memory; of %d, a scan takes of each", 10*capacityHosts, capacityHosts), Value: part["scan-ns/host"], Unit: "ns"})
	}
	of := fmt.Sprintf("%d hosts × 5 reservations: ", 10*capacityHosts)
	return append(rows,
		Row{What: of + "memory of a host without reservations", Value: large["B/host"] / 1000, Unit: "kB", Peer: "of a tenth as many", Of: part["B/host"] / 1000, Bar: atMost(growthBar)},
		Row{What: of + "what a scan takes of each, CPU", Value: large["scan-ns/host"], Unit: "ns", Peer: "of a tenth as many", Of: part["scan-ns/host"], Bar: atMost(growthBar)},
	)
}

func planRows(m map[string]metrics) []Row {
	return []Row{{
		What: fmt.Sprintf("%d hosts × %d reservations: one move planned over all, CPU", capacityHosts, capacityEach), Value: m[""][cpuTime] / 1e6, Unit: "ms", Bar: upTo(planBar),
	}}
}

func startRows(m map[string]metrics) []Row {
	return []Row{{What: "one move planned at the best of all starts in 48 h", Value: m[""]["ns/op"] / 1e6, Unit: "ms"}}
}

// drainRows are those of one that can be done, and of those that can't.
func drainRows(m map[string]metrics) []Row {
	var rows []Row
	for _, r := range []struct{ name, what string }{
		{"all", "all leave"}, {"five", "five find no room, but would on hosts that were empty"}, {"all_stay", "the same of all"}, {"wires", "five have more data than can be moved in time"},
	} {
		rows = append(rows, Row{What: "a drain of 50 instances over 1000 hosts: " + r.what + ", CPU", Value: m[r.name][cpuTime] / 1e9, Unit: "s", Bar: upTo(drainBar)})
	}
	return rows
}

// replayRows are those of generated demand: the peer is what a fleet may make at most.
func replayRows(m map[string]metrics) []Row {
	var rows []Row
	for _, r := range []struct{ name, what string }{{"roomy", "half as much again as is held at first"}, {"tight", "a twentieth more than is held at first"}} {
		rows = append(rows, Row{
			What:  fmt.Sprintf("%d hosts × %d instances, from 100 hosts and generated demand, with %s: commands of replanning", capacityHosts, capacityEach, r.what),
			Value: m[""][r.name+"-commands/s"], Unit: "/s", Bar: upTo(commandsBar),
		})
	}
	return rows
}
