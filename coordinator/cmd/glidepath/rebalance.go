package main

import (
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

func rebalanceCommand(a *app) *cobra.Command {
	var in v1.RebalanceRequest
	var gain float64
	cmd := &cobra.Command{
		Use: "rebalance", Short: "Suggest moves that would make the fleet better; nothing is moved", Args: none,
		Long: `Looks at the hosts that are filled worst, and suggests moves that make the fleet better by a margin: each instance goes where it lies best, which has to beat
staying with what the move costs taken off, and its two hosts have to be better off together. Moves are weighed together, so that no two are to take the
same room. What has moved for this within a day stays, and goes back to no host that it left for it.

Nothing is changed. With --store the moves are kept as plans, in the place of those that were suggested before; glidepath plan begin carries one out,
checked again against what is committed by then. Without that a suggestion lapses within a day, or earlier when it would do no good any more. What the
fleet is looked at for by itself, and whether that is carried out, is set with glidepath policy set --rebalance-every. With --add and --without it is looked
at another fleet than the one that is, and nothing can be kept.`,
		Example: `  glidepath rebalance
  glidepath rebalance --moves 3 --least-gain 10
  glidepath rebalance --store
  glidepath rebalance --add 2 --like host-a --without host-c
  glidepath policy set --rebalance-every 6h`,
	}
	var what whatIfFlags
	what.define(cmd, a)
	flags := cmd.Flags()
	flags.BoolVar(&in.Store, "store", false, "keep what is suggested as plans, in the place of what was before")
	flags.IntVar(&in.Moves, "moves", 0, "how many to suggest at most; 8 by default")
	flags.Float64Var(&gain, "least-gain", 0, "percent of the score that a move has to win by; as the policy says by default")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if in.Moves < 0 || in.Moves == 0 && cmd.Flags().Changed("moves") {
			return usagef("--moves %d: use 1 or more", in.Moves)
		}
		if cmd.Flags().Changed("least-gain") {
			if !(gain >= .1 && gain <= 100) {
				return usagef("--least-gain %v: use 0.1 to 100", gain)
			}
			in.LeastGain = int64(math.Round(gain * 10))
		}
		var err error
		if in.WhatIf, err = what.asked(cmd); err != nil {
			return err
		}
		if in.WhatIf != nil && in.Store {
			return usagef("--store: what is suggested for a fleet that is not there is carried out nowhere: leave it out, or --add and --without")
		}
		return show(cmd.Context(), a, "POST", path("rebalance"), in, func(r v1.Rebalance) error {
			a.sayWhatIf(in.WhatIf)
			return a.printRebalance(r, in.WhatIf != nil)
		})
	}
	return cmd
}

func (a *app) printRebalance(r v1.Rebalance, whatIf bool) error {
	if len(r.Suggestions) > 0 {
		t := newTable(a.stdout, "INSTANCE", "FROM", "TO", "WINS", "RELIEF", "BYTES", "TAKES", "DOWNTIME", "PLAN", "REASON")
		for _, s := range r.Suggestions {
			plan := "-"
			if s.Plan != "" {
				plan = s.Plan
			}
			t.row(s.Instance, s.Source, s.Target, milli(s.Wins), micro(s.Relief), size(s.Figures.Bytes.Median), took(s.Figures.Duration.Median), took(s.Figures.Downtime.Median), plan, s.Reasons[0])
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	a.list("Says", r.Says)
	for _, s := range r.Suggestions {
		if s.Plan != "" {
			a.say("\nCarry one out:  glidepath plan begin %s", s.Plan)
			return nil
		}
	}
	if len(r.Suggestions) > 0 && !whatIf {
		a.say("\nNothing is stored. Keep them:  glidepath rebalance --store")
	}
	return nil
}

// micro prints millionths, to a thousandth.
func micro(n int64) string { return strconv.FormatFloat(float64(n)/1e6, 'f', 3, 64) }
