package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func migrateCommand(a *app) *cobra.Command {
	var follow follow
	cmd := &cobra.Command{
		Use: "migrate INSTANCE", Short: "Move an instance to another host, another type, or both", Args: exactly("instance"),
		Long: `Move an instance. The capacity that it will need is reserved on the target at every step before anything begins; if a step
does not fit, the move is refused and nothing has changed. A failure before the target serves clients puts everything back.

With --at it begins by itself: at a time, or at the best one until --before, or as far ahead as demand is forecast. The plan is stored, and its room
is held, until then; when it begins it is planned again, by what is known and committed by then. One that does not fit any more, or whose instance
has moved, becomes stale, and says why. See glidepath plan list, show, begin and cancel.

With --squeeze a move that has no room makes reservations of lower classes yield in the same step: the lowest class first, never below a floor, never a
critical one. glidepath plan migrate --squeeze says who would. Where memory is yielded that the move needs at once, it begins three quarters of a minute
later, as a stored plan: by then that has been given back. What has yielded is raised again when there is room.`,
		Example: `  glidepath migrate cache-1 --to host-b --type m.large --watch
  glidepath migrate cache-1 --to host-b --watch --until settle
  glidepath migrate cache-1 --to host-b --at 02:00
  glidepath migrate cache-1 --to host-b --squeeze
  glidepath migrate cache-1 --at best --before 06:00 --window 22:00-05:00`,
	}
	request := planFlags(cmd, a)
	var when whenFlags
	when.define(cmd)
	follow.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		request.Instance = args[0]
		if err := when.set(request, time.Now()); err != nil {
			return err
		}
		if request.Best || request.At != 0 {
			return a.schedule(cmd.Context(), request, follow)
		}
		return a.begin(cmd.Context(), path("migrations"), request, follow, "glidepath migration list --active --instance "+request.Instance)
	}
	return cmd
}

func migrationCommand(a *app) *cobra.Command {
	const explain = "explain"
	var instance, reason, loss string
	var active, unreported bool
	var until until
	list := &cobra.Command{
		Use: "list", Short: "List migrations", Args: none,
		Example: "  glidepath migration list\n  glidepath migration list --active --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if instance != "" {
				q.Set("instance", instance)
			}
			if active {
				q.Set("active", "true")
			}
			return show(cmd.Context(), a, "GET", path("migrations")+"?"+q.Encode(), nil, a.printMigrations)
		},
	}
	list.Flags().StringVar(&instance, "instance", "", "only those of this `instance`")
	completeFlags(list, map[string]cobra.CompletionFunc{"instance": completeInstances(a)})
	list.Flags().BoolVar(&active, "active", false, "only those that have not ended")
	one := &cobra.Command{
		Use: "show MIGRATION", Short: "Show a migration: its phases, decisions and operations", Args: exactly("migration"), ValidArgsFunction: completeMigration(a),
		Example: "  glidepath migration show 01JD8Z4QK3",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("migrations", args[0]), nil, a.printMigration)
		},
	}
	watch := &cobra.Command{
		Use: "watch MIGRATION", Short: "Follow a migration to its end; Ctrl-C leaves it running", Args: exactly("migration"), ValidArgsFunction: completeMigration(a),
		Example: "  glidepath migration watch 01JD8Z4QK3\n  glidepath migration watch 01JD8Z4QK3 --until settle",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.watch(cmd.Context(), args[0], until) },
	}
	until.flag(watch)
	abort := &cobra.Command{
		Use: "abort MIGRATION", Short: "Give a migration up: at no loss, as long as its target has served nobody", Args: exactly("migration"), ValidArgsFunction: completeMigration(a),
		Long: "Gives a migration up. As long as its target has served nobody, the source goes on, and nothing is lost.\n\n" +
			"Once the target serves, only it has what clients wrote since. If it died for good before the end of probation, --accept-loss\n" +
			"gives that up: the source goes on with the data it kept. Without a value it says how old those are, and asks; without a\n" +
			"terminal it says which value to give, and changes nothing. Should the target come back, it is made to give the instance away, and what was written there\n" +
			"goes to its retention folder. After a restore from a backup --accept-loss waits for all hosts to report, as one of them may run the\n" +
			"instance; for those that are off and stay off, say --unreported.",
		Example: "  glidepath migration abort 01JD8Z4QK3\n  glidepath migration abort 01JD8Z4QK3 --accept-loss\n  glidepath migration abort 01JD8Z4QK3 --accept-loss=34 --reason 'host-b burnt down'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := v1.AbortRequest{Reason: reason, Unreported: unreported}
			switch loss {
			case "":
				if unreported {
					return usagef("--unreported is for --accept-loss")
				}
			case explain:
				var err error
				if in.Fence, err = a.acceptLoss(cmd.Context(), args[0], cmd.InOrStdin()); err != nil {
					return err
				}
				in.AcceptLoss = true
			default:
				var err error
				if in.Fence, err = strconv.ParseUint(loss, 10, 64); err != nil || in.Fence == 0 {
					return usagef("--accept-loss=%s: give the fence that --accept-loss alone shows", loss)
				}
				in.AcceptLoss = true
			}
			return show(cmd.Context(), a, "POST", path("migrations", args[0], "abort"), in, func(m v1.MigrationStatus) error {
				a.say("Migration %s is being undone: %s goes on on %s", m.ID, m.Instance, m.Source)
				return nil
			})
		},
	}
	back := returnCommand(a)
	abort.Flags().StringVar(&reason, "reason", "", "why, for the record")
	abort.Flags().BoolVar(&unreported, "unreported", false, "with --accept-loss: also while hosts have not reported what they run since the fleet was restored")
	abort.Flags().StringVar(&loss, "accept-loss", "", "go back to the source although the target has served, under this `fence`; without a value, say what would be lost, and ask")
	abort.Flags().Lookup("accept-loss").NoOptDefVal = explain
	return group("migration", "Migrations: moves of instances", watchable(a, list, v1.ChangeMigration), one, explainMigrationCommand(a), watch, abort, back, completeCommand(a))
}

