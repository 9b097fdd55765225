package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/internal/columns"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func retentionCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "retention", Short: "List the data that instances left here", Args: usage(cobra.NoArgs),
		Long: "Lists the data of instances that moved away from this host, the oldest first, with their size and where they lie. Nothing\n" +
			"removes them but you: once an instance has long served elsewhere, remove its paths with rm -r. The list forgets them by itself.",
		Example: "  glidepath-agent retention\n  glidepath-agent retention --older-than 7d",
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	older := cmd.Flags().String("older-than", "0s", "only what was put away longer ago than this `age`, like 36h or 7d")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		age, err := config.ParseAge(*older)
		if err != nil {
			return &usageError{cmd.Name(), fmt.Errorf("--older-than: %w", err)}
		}
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		kept, err := agent.ReadRetention(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		before := timeline.Of(time.Now()).Add(-age)
		kept.Items = slices.DeleteFunc(kept.Items, func(r proto.Retained) bool { return r.At > before })
		if *asJSON {
			return printJSON(stdout, kept)
		}
		return printRetention(stdout, kept)
	}
	return cmd
}

func printRetention(stdout io.Writer, kept proto.Retention) error {
	t := columns.New(stdout, "INSTANCE", "MIGRATION", "SINCE", "SIZE", "WHERE")
	for _, r := range kept.Items {
		least := ""
		if r.Partial {
			least = "at least "
		}
		t.Row(r.Instance, r.Migration, r.At.Std().UTC().Format(time.DateTime), fmt.Sprintf("%s%d MiB in %s", least, r.Bytes>>20, proto.Count(int(r.Files), "file")), strings.Join(r.Paths, " "))
	}
	if kept.More > 0 {
		t.Row(fmt.Sprintf("… and %d newer ones", kept.More))
	}
	return t.Flush()
}
