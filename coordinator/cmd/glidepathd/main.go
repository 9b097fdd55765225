// The glidepathd command is the coordinator of a Glidepath fleet: it makes a fleet, joins one, and runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	_ "time/tzdata" // for machines without: what a day is must not depend on the coordinator that is asked

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/interrupt"
	"github.com/glidepath/glidepath/internal/manpage"
	"github.com/glidepath/glidepath/proto"
)

// Set by the build.
var (
	version = "dev"
	commit  = "unknown"
)

// Exit codes, as of every program here.
const (
	exitError       = 1
	exitUsage       = 2
	exitRefused     = 3
	exitInterrupted = 130
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// run runs the command line and returns its exit code. SIGINT and SIGTERM end it cleanly.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context(ctx)
	defer stop()
	root := command(stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	var refused *refusedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "glidepathd: %v\nSee: glidepathd --help\n", err)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "glidepathd: %v\n", err)
	if errors.As(err, &refused) {
		return exitRefused
	}
	return exitError
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// refusedError is an answer of no, from the fleet or from what is in the data folder.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// answered tells an answer of no from what failed.
func answered(err error) error {
	if coordinator.IsRefusal(err) {
		return &refusedError{err}
	}
	return err
}

// command returns the command tree.
func command(stdout, stderr io.Writer) *cobra.Command {
	var path string
	root := &cobra.Command{
		Use:   "glidepathd",
		Short: "The coordinator of a Glidepath fleet",
		Long: `glidepathd is the coordinator of a Glidepath fleet. Coordinators keep the ledger of reservations with Raft,
forecast the demand of instances, plan their migrations and walk them through. Run three or five of them.`,
		Example: `  glidepathd init --advertise 10.0.0.11     # make a fleet, on the first coordinator
  glidepathd join --token gpj1.…           # on each further one
  systemctl start glidepathd`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("glidepathd has no command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.PersistentFlags().StringVar(&path, "config", coordinator.DefaultConfigPath, "configuration `file`")
	load := func() (coordinator.Config, error) {
		cfg, err := coordinator.Load(path)
		if err != nil {
			return cfg, err
		}
		return cfg.WithRemembered()
	}
	root.AddCommand(runCommand(load, stderr), initCommand(load, stdout), joinCommand(load, stdout), restoreCommand(load, stdout, stderr), versionCommand(stdout), manCommand(root))
	return root
}

func runCommand(load func() (coordinator.Config, error), stderr io.Writer) *cobra.Command {
	var over config.Log
	cmd := &cobra.Command{
		Use: "run", Short: "Run the coordinator until it is stopped", Args: none,
		Example: `  glidepathd run
  glidepathd run --config ./coordinator.yaml --log-level debug`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			cfg.Log = cfg.Log.Over(over)
			if err := cfg.Log.Validate(); err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
			recent := &tail{}
			log, err := cfg.Log.Logger(io.MultiWriter(stderr, recent))
			if err != nil {
				return err
			}
			if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: %w", cfg.DataDir, coordinator.ErrNotFounded)
			}
			audit, closeAudit, err := openAudit(cmd.Context(), cfg, log, stderr)
			if err != nil {
				return err
			}
			ready := func() { notify(daemon.SdNotifyReady) }
			defer notify(daemon.SdNotifyStopping)
			err = coordinator.Run(cmd.Context(), cfg, coordinator.Process{Version: version, Log: log, Audit: audit, Recent: recent.Bytes, Ready: ready})
			return errors.Join(err, closeAudit())
		},
	}
	cmd.Flags().StringVar(&over.Level, "log-level", "", "least `level` that is logged: debug, info, warn or error (default: the configuration's)")
	cmd.Flags().StringVar(&over.Format, "log-format", "", "`format` of the log: text or json (default: the configuration's)")
	return cmd
}

// notify tells systemd, if it started this program; it is not there to be told otherwise.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

