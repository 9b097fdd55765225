//go:build linux

// Command glidepath-vm drives the test bed by hand: it makes images, starts fleets, runs
// commands in guests and removes what is left behind.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/testenv/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var exit *vm.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.Code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	root := &cobra.Command{
		Use:           "glidepath-vm",
		Short:         "Drive the test bed by hand",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	root.AddCommand(
		checkCommand(), packagesCommand(), imageCommand(), upCommand(), listCommand(), execCommand(), downCommand(), sweepCommand())
	return root.ExecuteContext(ctx)
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Say whether fleets can run here, and what is missing", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := vm.Check(); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The test bed can run here.")
			return nil
		},
	}
}

func packagesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "packages", Short: "Print the Debian packages that the test bed needs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(vm.DebianPackages(), " "))
			return err
		},
	}
}

func imageCommand() *cobra.Command {
	return &cobra.Command{
		Use: "image", Short: "Make the guests' image unless the cache has it, and print its folder", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := vm.BuildImage(cmd.Context(), vm.Image{}, progressTo(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	}
}

func upCommand() *cobra.Command {
	var guests, namespaces []string
	cmd := &cobra.Command{
		Use: "up FLEET", Short: "Start a fleet and leave it running", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec := vm.Spec{Name: args[0], Keep: true, Progress: progressTo(cmd.ErrOrStderr())}
			for _, name := range guests {
				spec.Guests = append(spec.Guests, vm.GuestSpec{Name: name})
			}
			for _, name := range namespaces {
				spec.Namespaces = append(spec.Namespaces, vm.NamespaceSpec{Name: name})
			}
			start := time.Now()
			fleet, err := vm.Start(cmd.Context(), spec)
			if err != nil {
				return err
			}
			if err := fleet.Detach(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Up in %.1f s. Remove it with: glidepath-vm down %s\n", time.Since(start).Seconds(), args[0])
			return err
		},
	}
	cmd.Flags().StringSliceVar(&guests, "guest", []string{"host-a", "host-b"}, "names of the guests")
	cmd.Flags().StringSliceVar(&namespaces, "namespace", nil, "names of the namespaces")
	return cmd
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the fleets on this machine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleets, err := vm.List(cmd.Context())
			for _, f := range fleets {
				state := "left behind"
				if f.Held {
					state = "run by a program"
				} else if f.Detached {
					state = "detached"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\n", f.Name, state, strings.Join(append(f.Guests, f.Namespaces...), " "))
			}
			return err
		},
	}
}

func execCommand() *cobra.Command {
	return &cobra.Command{
		Use: "exec FLEET GUEST COMMAND [ARG]...", Short: "Run a command in a guest of a detached fleet", Args: cobra.MinimumNArgs(3),
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := vm.Open(cmd.Context(), args[0], nil)
			if err != nil {
				return err
			}
			guest, err := findGuest(fleet, args[1])
			if err == nil {
				err = guest.Run(cmd.Context(), vm.Command{Argv: args[2:], Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()})
			}
			return errors.Join(err, fleet.Detach())
		},
	}
}

func findGuest(fleet *vm.Fleet, name string) (*vm.Guest, error) {
	for _, guest := range fleet.Guests() {
		if guest.Name() == name {
			return guest, nil
		}
	}
	return nil, fmt.Errorf("fleet %s has no guest %q", fleet.Name(), name)
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use: "down FLEET", Short: "Remove a fleet that no program is running", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return vm.Destroy(cmd.Context(), args[0]) },
	}
}

func sweepCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sweep", Short: "Remove what programs that were killed have left behind", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			removed, err := vm.Sweep(cmd.Context())
			for _, name := range removed {
				fmt.Fprintln(cmd.OutOrStdout(), "Removed fleet", name)
			}
			return err
		},
	}
}

// progressTo prints sentences with the time that has passed.
func progressTo(w io.Writer) func(string) {
	start := time.Now()
	return func(sentence string) { fmt.Fprintf(w, "%5.1f s  %s\n", time.Since(start).Seconds(), sentence) }
}