// begin asks for a migration, says that it has begun, and follows it if it is to be watched. Where that is not known in the end, see shows it.
func (a *app) begin(ctx context.Context, at string, request any, follow follow, see string) error {
	if err := follow.check(); err != nil {
		return err
	}
	raw, err := ask[json.RawMessage](ctx, a, "POST", at, request)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(a.stderr, "It is not known whether the migration has begun. See:  %s\n", see)
		}
		return err
	}
	var p proto.StoredPlan
	if err := json.Unmarshal(raw, &p); err == nil && len(p.Moves) > 0 { // others have memory to give back first
		return a.carried(ctx, raw, p, follow)
	}
	var m proto.Migration
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	if a.json && !follow.watch {
		return a.printJSON(raw)
	}
	a.say("Migration %s of %s from %s to %s has begun: about %s, with clients waiting for about %s", m.ID, m.Instance, m.Source, m.Target,
		took(m.Plan.Duration), took(m.Plan.Downtime))
	if len(m.Plan.Yields) > 0 {
		if err := a.printYields(m.Plan.Yields); err != nil {
			return err
		}
	}
	if !follow.watch {
		a.say("Follow it:  glidepath migration watch %s\nStop it:    glidepath migration abort %s", m.ID, m.ID)
		return nil
	}
	return a.watch(ctx, m.ID, follow.until)
}

func (a *app) printMigrations(l v1.List[v1.MigrationStatus]) error {
	t := newTable(a.stdout, "MIGRATION", "INSTANCE", "FROM", "TO", "TYPE", "PHASE", "STARTED", "ENDED", "REASON")
	for _, m := range l.Items {
		state := string(m.Phase)
		if m.Phase == proto.PhaseEnded {
			state = string(m.Outcome)
		}
		t.row(m.ID, m.Instance, m.Source, m.Target, m.ToType, state, stamp(m.CreatedAt), stamp(m.EndedAt), m.Reason)
	}
	return t.flush()
}

