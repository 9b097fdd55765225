package main

import (
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func noticeCommand(a *app) *cobra.Command {
	var host string
	var all bool
	list := &cobra.Command{
		Use: "list", Short: "List the promises that can't be kept, or were changed for others", Args: none,
		Long: `List the notices: of hosts that have promised more than they have, of instances that need more than their host has left, of reservations that have
yielded to one of a higher class, and of moves that would help; who is concerned, when, and what is proposed. A notice is there for as long as that is so.`,
		Example: "  glidepath notice list\n  glidepath notice list --host host-a --all\n  glidepath notice list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if host != "" {
				q.Set("host", host)
			}
			if all {
				q.Set("all", "true")
			}
			return show(cmd.Context(), a, "GET", path("notices")+"?"+q.Encode(), nil, a.printNotices)
		},
	}
	list.Flags().StringVar(&host, "host", "", "only those that name this `host`")
	list.Flags().BoolVar(&all, "all", false, "those, too, of what is not so any more")
	completeFlags(list, map[string]cobra.CompletionFunc{"host": completeHost(a)})
	return group("notice", "Promises that can't be kept, and what is proposed", watchable(a, list, v1.ChangeNotice))
}

func (a *app) printNotices(l v1.List[proto.Notice]) error {
	for i, n := range l.Items {
		if i > 0 {
			a.say("")
		}
		until := ""
		if n.ClearedAt != 0 {
			until = ", until " + stamp(n.ClearedAt)
		}
		a.say("%s since %s%s", n.ID, stamp(n.Since), until)
		a.say("  %s", oneLine(n.Says))
		a.printProposal(n)
	}
	if len(l.Items) == 0 {
		a.say("There is nothing to tell: every promise can be kept")
	}
	return nil
}

// printProposal prints what a notice proposes.
func (a *app) printProposal(n proto.Notice) {
	if n.Proposes != "" {
		a.say("  proposed: %s", oneLine(n.Proposes))
	}
}

// printTold prints what notices tell, of the hosts that are short what is proposed: that they are so is said from the ledger.
func (a *app) printTold(s v1.Status) {
	for _, short := range s.Short {
		a.say("SHORT: %s", short.Error())
		for _, n := range s.Notices {
			if n.Kind == proto.NoticeShort && n.Host == short.Host {
				a.printProposal(n)
			}
		}
	}
	for _, n := range s.Notices {
		if n.Kind == proto.NoticeShort && slices.ContainsFunc(s.Short, func(f proto.Shortfall) bool { return f.Host == n.Host }) {
			continue
		}
		a.say("NOTICE: %s", oneLine(n.Says))
		a.printProposal(n)
	}
}
