//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/glidepath/glidepath/testenv/bench/packing"
)

// What placement is to come to.
const (
	packingBar   = .60 // of the hosts that static peaks take
	hindsightBar = 1.15
	generated    = 60 // machines
)

// sizes are of how many machines static peaks fill a host that is replayed: one on which the largest machine is half of all, and one as fleets have them.
func sizes() []int { return []int{4, 20} }

// sets are what is replayed: demand of machines, in folders of the published series.
func sets() []string { return []string{"bitbrains-rnd", "bitbrains-faststorage"} }

// machinesOf returns the machines of every set that is there, by its name, and says what is not; generated ones where no folder was named.
func machinesOf(ctx context.Context, b *bench, long time.Duration) (names []string, all [][]packing.Machine, err error) {
	if b.Data.Dir == "" {
		m, err := packing.Generated(generated, long, 1)
		return []string{"generated demand"}, [][]packing.Machine{m}, err
	}
	var missing []string
	for _, set := range sets() {
		m, err := packing.Load(ctx, b.Data.Dir, set, b.Data.Sample)
		var none *packing.NoDataError
		switch {
		case errors.As(err, &none):
			missing = append(missing, err.Error())
			continue
		case err != nil:
			return names, all, err
		}
		names, all = append(names, set), append(all, m)
	}
	if len(missing) > 0 {
		err = &leftOutError{"it was measured without what is not there: " + strings.Join(missing, "; ")}
	}
	return names, all, err
}

// measurePacking replays demand and counts hosts.
func measurePacking(ctx context.Context, b *bench) ([]Row, error) {
	o := packing.DefaultOptions()
	names, all, left := machinesOf(ctx, b, time.Duration(o.Origins)*o.Apart+o.Stay)
	var rows []Row
	for i, machines := range all {
		for _, o.Each = range sizes() {
			name := fmt.Sprintf("%s, %d static peaks to a host", names[i], o.Each)
			o.Progress = func(text string) { b.Progress("packing: " + name + ": " + text) }
			r, err := packing.Run(ctx, machines, o)
			if err != nil {
				return rows, err
			}
			rows = append(rows, packingRows(name, r)...)
		}
	}
	return rows, left
}

func packingRows(set string, r packing.Result) []Row {
	static, ours := r.By[packing.FirstPeak], r.By[packing.Open]
	what := fmt.Sprintf("%s, %d machines: hosts, ", set, r.Machines)
	says := func(o packing.Outcome) string {
		text := fmt.Sprintf("%.2f %% of steps over, %.2f %% by memory, %.2f %% if they stay twice as long", 100*o.Over, 100*o.Memory, 100*o.Stayed)
		if o.Margin > 1 {
			text = fmt.Sprintf("with %.2f times what is asked for; as it is %.1f, %s", o.Margin, o.Hosts, text)
		}
		return text
	}
	row := func(name string, o packing.Outcome, peer string, of float64, bar *Bar) Row {
		return Row{What: fmt.Sprintf("%s%s (%s)", what, name, says(o)), Value: o.AtRisk, Peer: peer, Of: of, Bar: bar}
	}
	const peaks, hindsight = "first fit of static peaks", "pooled peak in hindsight"
	rows := []Row{
		row("Glidepath", ours, peaks, static.AtRisk, atMost(packingBar)),
		row("Glidepath", ours, hindsight, r.Bound, atMost(hindsightBar)),
		row("Glidepath, with the deviations that the times before would have needed", r.Learned, peaks, static.AtRisk, nil),
		row("the same", r.Learned, hindsight, r.Bound, nil),
		row("Glidepath, held for the 48 h of the forecast alone", r.By[packing.Ahead], peaks, static.AtRisk, nil),
		row("the same", r.By[packing.Ahead], hindsight, r.Bound, nil),
		row("Glidepath, spread over the hosts that there are", r.By[packing.Spread], peaks, static.AtRisk, nil),
		row("best fit of static peaks", r.By[packing.BestPeak], peaks, static.AtRisk, nil),
		row("best fit of p95", r.By[packing.BestP95], peaks, static.AtRisk, nil),
		row("first fit of static peaks", static, hindsight, r.Bound, nil),
	}
	for _, z := range r.ByZ {
		rows = append(rows, Row{
			What:  fmt.Sprintf("%s%.2f deviations of the pool: %.2f %% of steps over (48 h alone: %.1f hosts, %.2f %%)", what, float64(z.Z)/1000, 100*z.Open.Over, z.Ahead.Hosts, 100*z.Ahead.Over),
			Value: z.Open.Hosts, Peer: hindsight, Of: r.Bound,
		})
	}
	return append(rows, poolRows(set, r.Pools)...)
}

// poolRows are how often more was used than the pooled rule holds.
func poolRows(set string, p packing.Pools) []Row {
	what := fmt.Sprintf("%s, %d hosts of %.1f instances, revised hourly: steps with more ", set, p.Hosts, p.Instances)
	var rows []Row
	for _, z := range p.ByZ {
		rows = append(rows, Row{
			What:  fmt.Sprintf("%sCPU used than held with %.2f deviations (%.2f times the use)", what, float64(z.Z)/1000, z.Held),
			Value: 100 * z.Over, Unit: "%", Peer: "of a normal distribution", Of: 100 * packing.Nominal(z.Z),
		})
	}
	return append(rows,
		Row{What: what + "memory used than held, which is firm", Value: 100 * p.Memory, Unit: "%"},
		Row{What: set + ": of the deviation of CPU, what instances on a host have in common; 30 is assumed where nothing is known", Value: 100 * p.Common, Unit: "%"},
		Row{What: set + ": revisions of a reservation in an hour", Value: p.Revisions},
	)
}

// measureStarts lets moves begin at the best time, and at once.
func measureStarts(ctx context.Context, b *bench) ([]Row, error) {
	o := packing.DefaultStartOptions()
	names, all, left := machinesOf(ctx, b, time.Duration(o.Times)*o.Apart+2*24*time.Hour)
	var rows []Row
	for i, machines := range all {
		o.Progress = func(text string) { b.Progress("starts: " + names[i] + ": " + text) }
		s, err := packing.RunStarts(ctx, machines, o)
		if err != nil {
			return rows, err
		}
		rows = append(rows, startsRows(names[i], s, o)...)
	}
	return rows, left
}

func startsRows(set string, s packing.Starts, o packing.StartOptions) []Row {
	what := fmt.Sprintf("%s, %d moves of %d GiB, ", set, s.Moves, o.Data>>30)
	later := fmt.Sprintf("%sthe %d that begin later: ", what, s.Later)
	var rows []Row
	for _, r := range []struct {
		what  string
		saved packing.Saved
	}{
		{what + "all: bytes saved against now", s.Bytes}, {what + "all: duration saved against now", s.Duration},
		{later + "bytes saved against now", s.LaterBytes}, {later + "duration saved against now", s.LaterDuration},
		{what + "begun now: bytes sent beside the data, of these", s.Rewritten},
	} {
		rows = append(rows, Row{What: r.what + ", median", Value: 100 * r.saved.Median, Unit: fmt.Sprintf("%% (p90 %.2f, p10 %.2f)", 100*r.saved.P90, 100*r.saved.P10)})
	}
	return append(rows,
		Row{What: later + "of them send more than at once", Value: float64(s.Worse)},
		Row{What: set + ": moves that no plan was found for", Value: float64(s.Refused)})
}