func (a *app) printMigration(m proto.Migration) error {
	state := "in phase " + string(m.Phase)
	if !m.Active() {
		state = string(m.Outcome)
	}
	a.say("Migration %s of %s from %s to %s, type %s to %s: %s", m.ID, m.Instance, m.Source, m.Target, m.FromType, m.ToType, state)
	if m.Reason != "" {
		a.say("reason: %s", oneLine(m.Reason))
	}
	if m.Returns != "" {
		a.say("returns migration %s", m.Returns)
	}
	if m.Returning != "" {
		a.say("is being returned by migration %s", m.Returning)
	} else if m.Returns == "" && (m.Phase == proto.PhaseWarm || m.Phase == proto.PhaseSettle) {
		a.say("can be taken back until the end of probation: glidepath migration return %s", m.ID)
		if !m.Satisfied() {
			a.say("or is good as it is:                          glidepath migration complete %s", m.ID)
		}
	}
	a.say("started by %s\n", m.StartedBy)
	planned := map[proto.Phase]proto.PlanPhase{}
	for _, p := range m.Plan.Phases {
		planned[p.Phase] = p
	}
	t := newTable(a.stdout, "PHASE", "ENTERED", "TOOK", "PLANNED")
	for i, p := range m.Phases {
		lasted, plan := "-", "-"
		if i+1 < len(m.Phases) {
			lasted = took(m.Phases[i+1].At.Sub(p.At).Milliseconds())
		}
		if pl, ok := planned[p.Phase]; ok {
			plan = took(pl.Length().Milliseconds())
		}
		t.row(p.Phase, stamp(p.At), lasted, plan)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.printCame(m); err != nil {
		return err
	}
	if len(m.Decisions) > 0 {
		a.say("")
		t = newTable(a.stdout, "DECISION", "FENCE", "AT", "BY", "REASON")
		for _, d := range m.Decisions {
			t.row(d.Kind, d.Fence, stamp(d.At), d.By, d.Reason)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(m.Operations) == 0 {
		return nil
	}
	a.say("")
	t = newTable(a.stdout, "OPERATION", "HOST", "SENT", "TOOK", "RESULT")
	for _, o := range m.Operations {
		name := string(o.Kind)
		if o.Round > 0 {
			name = fmt.Sprintf("%s %d", o.Kind, o.Round)
		}
		if o.Hook != "" {
			name = fmt.Sprintf("%s %s", o.Hook, o.Kind)
		}
		lasted := "-"
		if o.Result != nil {
			lasted = took(o.Result.Took)
		}
		t.row(name, o.Host, stamp(o.SentAt), lasted, outcome(m, o.Result))
	}
	return t.flush()
}

// ran prints what came of hooks that did not keep the migration from going on.
func ran(hooks []proto.HookResult) string {
	var parts []string
	for _, h := range hooks {
		if h.Failure == "" {
			parts = append(parts, h.Program+" done")
		} else {
			parts = append(parts, h.Program+" "+h.Failure+" (ignored)")
		}
	}
	return strings.Join(parts, ", ")
}

// outcome prints what came of an operation.
func outcome(m proto.Migration, r *proto.OperationResult) string {
	switch {
	case r == nil && !m.Active():
		return "no answer"
	case r == nil:
		return "runs"
	case r.Error != nil:
		return r.Error.Code + ": " + r.Error.Error()
	case r.Round != nil:
		return fmt.Sprintf("%s sent of %s in %s", size(r.Round.Bytes), size(r.Round.Total), count(int(r.Round.Files), "file"))
	case r.Source != nil:
		return fmt.Sprintf("%s in %s", size(r.Source.DataBytes), count(int(r.Source.DataFiles), "file"))
	case r.Start != nil:
		return fmt.Sprintf("healthy after %s", took(r.Start.HealthyAfter))
	case len(r.Hooks) > 0:
		return ran(r.Hooks)
	}
	return "done"
}
