package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/agent"
)

func pauseCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "pause", Short: "Take every limit off this host's instances, until resume", Args: usage(cobra.NoArgs),
		Long: "Lifts every limit on this host, whatever the coordinators say and whether they answer, until `glidepath-agent resume`. It is kept over\n" +
			"restarts and reboots, and works while the agent runs and while it is down. Nothing is stopped, and demand is measured. The\n" +
			"coordinators hear of it when they answer: `glidepath status` and `glidepath host show` say so. From anywhere, by way of the\n" +
			"coordinators: `glidepath pause --host HOST`.",
		Example: "  glidepath-agent pause",
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		done, err := agent.Pause(cmd.Context(), cfg)
		for _, line := range done {
			fmt.Fprintln(stdout, line)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, "No limit is set on this host until glidepath-agent resume.")
		return err
	}
	return cmd
}

func resumeCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume", Short: "Set limits again that pause lifted", Args: usage(cobra.NoArgs),
		Long: "Takes `glidepath-agent pause` back. The agent sets limits again within seconds, as its document says; where it is down, when it runs\n" +
			"again. What the coordinators have paused stays without limits: `glidepath resume`.",
		Example: "  glidepath-agent resume",
	}
	path := configFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := agent.Load(*path)
		if err != nil {
			return err
		}
		was, running, err := agent.Resume(cfg)
		if err != nil {
			return err
		}
		text := "Limits are set again within seconds."
		switch {
		case !was:
			text = "Nothing was paused on this host; see glidepath-agent status."
		case !running:
			text = "Limits are set again when the agent runs: systemctl start glidepath-agent"
		}
		_, err = fmt.Fprintln(stdout, text)
		return err
	}
	return cmd
}
