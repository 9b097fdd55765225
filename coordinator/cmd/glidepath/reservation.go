package main

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func reservationCommand(a *app) *cobra.Command {
	var host, instance string
	list := &cobra.Command{
		Use: "list", Short: "List what is promised", Args: none,
		Example: "  glidepath reservation list --host host-a\n  glidepath reservation list --instance cache-1 --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if host != "" {
				q.Set("host", host)
			}
			if instance != "" {
				q.Set("instance", instance)
			}
			return show(cmd.Context(), a, "GET", path("reservations")+"?"+q.Encode(), nil, a.printReservations)
		},
	}
	list.Flags().StringVar(&host, "host", "", "only those on this `host`")
	list.Flags().StringVar(&instance, "instance", "", "only those of this `instance`")
	completeFlags(list, map[string]cobra.CompletionFunc{"host": completeHost(a), "instance": completeInstances(a)})
	one := &cobra.Command{
		Use: "show RESERVATION", Short: "Show a reservation: who holds it, and its envelope", Args: exactly("reservation"), ValidArgsFunction: completeReservation(a),
		Example: "  glidepath reservation show cache-1@host-a\n  glidepath reservation show nightly --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("reservations", args[0]), nil, a.printReservation)
		},
	}
	return group("reservation", "Reservations in the ledger", watchable(a, list, v1.ChangeReservation), watchable(a, one, v1.ChangeReservation),
		createReservationCommand(a), extendReservationCommand(a), releaseReservationCommand(a))
}

func completeReservation(a *app) cobra.CompletionFunc {
	return firstOnly(names(a, path("reservations"), "id"))
}

// printReservations prints, for each, the most that it holds over its envelope.
func (a *app) printReservations(l v1.List[proto.Reservation]) error {
	slices.SortFunc(l.Items, func(x, y proto.Reservation) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.ID, y.ID))
	})
	t := newTable(a.stdout, "HOST", "RESERVATION", "PURPOSE", "CLASS", "CPU", "MEMORY", "SEGMENTS", "UNTIL")
	for _, r := range l.Items {
		most := r.Envelope.Expected().MaxOver(timeline.Span{End: timeline.Forever})
		purpose := string(r.Purpose)
		if r.Forced {
			purpose += " (as found)"
		}
		t.row(r.Host, r.ID, purpose, r.Class, amount(most, resource.CPU), amount(most, resource.Memory), len(r.Envelope), stamp(r.End()))
	}
	return t.flush()
}

// printReservation prints one with its envelope.
func (a *app) printReservation(r proto.Reservation) error {
	a.say("Reservation %s on %s: %s", r.ID, r.Host, r.Purpose)
	t := newTable(a.stdout)
	t.row("class", r.Class)
	if r.Instance != "" {
		t.row("instance", r.Instance)
	}
	if r.Migration != "" {
		t.row("migration", r.Migration)
	}
	t.row("held until", stamp(r.End()))
	t.row("never below", positive(r.Floor))
	t.row("revision", r.Revision)
	if r.Forced {
		t.row("admitted", "no: it was taken as a fact")
	}
	if err := t.flush(); err != nil {
		return err
	}
	if r.Squeezed != nil {
		a.say("SQUEEZED since %s for %s: %s", stamp(r.Squeezed.At), oneLine(r.Squeezed.For), oneLine(r.Squeezed.Why))
	}
	a.say("")
	t = newTable(a.stdout, "SEGMENT", "FROM", "UNTIL", "FIRM", "POOLED")
	for i, s := range r.Envelope {
		pooled := "-"
		if s.Pooled() {
			pooled = pooledPart(s)
		}
		t.row(i, stamp(s.Start), stamp(s.End), positive(s.Firm), pooled)
	}
	return t.flush()
}

