package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// imagined returns the fleet that is asked for instead of the one that is.
func imagined(v *state.View, w proto.WhatIf) (*state.View, error) {
	if v.Fleet().ID == "" {
		return nil, ErrNoFleet
	}
	if err := w.Valid(); err != nil {
		return nil, &Refusal{Reason: err.Error(), Invalid: true}
	}
	out, err := v.With(w)
	if err != nil {
		return nil, &Refusal{Reason: err.Error(), Invalid: true}
	}
	return out, nil
}

// imagine has the request planned for the fleet that it asks for.
func (in *Input) imagine() error {
	w := in.Request.WhatIf
	view, err := imagined(in.View, *w)
	if err != nil {
		return err
	}
	in.View = view
	i, ok := view.Instance(in.Request.Instance)
	if !ok {
		return nil // which is told of any request
	}
	if slices.Contains(w.Without, i.Owner) {
		return &Refusal{
			Reason: fmt.Sprintf("instance %s is on %s, which is left out: there is nothing that it would move from", i.Name(), i.Owner),
			Remedy: fmt.Sprintf("leave %s in; where all that it has would go says glidepath host drain %s --dry-run", i.Owner, i.Owner), Invalid: true,
		}
	}
	return othersThan(view, i.Owner, *w)
}

// imagine has the look taken at the fleet that it asks for.
func (in *RebalanceInput) imagine() error {
	if in.WhatIf == nil {
		return nil
	}
	view, err := imagined(in.View, *in.WhatIf)
	if err != nil {
		return err
	}
	in.View = view
	return nil
}

// othersThan refuses a fleet in which no host is left but one.
func othersThan(v *state.View, host string, w proto.WhatIf) error {
	for h := range v.Hosts() {
		if h.Facts.Name != host && !state.LeftOut(h) {
			return nil
		}
	}
	return &Refusal{
		Reason: fmt.Sprintf("%s there is no host but %s that anything could move to", w.Words(), host),
		Remedy: fmt.Sprintf("leave fewer hosts out, or add some: --add 1 --like %s", host), Invalid: true,
	}
}

// assumed says what is taken to be so of a fleet that is not there, and what becomes of what is on hosts that are left out.
func assumed(w proto.WhatIf, becomes string) string {
	var parts []string
	if w.Add > 0 {
		names := state.Added(w.Like, 1)
		if w.Add > 1 {
			names += " to " + state.Added(w.Like, w.Add)
		}
		parts = append(parts, fmt.Sprintf("%s added like %s (%s), with its size, labels, segment and system, what its system uses and as much free disk, and no instance",
			hostsAre(w.Add), w.Like, names))
	}
	if n := len(w.Without); n > 0 {
		parts = append(parts, fmt.Sprintf("%s left out (%s): nothing is placed there, and what is there %s", hostsAre(n), firstNames(w.Without), becomes))
	}
	return "this is of a fleet that is not there, and can't be carried out: " + strings.Join(parts, "; ")
}

// hostsAre counts hosts, with the verb that goes with them.
func hostsAre(n int) string { return proto.CountIs(n, "host", "is", "are") }

// firstNames lists names, as many as are read.
func firstNames(names []string) string {
	if more := len(names) - mostTold; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostTold], ", "), more)
	}
	return strings.Join(names, ", ")
}
