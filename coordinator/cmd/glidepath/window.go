package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func windowCommand(a *app) *cobra.Command {
	list := &cobra.Command{
		Use: "list HOST", Short: "List when some or all of a host is not there", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Example: "  glidepath host window list host-a",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("hosts", args[0]), nil, a.printWindows)
		},
	}
	remove := &cobra.Command{
		Use: "remove HOST WINDOW", Short: "Take a window of a host back", Args: exactly("host", "window"), ValidArgsFunction: completeWindow(a),
		Example: "  glidepath host window remove host-a disks",
		RunE: func(cmd *cobra.Command, args []string) error {
			err := show(cmd.Context(), a, "DELETE", path("hosts", args[0], "windows", args[1]), nil, func(v1.HostDetail) error {
				a.say("Window %s of %s is taken back", args[1], args[0])
				return nil
			})
			return a.unsure(cmd.Context(), err, "the window is taken back", "glidepath host window list "+args[0])
		},
	}
	return group("window", "Windows: when some or all of a host is not there", list, addWindowCommand(a), remove)
}

// completeWindow completes a host, and then a window of it.
func completeWindow(a *app) cobra.CompletionFunc {
	host := firstOnly(completeHost(a))
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) != 1 {
			return host(cmd, args, word)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		var out []string
		if h, err := ask[v1.HostDetail](ctx, a, "GET", path("hosts", args[0]), nil); err == nil {
			for _, w := range h.Windows {
				out = append(out, w.ID)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// windowFlags are those of host window add.
type windowFlags struct {
	id, from, to, joins, leaves, reason string
	amount                              []string
	whole, force, dry                   bool
}

func addWindowCommand(a *app) *cobra.Command {
	var f windowFlags
	cmd := &cobra.Command{
		Use: "add HOST (--whole | --amount RESOURCE=AMOUNT | --joins TIME | --leaves TIME)", Short: "Say when some or all of a host is not there",
		Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Long: `Says when some or all of a host is not there: it is maintained, it joins later, it leaves. The ledger promises only what is left then, and
nothing new is placed where it would not fit. Windows that overlap add up.

Where promises could not be kept it is refused, and told who could yield, or whose instances would have to leave, so that they could. --dry-run
says that beforehand. --force states what is a fact: the host is short then, which glidepath status shows.`,
		Example: `  glidepath host window add host-a --whole --from 2026-12-01T22:00Z --to 2026-12-02T02:00Z --id disks --reason 'new disks'
  glidepath host window add host-a --amount cpu=8,memory=32GiB --from +1h --to +3h --dry-run
  glidepath host window add host-d --joins 2026-12-03T08:00Z
  glidepath host window add host-b --leaves 2027-01-31T00:00Z`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "now", "`time` when it begins: 2026-12-01T22:00Z, now, or +2h")
	flags.StringVar(&f.to, "to", "", "`time` when it ends (default never)")
	flags.BoolVar(&f.whole, "whole", false, "nothing of the host is there")
	flags.StringSliceVar(&f.amount, "amount", nil, "`RESOURCE=AMOUNT` that is not there, like cpu=8")
	flags.StringVar(&f.joins, "joins", "", "the host is there from this `time` on: nothing of it is until then")
	flags.StringVar(&f.leaves, "leaves", "", "the host is gone from this `time` on, for good")
	flags.StringVar(&f.id, "id", "", "identifier; one that is there is replaced")
	flags.StringVar(&f.reason, "reason", "", "why, for the record")
	flags.BoolVar(&f.force, "force", false, "it is a fact, whoever is short by it")
	flags.BoolVar(&f.dry, "dry-run", false, "say what would come of it; nothing is changed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := f.request(time.Now(), cmd.Flags().Changed("from"))
		if err != nil {
			return err
		}
		if f.dry {
			return a.judgeWindow(cmd.Context(), args[0], in)
		}
		err = show(cmd.Context(), a, "POST", path("hosts", args[0], "windows"), in, a.printWindows)
		return a.unsure(cmd.Context(), err, "the window is there", "glidepath host window list "+args[0])
	}
	return cmd
}

// request returns what the flags say.
func (f *windowFlags) request(now time.Time, begins bool) (v1.WindowRequest, error) {
	out := v1.WindowRequest{ID: f.id, Whole: f.whole, Reason: f.reason, Force: f.force}
	if (f.joins != "" || f.leaves != "") && (begins || f.to != "") {
		return out, usagef("--joins and --leaves say when: leave out --from and --to")
	}
	for _, t := range []struct {
		flag, text string
		to         *timeline.Time
	}{{"--from", f.from, &out.Start}, {"--to", f.to, &out.End}, {"--joins", f.joins, &out.End}, {"--leaves", f.leaves, &out.Start}} {
		if t.text == "" || t.text == "now" && t.flag == "--from" {
			continue // by the coordinator's clock
		}
		at, err := coming(t.text, now)
		if err != nil {
			return out, usagef("%s: %w", t.flag, err)
		}
		*t.to = timeline.Of(at)
	}
	said := 0
	for _, is := range []bool{f.whole, len(f.amount) > 0, f.joins != "", f.leaves != ""} {
		if is {
			said++
		}
	}
	switch {
	case said > 1:
		return out, usagef("say one of --whole, --amount, --joins and --leaves")
	case f.joins != "" || f.leaves != "":
		out.Whole = true
	case len(f.amount) > 0:
		if err := amounts("--amount", &out.Amount, f.amount); err != nil {
			return out, err
		}
	case !f.whole:
		return out, usagef("say what is not there: --whole, or --amount cpu=8, or that the host --joins or --leaves")
	}
	return out, nil
}

// judgeWindow says what would come of a window. What would be refused is told apart by the exit code.
func (a *app) judgeWindow(ctx context.Context, host string, in v1.WindowRequest) error {
	raw, v, err := askBoth[v1.WindowVerdict](ctx, a, "POST", path("hosts", host, "windows", "verdict"), in)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(raw)
	} else {
		err = a.printWindowVerdict(v)
	}
	if err != nil || v.Fits || in.Force {
		return err
	}
	return &endedError{code: exitRefused, told: true, text: "promises could not be kept"}
}

func (a *app) printWindowVerdict(v v1.WindowVerdict) error {
	if v.Fits {
		a.say("It can be. Nothing was changed.")
	} else {
		a.say("Promises could not be kept. Nothing was changed.")
	}
	for _, s := range v.Says {
		a.say("  %s", oneLine(s))
	}
	if len(v.Yields) == 0 {
		return nil
	}
	a.say("")
	return a.printYields(v.Yields)
}

// printWindows prints when some or all of a host is not there.
func (a *app) printWindows(h v1.HostDetail) error {
	t := newTable(a.stdout, "WINDOW", "FROM", "UNTIL", "NOT THERE", "BY", "REASON")
	slices.SortStableFunc(h.Windows, func(a, b proto.CapacityWindow) int { return cmp.Compare(a.Span.Start, b.Span.Start) })
	for _, w := range h.Windows {
		t.row(w.ID, stamp(w.Span.Start), stamp(w.Span.End), missingIn(w), w.By, w.Reason)
	}
	return t.flush()
}

// missingIn prints what is not there in a window.
func missingIn(w proto.CapacityWindow) string {
	if w.Whole {
		return "the whole host"
	}
	return positive(w.Amount)
}