// pooledPart prints the mean of each resource that a segment pools, with how far it strays by itself and in common with others, where it does.
func pooledPart(s proto.Segment) string {
	var parts []string
	for _, k := range resource.All() {
		if s.Mean[k] == 0 && s.Own[k] == 0 && s.Common[k] == 0 {
			continue
		}
		text := k.String() + " " + short(k, s.Mean[k])
		if s.Own[k] > 0 {
			text += " ± " + short(k, s.Own[k]) + " own"
		}
		if s.Common[k] > 0 {
			text += " ± " + short(k, s.Common[k]) + " common"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// positive prints the amounts that are not 0.
func positive(v resource.Vector) string {
	var parts []string
	for _, k := range resource.All() {
		if v[k] > 0 {
			parts = append(parts, k.String()+" "+short(k, v[k]))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}

// changes is how a change of reservations is asked for.
type changes struct{ dry, squeeze bool }

func (c *changes) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.dry, "dry-run", false, "say what would come of it, and who would yield; nothing is changed")
	cmd.Flags().BoolVar(&c.squeeze, "squeeze", false, "where there is no room, let reservations of lower classes yield, down to their floors")
}

// judge asks what would come of a change. What does not fit, as it is asked for, is refused after it was told.
func (c *changes) judge(ctx context.Context, a *app, in v1.VerdictRequest) error {
	raw, v, err := askBoth[v1.Verdict](ctx, a, "POST", path("reservations", "verdict"), in)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(raw)
	} else {
		err = a.printVerdict(v, c.squeeze)
	}
	if err != nil || v.Fits || c.squeeze && v.Squeezed {
		return err
	}
	return &endedError{code: exitRefused, told: true, text: "it does not fit"}
}

func (a *app) printVerdict(v v1.Verdict, squeeze bool) error {
	switch {
	case v.Fits:
		a.say("It fits. Nothing was changed.")
	case v.Squeezed && squeeze:
		a.say("It fits if others yield. Nothing was changed.")
	case v.Squeezed:
		a.say("It does not fit, and would if others yielded: --squeeze lets them. Nothing was changed.")
	default:
		a.say("It does not fit. Nothing was changed.")
	}
	for _, s := range v.Says {
		a.say("  %s", oneLine(s))
	}
	if len(v.Hosts) == 0 {
		return nil
	}
	a.say("")
	t := newTable(a.stdout, "HOST", "TIGHTEST", "FROM", "UNTIL", "LEFT", "OF")
	for _, h := range v.Hosts {
		if w := h.Tightest; w != nil {
			t.row(h.Host, w.Resource, stamp(w.Span.Start), stamp(w.Span.End), signed(w.Resource, w.Free), short(w.Resource, w.Limit))
		}
	}
	if err := t.flush(); err != nil || len(v.Yields) == 0 {
		return err
	}
	a.say("")
	return a.printYields(v.Yields)
}

// signed prints an amount that may be missing.
func signed(k resource.Kind, n int64) string {
	if n < 0 {
		return "-" + short(k, -n)
	}
	return short(k, n)
}

func (a *app) printYields(list []proto.Yield) error {
	t := newTable(a.stdout, "YIELDS", "TO", "HOW")
	for _, y := range list {
		t.row(y.ID, y.For, y.Why)
	}
	return t.flush()
}

func (a *app) printHeld(r v1.ReservationsReply) error {
	if err := a.printReservations(v1.List[proto.Reservation]{Items: r.Reservations}); err != nil || len(r.Yields) == 0 {
		return err
	}
	a.say("")
	return a.printYields(r.Yields)
}

func createReservationCommand(a *app) *cobra.Command {
	var how changes
	cmd := &cobra.Command{
		Use: "create -f FILE", Short: "Hold capacity for a time", Args: none,
		Long: `Hold capacity on hosts for a time, for something that Glidepath does not run: all of what the files say, or none of it.

A step of a file holds firm, which is added up as it is, and a pooled part, which is demand that comes and goes: its mean, and as sigma_own and
sigma_common how far it strays by itself and together with others. A step that does not say from goes on where the one before ends, the first one begins now;
one that does not say to ends where the next begins, the last one when the hold lapses (until). Times are like 2026-11-22T18:00Z, now or +2h. Between steps
nothing is left out unless gaps says so. A hold has an end, 400 days ahead at most.

It never yields below floor. Without a floor it may lose all of it to a higher class; one of class critical yields to nobody. --squeeze makes room where
there is none: the lowest class yields first, and in it what does the least harm. --dry-run shows who would, whether or not it is given.`,
		Example: `  glidepath reservation create -f nightly.yaml --dry-run
  glidepath reservation create -f nightly.yaml --squeeze

  id: nightly
  host: host-a
  class: standard
  floor: {cpu: 500m}
  steps:
  - {from: 2026-12-01T22:00Z, to: 2026-12-02T02:00Z, firm: {cpu: 2, memory: 4GiB}}
  - {to: 2026-12-02T06:00Z, firm: {cpu: 1, memory: 4GiB}}`,
	}
	files := fileFlag(cmd, "reservations")
	how.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := readReservations(cmd.Context(), *files, time.Now())
		if err != nil {
			return err
		}
		if how.dry {
			return how.judge(cmd.Context(), a, v1.VerdictRequest{Reservations: list})
		}
		err = show(cmd.Context(), a, "POST", path("reservations"), v1.ReservationsRequest{Reservations: list, Squeeze: how.squeeze}, a.printHeld)
		return a.unsure(cmd.Context(), err, "that is held", "glidepath reservation list --host "+list[0].Host)
	}
	return cmd
}

func extendReservationCommand(a *app) *cobra.Command {
	var how changes
	var until string
	cmd := &cobra.Command{
		Use: "extend RESERVATION --until TIME", Short: "Let a reservation that an operator holds last longer", Args: exactly("reservation"), ValidArgsFunction: completeReservation(a),
		Long: "Lets a hold last longer: what its envelope holds at last goes on until then, and has to fit. An instance's reservation lives with its\n" +
			"instance, and is not extended.",
		Example: "  glidepath reservation extend nightly --until 2026-12-03T06:00Z\n  glidepath reservation extend nightly --until +6h --dry-run",
	}
	cmd.Flags().StringVar(&until, "until", "", "`time` when it ends then: 2026-12-03T06:00Z, or +6h from now")
	how.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if until == "" {
			return usagef("say until when it is held: --until 2026-12-03T06:00Z, or --until +6h")
		}
		end, err := coming(until, time.Now())
		if err != nil {
			return usagef("--until: %w", err)
		}
		if how.dry {
			return how.judge(cmd.Context(), a, v1.VerdictRequest{Extend: []v1.Extension{{ID: args[0], Until: timeline.Of(end)}}})
		}
		err = show(cmd.Context(), a, "POST", path("reservations", args[0], "extend"), v1.ExtendRequest{Until: timeline.Of(end), Squeeze: how.squeeze}, a.printHeld)
		return a.unsure(cmd.Context(), err, "it lasts longer", "glidepath reservation show "+args[0])
	}
	return cmd
}

func releaseReservationCommand(a *app) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "release RESERVATION", Short: "Release a reservation that an operator holds", Args: exactly("reservation"), ValidArgsFunction: completeReservation(a),
		Long:    "Releases a hold before its end. The reservation of an instance or a migration ends with that, and is not released by itself.",
		Example: "  glidepath reservation release nightly\n  glidepath reservation release nightly --dry-run",
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would come of it; nothing is changed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if dry {
			return (&changes{}).judge(cmd.Context(), a, v1.VerdictRequest{Release: args})
		}
		err := show(cmd.Context(), a, "DELETE", path("reservations", args[0]), nil, func(v1.Empty) error {
			a.say("Reservation %s is released", args[0])
			return nil
		})
		return a.unsure(cmd.Context(), err, "it is released", "glidepath reservation show "+args[0])
	}
	return cmd
}
