package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/bundle"
	"github.com/glidepath/glidepath/coordinator/snapshot"
	"github.com/glidepath/glidepath/internal/durable"
)

// maxDownload bounds a file that a coordinator sends, in bytes.
const maxDownload = 1 << 30

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
			text, err := a.download(cmd.Context(), from)
			if err != nil {
				return err
			}
			h, _, err := snapshot.Read(bytes.NewReader(text))
			if err != nil {
				return fmt.Errorf("what the coordinator sent is %w: nothing was written, try again", err)
			}
			if err := writeFile(args[0], text); err != nil {
				return err
			}
			a.say("%s has fleet %s, incarnation %d, as of %s: %s", args[0], h.Fleet, h.Incarnation, stamp(h.At), size(int64(len(text))))
			return nil
		},
	}
	cmd.Flags().BoolVar(&stale, "stale", false, "do not ask the leader whether it is all")
	return cmd
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
			h, tables, err := snapshot.Read(f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			c := snapshot.CountOf(tables.View())
			if a.json {
				return a.printValue(struct {
					snapshot.Header
					Counts snapshot.Counts `json:"counts"`
				}{h, c})
			}
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
			text, err := a.download(cmd.Context(), path("bundle"))
			if err != nil {
				return err
			}
			list, err := bundle.Read(bytes.NewReader(text))
			if err != nil {
				return fmt.Errorf("what the coordinator sent is %w: nothing was written, try again", err)
			}
			if err := writeFile(args[0], text); err != nil {
				return err
			}
			if a.json {
				return a.printValue(list)
			}
			a.say("%s has %s, %s", args[0], count(len(list.Files), "file"), size(int64(len(text))))
			for _, f := range list.Files {
				if f.Missing != "" {
					a.say("missing: %s: %s", f.Name, oneLine(f.Missing))
				}
			}
			return nil
		},
	}
}

// download returns what the API answers, which may be large.
func (a *app) download(ctx context.Context, from string) ([]byte, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	var out limited
	if err := c.Download(ctx, from, "", &out); err != nil {
		return nil, err
	}
	return out.text.Bytes(), nil
}

// limited keeps what is written to it, up to maxDownload.
type limited struct{ text bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	if l.text.Len()+len(b) > maxDownload {
		return 0, fmt.Errorf("it is larger than %s", size(maxDownload))
	}
	return l.text.Write(b)
}

// writeFile writes a file that only its owner reads, all or nothing.
func writeFile(name string, text []byte) error {
	full, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(full)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: there is no folder %s", name, filepath.Dir(full))
	}
	return durable.WriteFile(durable.OS{}, full, text, 0o600)
}
