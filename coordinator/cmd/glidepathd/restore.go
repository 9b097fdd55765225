package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator"
)

func restoreCommand(load func() (coordinator.Config, error), stdout, stderr io.Writer) *cobra.Command {
	var how coordinator.Restoring
	var name, advertise string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Begin the fleet anew from a snapshot, with this coordinator alone",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{errors.New("name the one file that glidepath operator snapshot save wrote")}
			}
			return nil
		},
		Long: `restore is for when all coordinators, or a majority of them, are lost for good. It makes a fleet of this coordinator alone from a snapshot, in
a new incarnation; the others join it again with tokens, in empty data folders. The former coordinators must stay off: they are refused.

The snapshot has no keys. A coordinator of the fleet has ca.key and ca.crt in its own pki folder; elsewhere --ca names the folder with the copy
that was made of them. Raft's former log is kept aside.

No host is operated before its agent has reported what it runs. Where that and the snapshot can't both be right, the host is left alone:
see glidepath status.`,
		Example: `  systemctl stop glidepathd
  glidepathd restore fleet.snapshot
  glidepathd restore fleet.snapshot --ca /mnt/safe/glidepath-ca --new-token   # on a new machine`,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			override(&cfg, name, advertise)
			if err := cfg.Validate(); err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
			if how.Log, err = cfg.Log.Logger(stderr); err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			how.Version = version
			made, err := coordinator.Restore(cfg, f, how)
			if err == nil {
				err = coordinator.Remember(cfg.DataDir, coordinator.Remembered{Name: name, Host: advertise})
			}
			if err = errors.Join(err, own(cfg.DataDir)); err != nil {
				return answered(err)
			}
			fmt.Fprintf(stdout, "Fleet %s is restored as of %s, with %s alone, in incarnation %d.\n", made.Header.Fleet, made.Header.At.Std().Format(time.RFC3339), cfg.Name, made.Incarnation)
			if made.Aside != "" {
				fmt.Fprintf(stdout, "Raft's former log is kept in %s.\n", made.Aside)
			}
			if made.Token != "" {
				fmt.Fprintf(stdout, "A new admin token is shown this once:\n\n  export GLIDEPATH_TOKEN=%s\n", made.Token)
			}
			fmt.Fprint(stdout, `
Next:
  systemctl start glidepathd                    # or: glidepathd run
  glidepath status                              # until every agent has reported; CONFLICT says what contradicts the snapshot
  glidepath token list                          # what was revoked since the snapshot is good again: revoke it again
  glidepath token create --role coordinator     # for the second and third coordinator, in empty data folders
`)
			return nil
		},
	}
	addressFlags(cmd, &name, &advertise)
	cmd.Flags().StringVar(&how.CADir, "ca", "", "`folder` with ca.key and ca.crt, where this coordinator has none")
	cmd.Flags().StringSliceVar(&how.Forget, "forget", nil, "`instance` to leave out, because what the snapshot says of it is no longer true")
	cmd.Flags().BoolVar(&how.NewToken, "new-token", false, "make an admin token, for when no token of the snapshot is at hand")
	return cmd
}
