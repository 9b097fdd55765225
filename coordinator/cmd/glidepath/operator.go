package main

import (
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

// operatorCommand is for whoever looks after the coordinators themselves.
func operatorCommand(a *app) *cobra.Command {
	return group("operator", "Look after the coordinators themselves", raftCommand(a), snapshotCommand(a), bundleCommand(a))
}

func raftCommand(a *app) *cobra.Command {
	return group("raft", "The coordinators' part in the Raft cluster", listMembersCommand(a), removeMemberCommand(a), transferCommand(a))
}

func listMembersCommand(a *app) *cobra.Command {
	return watchable(a, &cobra.Command{
		Use: "list", Short: "List the coordinators: who leads, who votes, who is reached, how far each is", Args: none,
		Long: `List the coordinators as the one that answers sees them. APPLIED is the last entry of the log that is in a coordinator's tables:
they are all within a few of each other. CONTACT is how long ago it heard of the leader.`,
		Example: "  glidepath operator raft list\n  glidepath operator raft list --watch\n  glidepath operator raft list --address c2:7648    # as another one sees them",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("raft"), nil, a.printMembers)
		},
	}) // of no kind: the log goes on without a change that is told
}

func (a *app) printMembers(l v1.List[v1.Member]) error {
	t := newTable(a.stdout, "COORDINATOR", "STATE", "VOTES", "RPC", "API", "TERM", "APPLIED", "CONTACT", "VERSION")
	var unheard []v1.Member
	for _, m := range l.Items {
		votes, term, applied, contact := "no", "", "", ""
		if m.Voter {
			votes = "yes"
		}
		if m.Raft != nil {
			term, applied = strconv.FormatUint(m.Raft.Term, 10), strconv.FormatUint(m.Raft.Applied, 10)
			switch {
			case m.Raft.Leader:
			case m.Raft.Contact < 0:
				contact = "never"
			default:
				contact = took(m.Raft.Contact)
			}
		}
		if m.Why != "" {
			unheard = append(unheard, m)
		}
		t.row(m.Name, memberState(m), votes, m.RPCAddr, m.APIAddr, term, applied, contact, m.Program)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, m := range unheard {
		a.say("%s: %s", m.Name, oneLine(m.Why))
	}
	return nil
}

func memberState(m v1.Member) string {
	switch {
	case !m.Reached:
		return "not reached"
	case m.Leader:
		return "leader"
	case !m.Listed:
		return "leaving"
	case !m.Voter:
		return "joining"
	}
	return "follower"
}

func removeMemberCommand(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "remove COORDINATOR", Short: "Take a coordinator out of the fleet, for good", Args: exactly("coordinator"),
		Long: `Take a coordinator out of the fleet. A leader hands the leadership over first, and the hosts that it is home to get another home.
From then on it is refused everywhere: to come back it has to join again with a token, in an empty data folder.

It is refused for the last coordinator that votes, and where the others that vote and are reached would be no majority: nothing could be
changed any more then. --force removes it all the same, for when you know that the others are there although the one that is asked does not
reach them.`,
		Example:           "  glidepath operator raft remove c3\n  glidepath operator raft remove c3 --force",
		ValidArgsFunction: firstOnly(names(a, path("raft"), "name")),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := path("raft", args[0])
			if force {
				p += "?force=true"
			}
			return show(cmd.Context(), a, "DELETE", p, nil, func(v1.Empty) error {
				a.say("Coordinator %s is taken out of the fleet, and refused from now on. On it, when you can: systemctl disable --now glidepathd", args[0])
				a.say("To bring it back, empty its data folder and let it join again: glidepath token create --role coordinator --name %s", args[0])
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if the others that are reached are no majority")
	return cmd
}

func transferCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "transfer [COORDINATOR]", Short: "Hand the leadership over", Args: atMost("coordinator"),
		Long: `Hand the leadership to a coordinator that votes; without a name, to the one that is most up to date. Migrations go on. A coordinator
that is stopped hands over by itself: this is for moving the leader's work away from where it is in the way.`,
		Example:           "  glidepath operator raft transfer\n  glidepath operator raft transfer c2",
		ValidArgsFunction: firstOnly(names(a, path("raft"), "name")),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in v1.TransferRequest
			if len(args) > 0 {
				in.To = args[0]
			}
			return show(cmd.Context(), a, "POST", path("raft", "leader"), in, func(r v1.TransferReply) error {
				a.say("%s leads", r.Leader)
				return nil
			})
		},
	}
}

// atMost takes an argument or none.
func atMost(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%q is one argument too many: name one %s", args[1], name)
		}
		if slices.Contains(args, "") {
			return usagef("the %s that is named is empty: is a variable of your shell not set?", name)
		}
		return nil
	}
}
