package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/proto"
)

// whatIfFlags say of which other fleet than the one that is something is asked.
type whatIfFlags struct {
	add     int
	like    string
	without []string
}

func (f *whatIfFlags) define(cmd *cobra.Command, a *app) {
	flags := cmd.Flags()
	flags.IntVar(&f.add, "add", 0, "ask what would be with so many `hosts` more; nothing is carried out")
	flags.StringVar(&f.like, "like", "", "of --add: `host` that they are like")
	flags.StringSliceVar(&f.without, "without", nil, "ask what would be without this `host`; may be repeated; nothing is carried out")
	completeFlags(cmd, map[string]cobra.CompletionFunc{"like": completeHost(a), "without": completeHost(a)})
}

// asked returns the fleet that is asked for; nil where it is the one that is.
func (f *whatIfFlags) asked(cmd *cobra.Command) (*proto.WhatIf, error) {
	adds, like, without := cmd.Flags().Changed("add"), cmd.Flags().Changed("like"), cmd.Flags().Changed("without")
	switch {
	case !adds && !like && !without:
		return nil, nil
	case adds && (f.add < 1 || f.add > proto.MaxList):
		return nil, usagef("--add %d: use 1 to %d", f.add, proto.MaxList)
	case adds && f.like == "":
		return nil, usagef("--add %d: say with --like which host they are like", f.add)
	case like && !adds:
		return nil, usagef("--like %s: say with --add how many hosts more there are", f.like)
	case without && (len(f.without) == 0 || slices.Contains(f.without, "")):
		return nil, usagef("--without: name a host")
	}
	return &proto.WhatIf{Add: f.add, Like: f.like, Without: f.without}, nil
}

// sayWhatIf says of which other fleet something is; nothing where it is of the one that is.
func (a *app) sayWhatIf(w *proto.WhatIf) {
	if w != nil {
		a.say("Of a fleet that is not there, %s:\n", w.Words())
	}
}
