package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/bundle"
	"github.com/glidepath/glidepath/coordinator/snapshot"
)

func snapshotCommand(a *app) *cobra.Command {
	return group("snapshot", "Back up what the fleet knows", saveSnapshotCommand(a), inspectSnapshotCommand(a))
}

func saveSnapshotCommand(a *app) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "save FILE", Short: "Write all that the fleet has committed to a file", Args: exactly("file"),
		Long: `Write all that the fleet has committed to a file: hosts, instances, reservations, migrations, types, tokens by their hashes. It is whole, or
not there. It has no keys: keep a copy of ca.key and ca.crt of a coordinator's pki folder apart from it, made once; without them a fleet that
is restored is not believed by its agents. Restore with: glidepathd restore FILE

--stale takes what the coordinator that answers has, also when there is no leader: for when a majority is lost for good.`,
		Example: "  glidepath operator snapshot save fleet.snapshot\n  glidepath operator snapshot save --stale --address c2:7648 last.snapshot",
		RunE: func(cmd *cobra.Command, args []string) error {
			from := path("snapshot")
			if stale {
				from += "?stale=true"
			}
			var in inspection
			bytes, err := a.save(cmd.Context(), from, args[0], func(r io.Reader) (err error) {
				in, err = inspect(r)
				return err
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printValue(in)
			}
			a.say("%s has fleet %s, incarnation %d, as of %s: %s", args[0], in.Fleet, in.Incarnation, stamp(in.At), size(bytes))
			return nil
		},
	}
	cmd.Flags().BoolVar(&stale, "stale", false, "do not ask the leader whether it is all")
	return cmd
}

// inspection is what is in a snapshot.
type inspection struct {
	snapshot.Header
	Counts snapshot.Counts `json:"counts"`
}

// inspect reads a snapshot to its end.
func inspect(r io.Reader) (inspection, error) {
	h, tables, err := snapshot.Read(r)
	if err != nil {
		return inspection{}, err
	}
	return inspection{h, snapshot.CountOf(tables.View())}, nil
}

func inspectSnapshotCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "inspect FILE", Short: "Check a snapshot, and show what is in it", Args: exactly("file"),
		Example: "  glidepath operator snapshot inspect fleet.snapshot",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in, err := inspect(f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if a.json {
				return a.printValue(in)
			}
			h, c := in.Header, in.Counts
			t := newTable(a.stdout)
			t.row("fleet", h.Fleet)
			t.row("incarnation", h.Incarnation)
			t.row("last command", fmt.Sprintf("%s, entry %d of the log, %d commands in all", stamp(h.At), h.Index, h.Applied))
			taken := fmt.Sprintf("%s by %s, version %s", stamp(h.TakenAt), h.Coordinator, h.Program)
			if h.Stale {
				taken += ", without asking the leader"
			}
			t.row("taken", taken)
			t.row("tables", fmt.Sprintf("%s, their sum is right", size(h.Size)))
			t.row("coordinators", c.Coordinators)
			t.row("hosts", c.Hosts)
			t.row("instances", c.Instances)
			t.row("reservations", c.Reservations)
			t.row("migrations", fmt.Sprintf("%d, of which %d go on", c.Migrations, c.Active))
			t.row("tokens", c.Tokens)
			return t.flush()
		},
	}
}

func bundleCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "bundle FILE.tar.gz", Short: "Pack what helps others to help: state, settings, metrics and logs, without secrets", Args: exactly("file"),
		Long: `Pack the tables (tokens without their hashes), and of every coordinator that is reached its part in the Raft cluster, settings, metrics,
goroutines and last log lines. Secrets are left out. MANIFEST.json in it lists what is there and what could not be had. It names your hosts,
instances and addresses: look before you hand it on.`,
		Example: "  glidepath operator bundle glidepath.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			var list bundle.List
			bytes, err := a.save(cmd.Context(), path("bundle"), args[0], func(r io.Reader) (err error) {
				list, err = bundle.Read(r)
				return err
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printValue(list)
			}
			a.say("%s has %s, %s", args[0], count(len(list.Files), "file"), size(bytes))
			for _, f := range list.Files {
				if f.Missing != "" {
					a.say("missing: %s: %s", f.Name, oneLine(f.Missing))
				}
			}
			return nil
		},
	}
}
