// Command glidepath-agent is the agent of a host: it measures the host's instances, limits them, and carries out its part of
// their migrations.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/internal/interrupt"
)

// Set by the linker.
var (
	version = "0.0.0-dev"
	commit  = "unknown"
)

// Exit codes, the same for all programs of the project.
const (
	exitFine        = 0
	exitError       = 1
	exitUsage       = 2
	exitRefused     = 3
	exitInterrupted = 130
)

func main() {
	ctx, stop := interrupt.Context(context.Background())
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it carries out the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand(stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	var refusal *agent.Refusal
	var usage *usageError
	var denied *deniedError
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "glidepath-agent: interrupted")
		return exitInterrupted
	case errors.As(err, &denied):
		fmt.Fprintln(stderr, denied) // for the unit's journal, where the agent's name means little
		return exitRefused
	}
	fmt.Fprintln(stderr, "glidepath-agent:", err)
	switch {
	case errors.As(err, &refusal):
		return exitRefused
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "See: glidepath-agent help", usage.command)
		return exitUsage
	}
	return exitError
}

// usageError is a command line that can't be carried out.
type usageError struct {
	command string
	err     error
}

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// rootCommand returns the command tree.
func rootCommand(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "glidepath-agent",
		Short: "The agent of a Glidepath fleet",
		Long: "The agent of a Glidepath fleet: it measures the compute instances of this host, limits them by the schedule that\n" +
			"the coordinators send, and carries out its part of their migrations.",
		SilenceErrors: true, SilenceUsage: true,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.Name(), err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(stderr), joinCommand(stdout), statusCommand(stdout), pauseCommand(stdout), resumeCommand(stdout), retentionCommand(stdout), mayRunCommand(), mayPurgeCommand(), guardCommand(stderr), liftCommand(stdout),
		syncShellCommand(), syncSpawnCommand(), syncWorkerCommand(stdout), scoreCommand(stdout), versionCommand(stdout), manCommand(root))
	return root
}

// usage makes what is wrong with arguments an error of usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{cmd.Name(), err}
		}
		return nil
	}
}

// configFlag adds --config to a command.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("config", agent.DefaultConfigPath, "configuration `file`")
}

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: usage(cobra.NoArgs),
		Example: "  glidepath-agent version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(stdout, "glidepath-agent %s (%s)\n", version, commit)
			return err
		},
	}
}
