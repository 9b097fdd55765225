package api

import (
	"slices"

	"github.com/glidepath/glidepath/proto"
)

// asksFor checks a fleet that is asked for instead of the one that is: it can be, and the hosts that it names are there. It puts those that are left out in order.
func (c *call) asksFor(w *proto.WhatIf) error {
	slices.Sort(w.Without)
	w.Without = slices.Compact(w.Without)
	if err := w.Valid(); err != nil {
		return invalid("what_if: %s", err)
	}
	names := w.Without
	if w.Add > 0 {
		names = append([]string{w.Like}, names...)
	}
	for _, name := range names {
		if _, ok := c.view.Host(name); !ok {
			return missing("host", name, "host list")
		}
	}
	return nil
}