func initCommand(load func() (coordinator.Config, error), stdout io.Writer) *cobra.Command {
	var advertise, name string
	var grid, probation time.Duration
	cmd := &cobra.Command{
		Use: "init", Short: "Make a new fleet with this coordinator as its first", Args: none,
		Long: `init makes a fleet: its certificate authority, this coordinator's certificate, the key that gossip is encrypted
with, and the first admin token. Nothing runs yet; start the service afterwards.`,
		Example: `  glidepathd init --advertise 10.0.0.11
  glidepathd init --name c1 --advertise 10.0.0.11 --grid-step 5m`,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			override(&cfg, name, advertise)
			if err := cfg.Validate(); err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
			if grid < time.Second || grid > time.Hour || (24*time.Hour)%grid != 0 {
				return &usageError{fmt.Errorf("--grid-step %s: use 1s to 1h, a divisor of a day, like 5m", grid)}
			}
			if probation < 0 || probation > 30*24*time.Hour {
				return &usageError{fmt.Errorf("--probation %s: use 0 to 720h, like 10m", probation)}
			}
			policy := proto.DefaultPolicy()
			policy.Probation = probation.Milliseconds()
			made, err := coordinator.Init(cfg, grid, policy)
			if err == nil {
				err = coordinator.Remember(cfg.DataDir, coordinator.Remembered{Name: name, Host: advertise})
			}
			if err = errors.Join(err, own(cfg.DataDir)); err != nil {
				return answered(err)
			}
			fmt.Fprintf(stdout, `Fleet %s is made. The first admin token is shown this once:

  export GLIDEPATH_ADDR=%s
  export GLIDEPATH_TOKEN=%s
  export GLIDEPATH_CA_PIN=%s

Next:
  systemctl start glidepathd                         # or: glidepathd run
  glidepath token create --role coordinator          # for the second and third coordinator
  glidepath token create --role agent                # for a host: glidepath-agent join --token …
`, made.Fleet, cfg.API.Address(), made.Token, made.Pin)
			return nil
		},
	}
	addressFlags(cmd, &name, &advertise)
	cmd.Flags().DurationVar(&grid, "grid-step", 5*time.Minute, "step of the reservation grid; it can't be changed later")
	cmd.Flags().DurationVar(&probation, "probation", 10*time.Minute, "how long a move's source is kept ready to return to")
	return cmd
}

func joinCommand(load func() (coordinator.Config, error), stdout io.Writer) *cobra.Command {
	var advertise, name, token string
	var addrs []string
	cmd := &cobra.Command{
		Use: "join", Short: "Take this coordinator into a fleet", Args: none,
		Example: `  glidepathd join --token gpj1.… --advertise 10.0.0.12`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if token == "" {
				return &usageError{errors.New("--token is missing: make one with: glidepath token create --role coordinator")}
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			override(&cfg, name, advertise)
			if err := cfg.Validate(); err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
			err = coordinator.Join(cmd.Context(), cfg, token, addrs)
			if err == nil {
				err = coordinator.Remember(cfg.DataDir, coordinator.Remembered{Name: name, Host: advertise})
			}
			if err := errors.Join(err, own(cfg.DataDir)); err != nil {
				return answered(err)
			}
			fmt.Fprintf(stdout, "%s has joined the fleet.\n\nNext:\n  systemctl start glidepathd    # or: glidepathd run\n", cfg.Name)
			return nil
		},
	}
	addressFlags(cmd, &name, &advertise)
	cmd.Flags().StringVar(&token, "token", "", "join `token`")
	cmd.Flags().StringSliceVar(&addrs, "coordinator", nil, "RPC `address` of a coordinator, beside those in the token")
	return cmd
}

func addressFlags(cmd *cobra.Command, name, advertise *string) {
	cmd.Flags().StringVar(name, "name", "", "`name` of this coordinator, instead of the configuration's")
	cmd.Flags().StringVar(advertise, "advertise", "", "`host` under which the others reach this coordinator, instead of the configuration's")
}

// override applies the flags that are set. They are remembered in the data folder: run goes by them where the file says nothing.
func override(cfg *coordinator.Config, name, host string) {
	if name != "" {
		cfg.Name = name
	}
	if host == "" {
		return
	}
	for _, a := range []*coordinator.AddressConfig{&cfg.RPC, &cfg.Gossip, &cfg.API} {
		a.AdvertiseHost(host)
	}
}

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: none,
		Example: "  glidepathd version",
		Run:     func(*cobra.Command, []string) { fmt.Fprintf(stdout, "glidepathd %s (%s)\n", version, commit) },
	}
}

// manCommand writes the man pages; the build calls it.
func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIRECTORY", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return manpage.Write(filepath.Join(args[0], "glidepathd.1"), root, manpage.Page{
				Section: 1, Version: version, SeeAlso: []string{"glidepath(1)", "glidepath-agent(1)"}, Exit: []int{0, exitError, exitUsage, exitRefused, exitInterrupted},
				Files: []manpage.File{
					{Path: coordinator.DefaultConfigPath, Text: "configuration"},
					{Path: coordinator.DefaultDataDir, Text: "certificate, keys, Raft's log and snapshots, history"},
				},
			})
		},
	}
}

// none refuses arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%s takes no argument, but got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}
