package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/speed"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/internal/columns"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/interrupt"
	"github.com/glidepath/glidepath/internal/manpage"
)

func runCommand(stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "run", Short: "Run the agent", Args: usage(cobra.NoArgs),
		Long: "Runs the agent until it is interrupted. systemd does this as glidepath-agent.service. Stopping or restarting\n" +
			"the agent touches no instance: limits stay as they are, and the next life takes them over.",
		Example: "  glidepath-agent run\n  glidepath-agent run --config ./agent.yaml --log-level debug",
	}
	path := configFlag(cmd)
	var over config.Log
	cmd.Flags().StringVar(&over.Level, "log-level", "", "least `level` that is logged: debug, info, warn or error (default: the configuration's)")
	cmd.Flags().StringVar(&over.Format, "log-format", "", "`format` of the log: text or json (default: the configuration's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		cfg.Log = cfg.Log.Over(over)
		if err := cfg.Validate(); err != nil {
			return err
		}
		log, err := cfg.Log.Logger(stderr)
		if err != nil {
			return err
		}
		return agent.Run(cmd.Context(), cfg, log, version)
	}
	return cmd
}

func joinCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "join --token TOKEN", Short: "Make this host one of a fleet", Args: usage(cobra.NoArgs),
		Long: "Joins a fleet with a token that `glidepath token create --role agent` made. The token names coordinators and says\n" +
			"how to know them; the host gets a certificate of its own, which the agent renews.",
		Example: "  glidepath-agent join --token gpj1.…\n  glidepath-agent join --token gpj1.… --name host-a --coordinator 10.0.0.11:7647",
	}
	var req agent.JoinRequest
	path := configFlag(cmd)
	cmd.Flags().StringVar(&req.Token, "token", "", "join `token`; - reads it from standard input")
	cmd.Flags().StringSliceVar(&req.Coordinators, "coordinator", nil, "`host:port` of a coordinator, before those that the token names")
	cmd.Flags().StringVar(&req.Name, "name", "", "`name` of this host in the fleet (default: the token's, or the host name)")
	cmd.Flags().BoolVar(&req.Again, "again", false, "join although this host has joined already")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if req.Token == "" {
			return &usageError{cmd.Name(), errors.New("--token is missing: make one with: glidepath token create --role agent")}
		}
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		if req.Token == "-" {
			text, err := io.ReadAll(io.LimitReader(interrupt.Reader(cmd.Context(), cmd.InOrStdin()), 4096))
			if err != nil {
				return fmt.Errorf("read the token: %w", err)
			}
			req.Token = string(text)
		}
		joined, err := agent.Join(cmd.Context(), cfg, req)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "This host is %s of fleet %s now; %s let it in.\n\nNext:\n"+
			"  sudoedit %s    # which units, paths and addresses the fleet may touch\n"+
			"  systemctl restart glidepath-agent\n"+
			"  glidepath-agent status\n", joined.Name, joined.Fleet, joined.Coordinator, cfg.AllowFile)
		return err
	}
	return cmd
}

// deniedError is may-run's no.
type deniedError struct{ why string }

func (d *deniedError) Error() string { return d.why }

func mayRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "may-run UNIT", Short: "Say whether a unit may run on this host", Args: usage(cobra.ExactArgs(1)),
		Long: "Answers by its exit code whether the ownership records let a unit run on this host: 0 yes, 3 no, with the reason on\n" +
			"standard error. systemd asks before it starts an adopted unit. It works while the agent is down.",
		Example: "  glidepath-agent may-run redis-server.service",
	}
	dir := cmd.Flags().String("data-dir", agent.DefaultDataDir, "the agent's data `directory`")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		cfg := agent.Config{DataDir: *dir}
		if ok, why := fence.MayRun(cfg.FenceDir(), args[0]); !ok {
			return &deniedError{why}
		}
		return nil
	}
	return cmd
}

func mayPurgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "may-purge", Short: "say whether this host's records may be deleted", Args: usage(cobra.NoArgs), Hidden: true,
		Long: "Answers by its exit code whether this host has no part in a migration, so that its records may be deleted: 0 yes, 3 no, with\n" +
			"the reasons on standard error. The package asks before it is purged. It works while the agent is down.",
	}
	dir := cmd.Flags().String("data-dir", agent.DefaultDataDir, "the agent's data `directory`")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := agent.MayPurge(agent.Config{DataDir: *dir}); err != nil {
			return &deniedError{err.Error()}
		}
		return nil
	}
	return cmd
}

func guardCommand(stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "guard INSTANCE", Short: "End an instance that outlives its permit", Args: usage(cobra.ExactArgs(1)), Hidden: true,
		Long: "Waits while an instance is starting on this host, and ends it when its permit has run out and the agent does not. The\n" +
			"agent begins one in a unit of its own for each instance that starts.",
	}
	dir := cmd.Flags().String("data-dir", agent.DefaultDataDir, "the agent's data `directory`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ended, err := agent.Guard(cmd.Context(), agent.Config{DataDir: *dir}, args[0])
		for _, unit := range ended {
			fmt.Fprintf(stderr, "%s was stopped: the permit of instance %s had run out, and the agent did not stop it: see journalctl -u glidepath-agent\n", unit, args[0])
		}
		return err
	}
	return cmd
}

func liftCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lift", Short: "Take all limits off this host's instances", Args: usage(cobra.NoArgs), Hidden: true,
		Long: "Takes all limits off this host's instances and removes the drop-ins of those that may run here. The package does this\n" +
			"when it is removed. The agent must be down; while it is up, use `glidepath-agent pause`.",
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		done, err := agent.Lift(cmd.Context(), cfg)
		for _, line := range done {
			fmt.Fprintln(stdout, line)
		}
		return err
	}
	return cmd
}

// syncShellCommand is what rsync calls as its remote shell. Of what it is given only the socket, which the agent put first, means anything.
func syncShellCommand() *cobra.Command {
	return &cobra.Command{
		Use: transfer.ShellCommand + " SOCKET", Short: "Join rsync to the agent", Hidden: true, DisableFlagParsing: true, Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return transfer.Shell(cmd.Context(), args[0], os.Stdin, os.Stdout)
		},
	}
}

// syncSpawnCommand is what runs the other two in the unit that confines them.
func syncSpawnCommand() *cobra.Command {
	return &cobra.Command{
		Use: transfer.SpawnCommand, Short: "Start what reads and writes instances' data", Hidden: true, Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return transfer.Spawn(cmd.Context(), os.Stdin, transfer.Exec{Unconfined: true}) // the unit confines it as much
		},
	}
}

// syncWorkerCommand is what reads and writes an instance's data in rounds by content.
func syncWorkerCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: transfer.WorkerCommand, Short: "Read or write an instance's data", Hidden: true, Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return transfer.Worker(cmd.Context(), cmd.InOrStdin(), stdout)
		},
	}
}

// scoreCommand is what measures the CPU, in a process that may be kept waiting.
func scoreCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: agent.ScoreCommand, Short: "Measure how fast this host's CPU is", Hidden: true, Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			n, err := speed.Score()
			if err == nil {
				_, err = fmt.Fprintln(stdout, n)
			}
			return err
		},
	}
}

func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual page", Args: usage(cobra.ExactArgs(1)), Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			return manpage.Write(filepath.Join(args[0], "glidepath-agent.1"), root, manpage.Page{
				Section: 1, Version: version, Files: []manpage.File{
					{Path: agent.DefaultConfigPath, Text: "configuration"},
					{Path: agent.DefaultAllowPath, Text: "what the fleet may do to this host"},
					{Path: agent.DefaultDataDir, Text: "certificate, ownership records, the stored document, buffered samples"},
				},
				SeeAlso: []string{"glidepath(1)", "glidepathd(1)", "systemd.resource-control(5)"},
				Exit:    []int{exitFine, exitError, exitUsage, exitRefused, exitInterrupted},
			})
		},
	}
}

func statusCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show what this host holds", Args: usage(cobra.NoArgs),
		Long:    "Shows who this host is, which instances it owns, the document that it follows, and the limits that the kernel holds\nnow. It reads this host's own state, so it works without coordinators, and while the agent is down.",
		Example: "  glidepath-agent status\n  glidepath-agent status --json",
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		s, err := agent.ReadStatus(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(stdout, s)
		}
		return printStatus(stdout, s)
	}
	return cmd
}

func printJSON(stdout io.Writer, v any) error {
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printStatus(stdout io.Writer, s agent.Status) error {
	t := columns.New(stdout)
	t.Row("Host", fmt.Sprintf("%s, fleet %s", s.Host, s.Fleet))
	t.Row("Agent", s.Agent)
	t.Row("Certificate", "until "+s.CertExpires.Format(time.RFC3339))
	t.Row("Coordinators", strings.Join(s.Coordinators, ", "))
	switch {
	case s.IssuedAt == 0:
		t.Row("Document", "none yet")
	case s.Paused:
		t.Row("Document", fmt.Sprintf("revision %d, issued %s: paused, nothing is limited", s.Document.Revision, s.IssuedAt))
	default:
		t.Row("Document", fmt.Sprintf("revision %d, issued %s", s.Document.Revision, s.IssuedAt))
	}
	err := t.Flush()
	if s.PausedHere != 0 {
		fmt.Fprintf(stdout, "Paused since %s by glidepath-agent pause, nothing is limited: glidepath-agent resume has limits set again\n", s.PausedHere)
	}
	for _, i := range s.Instances {
		limited := "not limited"
		if i.Limited {
			limited = "limited"
		}
		t := columns.New(stdout)
		t.Row()
		t.Row("Instance", fmt.Sprintf("%s: %s (fence %d), %s", i.Instance, i.State, i.Fence, limited))
		t.Row("  unit", fmt.Sprintf("%s, %s", i.Unit, i.Active))
		for _, l := range i.Limits {
			t.Row("  "+l.Name, strings.ReplaceAll(l.Value, "\n", "; "))
		}
		err = errors.Join(err, t.Flush())
		if !i.MayRun { // whole: it says what to do
			fmt.Fprintf(stdout, "  may not run: %s\n", columns.OneLine(i.Why))
		}
	}
	return err
}
