package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func policyCommand(a *app) *cobra.Command {
	one := &cobra.Command{
		Use: "show", Short: "Show how the fleet promises capacity and moves instances", Args: none,
		Example: "  glidepath policy show\n  glidepath policy show --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("policy"), nil, a.printPolicy)
		},
	}
	return group("policy", "The fleet's policy: how capacity is promised, and when and how many instances move", one, setPolicyCommand(a))
}

// policyFlags are those of policy set.
type policyFlags struct {
	z                         float64
	ratio, quantile           []string
	probation, every          time.Duration
	host, fleet, segment, day int
	window, forbid            []string
	noWindows, execute        bool
	gain                      float64
	fill                      string
}

func setPolicyCommand(a *app) *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{
		Use: "set", Short: "Change how the fleet promises capacity and moves instances", Args: none,
		Long: `Changes what is named of the policy, and leaves the rest as it is. It is refused where a host could not keep what it has promised any more.

Pooled demand is held with so many standard deviations (--z): fewer promise more of a host, and are wrong more often. A ratio is how much of what is
allocatable may be promised: above 1 more than there is. A quantile of the forecast is what is reserved for an instance of a class.

Where the planner chooses the host it prefers one with much room, which keeps instances from each other where forecasts are wrong (--fill spread, the default), or
one with little, which leaves other hosts empty (--fill pack).

With --rebalance-every the fleet is looked at for moves that balance it, and these are kept as suggestions; none is carried out but by your word.
With --rebalance-execute, too, the leader carries them out, so many in 24 hours at most, until --rebalance-execute=false.`,
		Example: `  glidepath policy set --z 1.64 --quantile standard=0.9
  glidepath policy set --ratio cpu=1.5 --ratio net_tx=0.8
  glidepath policy set --moves-per-host 3 --moves-in-fleet 32 --probation 30m
  glidepath policy set --window 22:00-05:00 --forbid 2026-12-24T12:00Z/2026-12-27T06:00Z
  glidepath policy set --fill pack
  glidepath policy set --rebalance-every 6h --rebalance-least-gain 10
  glidepath policy set --rebalance-every 6h --rebalance-execute --rebalance-moves-per-day 4`,
	}
	flags := cmd.Flags()
	flags.Float64Var(&f.z, "z", 0, "standard deviations that pooled demand is held with, 0 to 10")
	flags.StringSliceVar(&f.ratio, "ratio", nil, "`RESOURCE=FACTOR` of what is allocatable that may be promised, like cpu=1.5")
	flags.StringSliceVar(&f.quantile, "quantile", nil, "`CLASS=QUANTILE` of the forecast that is reserved, like critical=0.99")
	flags.DurationVar(&f.probation, "probation", 0, "how long the source's data and slot are kept after a move")
	flags.IntVar(&f.host, "moves-per-host", 0, "migrations at once that touch one host")
	flags.IntVar(&f.fleet, "moves-in-fleet", 0, "migrations at once")
	flags.IntVar(&f.segment, "moves-per-segment", 0, "migrations at once that transfer over one L2 segment; 0: as many as in the fleet")
	flags.StringArrayVar(&f.window, "window", nil, "`window` in which planned moves begin: 22:00-05:00 in UTC every day, or START/END once; may be repeated, and replaces those that are there")
	flags.StringArrayVar(&f.forbid, "forbid", nil, "`window` in which they don't; may be repeated, and replaces those that are there")
	flags.BoolVar(&f.noWindows, "no-windows", false, "they begin at any time")
	flags.StringVar(&f.fill, "fill", "", "`spread|pack`: whether the planner takes the host with most room first, or the one with least, so that others stay empty")
	_ = cmd.RegisterFlagCompletionFunc("fill", cobra.FixedCompletions([]string{"spread", "pack"}, cobra.ShellCompDirectiveNoFileComp))
	flags.DurationVar(&f.every, "rebalance-every", 0, "how often the fleet is looked at for moves that balance it, by the clock in UTC; 0: only when somebody asks")
	flags.BoolVar(&f.execute, "rebalance-execute", false, "carry out what is suggested")
	flags.IntVar(&f.day, "rebalance-moves-per-day", 0, "moves that are carried out so in 24 hours at most")
	flags.Float64Var(&f.gain, "rebalance-least-gain", 0, "percent of the score that such a move has to win by")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.ContainsFunc(policyNames, cmd.Flags().Changed) {
			return usagef("say what to change: see glidepath policy set --help")
		}
		if err := f.set(&proto.Policy{}, cmd.Flags().Changed, time.Now()); err != nil { // before anything is asked
			return err
		}
		for try := 1; ; try++ {
			now, err := ask[v1.FleetPolicy](cmd.Context(), a, "GET", path("policy"), nil)
			if err != nil {
				return err
			}
			in := v1.PolicyRequest{Policy: now.Policy, Revision: now.Revision}
			if err := f.set(&in.Policy, cmd.Flags().Changed, time.Now()); err != nil {
				return err
			}
			err = show(cmd.Context(), a, "PUT", path("policy"), in, a.printPolicy)
			var told *v1.Error
			if !errors.As(err, &told) || told.Code != v1.CodeConflict || try == policyTries {
				return a.unsure(cmd.Context(), err, "the policy is changed", "glidepath policy show")
			} // somebody else has changed it since it was read: what is not named here stays as it is by now
		}
	}
	return cmd
}

