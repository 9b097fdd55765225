// The glidepath command is how people and scripts speak to a Glidepath fleet.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	_ "time/tzdata" // for machines without

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/glidepath/glidepath/coordinator/api/client"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/interrupt"
	"github.com/glidepath/glidepath/proto"
)

// Set by the build.
var (
	version = "dev"
	commit  = "unknown"
)

// Exit codes, as of every program here.
const (
	exitFine        = 0
	exitError       = 1
	exitUsage       = 2
	exitRefused     = 3
	exitNotFound    = 4
	exitAborted     = 5
	exitInterrupted = 130
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // little is held: else a fifth of a backtest's time is the collector's
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run carries out the command line and returns its exit code. SIGINT and SIGTERM end it cleanly, the second one at once.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(ctx)
	defer stop()
	a := &app{stdout: stdout, stderr: stderr, env: os.Getenv}
	a.height = func() int { return terminalHeight(stdout, a.env("TERM")) }
	defer a.close()
	root := command(a)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	code := exitCode(ctx, err)
	var ended *endedError
	switch {
	case errors.As(err, &ended) && ended.told: // what there is to say has been printed
	case code == exitInterrupted:
		fmt.Fprintln(stderr, "glidepath: interrupted")
	case code == exitUsage:
		fmt.Fprintf(stderr, "glidepath: %v\nSee: %s --help\n", err, ran.CommandPath())
	default:
		fmt.Fprintf(stderr, "glidepath: %v\n", explain(err))
	}
	return code
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// endedError is a migration that ended otherwise than it should, or adoption that did not succeed.
type endedError struct {
	text string
	code int
	told bool
}

func (e *endedError) Error() string { return e.text }

// ended returns nil for a migration that was completed, and an error with the exit code otherwise.
func ended(m v1.MigrationStatus) error {
	e := &endedError{text: fmt.Sprintf("migration %s was %s", m.ID, m.Outcome), code: exitAborted}
	if m.Reason != "" {
		e.text += ": " + oneLine(m.Reason)
	}
	switch m.Outcome {
	case proto.OutcomeCompleted:
		return nil
	case proto.OutcomeFailed:
		e.code = exitError
	}
	return e
}

func exitCode(ctx context.Context, err error) int {
	var (
		usage *usageError
		over  *endedError
		told  *v1.Error
	)
	switch {
	case errors.As(err, &over):
		return over.code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &told):
		switch told.Code {
		case v1.CodeRefused, v1.CodeConflict, v1.CodeForbidden:
			return exitRefused
		case v1.CodeNotFound:
			return exitNotFound
		}
	}
	return exitError
}

// explain adds what to do about an error that the coordinators did not word.
func explain(err error) error {
	var gone *client.UnreachableError
	if errors.As(err, &gone) {
		return fmt.Errorf("%w\nName one with --address, GLIDEPATH_ADDR or addresses: in the configuration file; is glidepathd running there?", err)
	}
	return err
}

// command returns the command tree.
func command(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "glidepath",
		Short: "Move live instances between hosts, with the capacity they will need",
		Long: `glidepath speaks to the coordinators of a fleet. It finds them by --address, GLIDEPATH_ADDR or the configuration
file, and shows them the token in GLIDEPATH_TOKEN or that file. Every command prints a table, or with --json what the
API answers.`,
		Example: `  glidepath status
  glidepath instance apply -f cache-1.yaml
  glidepath plan migrate cache-1 --to host-b --type m.large
  glidepath migrate cache-1 --to host-b --type m.large --watch`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		Args:              known,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return noEmptyFlag(cmd) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	flags := root.PersistentFlags()
	flags.StringSliceVarP(&a.addresses, "address", "a", nil, "`host:port` of a coordinator's API; several are tried in turn")
	flags.StringVar(&a.configPath, "config", "", "configuration `file` (default ~/.config/glidepath/config.yaml)")
	flags.BoolVar(&a.json, "json", false, "print what the API answers, as JSON")
	root.AddCommand(
		statusCommand(a), streamCommand(a), hostCommand(a), reservationCommand(a), noticeCommand(a), policyCommand(a),
		typeCommand(a), appCommand(a), eventCommand(a), calendarCommand(a),
		instanceCommand(a), historyCommand(a), forecastCommand(a), backtestCommand(a), scheduleCommand(a),
		planCommand(a), migrateCommand(a), migrationCommand(a), rebalanceCommand(a),
		pauseCommand(a), resumeCommand(a),
		operatorCommand(a), tokenCommand(a), versionCommand(a), manCommand(root),
	)
	noFiles(root)
	return root
}

// noFiles keeps shells from offering files where a flag takes none, which is what they do by themselves.
func noFiles(cmd *cobra.Command) {
	quiet := func(f *pflag.Flag) {
		takes, _ := pflag.UnquoteUsage(f)
		_, has := cmd.GetFlagCompletionFunc(f.Name)
		if !has && f.NoOptDefVal == "" && takes != "file" && takes != "folder" {
			completeFlags(cmd, map[string]cobra.CompletionFunc{f.Name: completeWords()})
		}
	}
	cmd.Flags().VisitAll(quiet)
	cmd.PersistentFlags().VisitAll(quiet)
	for _, sub := range cmd.Commands() {
		noFiles(sub)
	}
}

// group returns a command that only holds others.
func group(use, short string, of ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: known,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(of...)
	return cmd
}

// known refuses the name of a command that is not there, and says which one may have been meant.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("%s has no command %q: did you mean %s?", cmd.CommandPath(), args[0], strings.Join(near, " or "))
	}
	return usagef("%s has no command %q", cmd.CommandPath(), args[0])
}

// none and exactly make what is wrong with arguments an error of usage.
func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q is one argument too many", args[0])
	}
	return nil
}

func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch at := slices.Index(args, ""); {
		case len(args) < len(names):
			return usagef("name the %s", names[len(args)])
		case len(args) > len(names):
			return usagef("%q is one argument too many", args[len(names)])
		case at >= 0:
			return usagef("the %s that is named is empty: is a variable of your shell not set?", names[at])
		}
		return nil
	}
}

// noEmptyFlag refuses a flag that is given and says nothing, as it does with a variable that a shell does not know: what it was to choose would be
// taken for not chosen, and a whole fleet be meant in the place of a host.
func noEmptyFlag(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		list, several := f.Value.(pflag.SliceValue)
		empty := f.Value.String() == ""
		if several {
			empty = !slices.ContainsFunc(list.GetSlice(), func(s string) bool { return s != "" })
		}
		if empty && f.Name != "reason" && err == nil {
			err = usagef("--%s is empty: give it a value, or leave it out; is a variable of your shell not set?", f.Name)
		}
	})
	return err
}
