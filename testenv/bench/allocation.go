//go:build linux

package bench

import (
	"context"
	"fmt"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/testenv/bench/accuracy"
)

// measureAllocation compares what instances are given with what the Vertical Pod Autoscaler would give them.
func measureAllocation(ctx context.Context, b *bench) ([]Row, error) {
	var rows []Row
	for _, set := range []struct {
		name                       string
		cpuOnce, cpuHourly, memory float64 // bars
	}{
		{"bitbrains-rnd", .50, .45, .40}, {"bitbrains-faststorage", .48, .42, .45},
	} {
		b.Progress("allocation: " + set.name)
		all, err := accuracy.ScoreAllocation(ctx, b.Data, set.name, b.recommend)
		if err != nil {
			return rows, err
		}
		for _, a := range all {
			once, hourly := upTo(set.cpuOnce), upTo(set.cpuHourly)
			if a.Kind == resource.Memory {
				once, hourly = nil, upTo(set.memory)
			}
			rows = append(rows, allocationRows(set.name, a, once, hourly)...)
		}
	}
	return rows, nil
}

// allocationRows are those of one resource. Held to a bar is what was chosen by the days before alone.
func allocationRows(set string, a accuracy.Allocated, once, hourly *Bar) []Row {
	what := fmt.Sprintf("%s, %d machines, %s", set, a.Machines, a.Kind)
	pairs := []struct {
		name         string
		ours, theirs accuracy.Policy
		bar          *Bar
	}{
		{"p99 planned once a day", accuracy.P99Once, accuracy.VPAOnce, once},
		{"p95 planned once a day", accuracy.P95Once, accuracy.VPAOnce, nil},
		{"p95 corrected hourly", accuracy.P95Hourly, accuracy.VPAHourly, hourly},
		{"p99 corrected hourly", accuracy.P99Hourly, accuracy.VPAHourly, nil},
	}
	var rows []Row
	for _, p := range pairs {
		for _, in := range []struct {
			name  string
			of    []accuracy.Outcome
			times []float64 // nil: once
			bar   *Bar
		}{
			{"as it is", a.AsIs[:], nil, nil},
			{"times what the days before say", a.Chosen[:], a.Multiplier[:], p.bar},
			{"times what makes 1 % short", a.Equal[:], a.Exactly[:], nil},
		} {
			ours, theirs := in.of[p.ours], in.of[p.theirs]
			mine, other := 1.0, 1.0
			if in.times != nil {
				mine, other = in.times[p.ours], in.times[p.theirs]
			}
			rows = append(rows, Row{
				What: fmt.Sprintf("%s: %s, %s: allocated (× %.2f: %s)", what, p.name, in.name, mine, ours), Value: ours.OfPeak, Unit: "of the peak",
				Peer: fmt.Sprintf("VPA (× %.2f: %s)", other, theirs), Of: theirs.OfPeak, Bar: in.bar,
			})
		}
	}
	static, limit := a.Chosen[accuracy.Static], a.AsIs[accuracy.Hindsight]
	return append(rows,
		Row{What: fmt.Sprintf("%s: the highest so far, times what the days before say: allocated (%s)", what, static), Value: static.OfPeak, Unit: "of the peak"},
		Row{What: what + ": the highest of each hour, which nobody knows: allocated", Value: limit.OfPeak, Unit: "of the peak"})
}