// policyTries is how often it is tried to change a policy that others are changing.
const policyTries = 5

// policyNames are the flags that change something.
var policyNames = []string{
	"z", "ratio", "quantile", "probation", "moves-per-host", "moves-in-fleet", "moves-per-segment", "window", "forbid", "no-windows",
	"fill", "rebalance-every", "rebalance-execute", "rebalance-moves-per-day", "rebalance-least-gain",
}

// set changes what the flags name.
func (f *policyFlags) set(p *proto.Policy, changed func(string) bool, now time.Time) error {
	if changed("z") {
		if !(f.z >= 0 && f.z <= 10) {
			return usagef("--z %v: use 0 to 10", f.z)
		}
		p.Z = int64(math.Round(f.z * 1000))
	}
	if err := onlyOnce("--ratio", f.ratio); err != nil {
		return err
	}
	for _, text := range f.ratio {
		name, milli, err := assigned("--ratio", text, "cpu=1.5", 10)
		if err != nil {
			return err
		}
		kinds := resource.All()
		i := slices.IndexFunc(kinds[:], func(k resource.Kind) bool { return k.String() == name })
		if i < 0 {
			return usagef("--ratio %s: there is no resource %q: use cpu, memory, read_iops, write_iops, read_bytes, write_bytes, net_tx or net_rx", text, name)
		}
		p.Ratio[kinds[i]] = milli
	}
	if err := onlyOnce("--quantile", f.quantile); err != nil {
		return err
	}
	for _, text := range f.quantile {
		name, milli, err := assigned("--quantile", text, "critical=0.99", .999)
		if err != nil {
			return err
		}
		of := map[string]*int{"critical": &p.Quantiles.Critical, "standard": &p.Quantiles.Standard, "besteffort": &p.Quantiles.BestEffort}[name]
		if of == nil {
			return usagef("--quantile %s: there is no class %q: use critical, standard or besteffort", text, name)
		}
		*of = int(milli)
	}
	if changed("probation") {
		if f.probation < 0 || f.probation%time.Millisecond != 0 || f.probation > mostProbation {
			return usagef("--probation %s: use 0s or a length of time, like 10m, up to %s, which is 30 days", f.probation, mostProbation)
		}
		p.Probation = f.probation.Milliseconds()
	}
	for flag, c := range map[string]struct {
		from     int
		least    int
		replaces *int
	}{"moves-per-host": {f.host, 1, &p.MovesHost}, "moves-in-fleet": {f.fleet, 1, &p.MovesFleet}, "moves-per-segment": {f.segment, 0, &p.MovesLink}} {
		if !changed(flag) {
			continue
		}
		if c.from < c.least {
			return usagef("--%s %d: use %d or more", flag, c.from, c.least)
		}
		*c.replaces = c.from
	}
	if changed("fill") {
		fill, ok := map[string]proto.Fill{"spread": proto.FillSpread, "pack": proto.FillPack}[f.fill]
		if !ok {
			return usagef("--fill %s: use spread or pack", f.fill)
		}
		p.Fill = fill
	}
	if err := f.setRebalance(p, changed); err != nil {
		return err
	}
	return f.setWindows(p, changed, now)
}

// onlyOnce refuses NAME=VALUE of a flag where one is named twice: which one is meant is not to be guessed.
func onlyOnce(flag string, texts []string) error {
	seen := map[string]string{}
	for _, text := range texts {
		name, _, _ := strings.Cut(text, "=")
		if before, twice := seen[name]; twice {
			return usagef("%s says both %s and %s: leave one out", flag, before, text)
		}
		seen[name] = text
	}
	return nil
}

// assigned reads NAME=NUMBER, in thousandths.
func assigned(flag, text, example string, most float64) (name string, milli int64, err error) {
	name, value, ok := strings.Cut(text, "=")
	n, err := strconv.ParseFloat(value, 64)
	if !ok || err != nil {
		return "", 0, usagef("%s %s: write it like %s", flag, text, example)
	}
	if !(n >= .001 && n <= most) {
		return "", 0, usagef("%s %s: %s is not between 0.001 and %v", flag, text, value, most)
	}
	return name, int64(math.Round(n * 1000)), nil
}

