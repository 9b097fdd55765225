package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func retentionCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "retention", Short: "List the data that instances left here", Args: usage(cobra.NoArgs),
		Long: "Lists the data of instances that moved away from this host, the oldest first, with their size and where they lie. Nothing\n" +
			"removes them but you: once an instance has long served elsewhere, remove its paths with rm -r. The list forgets them by itself.",
		Example: "  glidepath-agent retention\n  glidepath-agent retention --older-than 168h",
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	older := cmd.Flags().Duration("older-than", 0, "only what was put away longer ago than this")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		kept, err := agent.ReadRetention(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		before := timeline.Of(time.Now()).Add(-*older)
		kept.Items = slices.DeleteFunc(kept.Items, func(r proto.Retained) bool { return r.At > before })
		if *asJSON {
			enc := json.NewEncoder(stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(kept)
		}
		return printRetention(stdout, kept)
	}
	return cmd
}

func printRetention(stdout io.Writer, kept proto.Retention) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INSTANCE\tMIGRATION\tSINCE\tSIZE\tWHERE")
	for _, r := range kept.Items {
		least := ""
		if r.Partial {
			least = "at least "
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s%d MiB in %d files\t%s\n", r.Instance, r.Migration, r.At.Std().UTC().Format(time.DateTime), least, r.Bytes>>20, r.Files, strings.Join(r.Paths, " "))
	}
	if kept.More > 0 {
		fmt.Fprintf(w, "… and %d newer ones\n", kept.More)
	}
	return w.Flush()
}