func (f *policyFlags) setRebalance(p *proto.Policy, changed func(string) bool) error {
	var b proto.Rebalance
	if p.Rebalance != nil {
		b = *p.Rebalance
	}
	switch {
	case f.every < 0 || f.every%time.Millisecond != 0:
		return usagef("--rebalance-every %s: use a length of time, like 6h, or 0s for only when somebody asks", f.every)
	case f.day < 0:
		return usagef("--rebalance-moves-per-day %d: use 0 or more", f.day)
	case !(f.gain >= 0 && f.gain <= 100):
		return usagef("--rebalance-least-gain %v: use 0 to 100", f.gain)
	}
	some := false
	for flag, set := range map[string]func(){
		"rebalance-every":         func() { b.Every = f.every.Milliseconds() },
		"rebalance-execute":       func() { b.Execute = f.execute },
		"rebalance-moves-per-day": func() { b.MovesDay = f.day },
		"rebalance-least-gain":    func() { b.LeastGain = int64(math.Round(f.gain * 10)) },
	} {
		if changed(flag) {
			set()
			some = true
		}
	}
	if some {
		p.Rebalance = &b
	}
	if some && b == (proto.Rebalance{}) {
		p.Rebalance = nil
	}
	return nil
}

// setWindows replaces the windows of the kinds that are named.
func (f *policyFlags) setWindows(p *proto.Policy, changed func(string) bool, now time.Time) error {
	if f.noWindows {
		if changed("window") || changed("forbid") {
			return usagef("--no-windows takes all windows out: leave out --window and --forbid")
		}
		p.Windows = nil
		return nil
	}
	for _, list := range []struct {
		flag   string
		texts  []string
		forbid bool
	}{{"window", f.window, false}, {"forbid", f.forbid, true}} {
		if !changed(list.flag) {
			continue
		}
		p.Windows = slices.DeleteFunc(slices.Clone(p.Windows), func(w proto.MoveWindow) bool { return w.Forbid == list.forbid })
		for _, text := range list.texts {
			w, err := parseWindow(text, now)
			if err != nil {
				return usagef("--%s: %w", list.flag, err)
			}
			w.Forbid = list.forbid
			p.Windows = append(p.Windows, w)
		}
	}
	return nil
}

func (a *app) printPolicy(p v1.FleetPolicy) error {
	a.say("Policy %d, by %s at %s", p.Revision, p.By, stamp(p.At))
	t := newTable(a.stdout)
	t.row("z", milli(p.Z))
	for _, of := range []struct { // in lines that a terminal of 80 columns has room for
		name     string
		from, to resource.Kind
	}{{"ratio", resource.CPU, resource.Memory}, {"ratio of disk", resource.ReadIOPS, resource.WriteBytes}, {"ratio of net", resource.NetTx, resource.NetRx}} {
		var ratios []string
		for k := of.from; k <= of.to; k++ {
			ratios = append(ratios, k.String()+" "+milli(p.Ratio[k]))
		}
		t.row(of.name, strings.Join(ratios, ", "))
	}
	t.row("quantiles", fmt.Sprintf("critical %s, standard %s, besteffort %s", quantile(p.Quantiles.Critical), quantile(p.Quantiles.Standard), quantile(p.Quantiles.BestEffort)))
	t.row("probation", took(p.Probation))
	segment := "as many as in the fleet"
	if p.MovesLink > 0 {
		segment = strconv.Itoa(p.MovesLink)
	}
	t.row("moves at once", fmt.Sprintf("%d per host, %d in the fleet; per segment %s", p.MovesHost, p.MovesFleet, segment))
	fill := "filled alike: spread"
	if p.Fill == proto.FillPack {
		fill = "filled one after another: pack"
	}
	t.row("hosts", fill)
	for _, w := range p.Windows {
		word := "moves begin"
		if w.Forbid {
			word = "no moves"
		}
		text := windowWords(w)
		if !w.Span.Empty() && w.Span.End <= timeline.Of(time.Now()) {
			text += ", which is over"
		}
		t.row(word, text)
	}
	if b := p.Rebalance; b != nil {
		every := "when somebody asks"
		if b.Every > 0 {
			every = "every " + took(b.Every)
		}
		does := "suggests moves"
		if b.Execute {
			does = fmt.Sprintf("carries out %s a day at most", count(b.MovesDay, "move"))
		}
		t.row("rebalance", fmt.Sprintf("%s, %s that win by %s %%", every, does, strconv.FormatFloat(float64(cmp.Or(b.LeastGain, planner.MarginOfBalance))/10, 'f', -1, 64)))
	}
	return t.flush()
}

// milli prints thousandths.
func milli(n int64) string { return strconv.FormatFloat(float64(n)/1000, 'f', -1, 64) }

// windowWords says when a window is.
func windowWords(w proto.MoveWindow) string {
	if !w.Span.Empty() {
		return stamp(w.Span.Start) + " to " + stamp(w.Span.End)
	}
	return everyDay(w) + " UTC, every day"
}
