package api

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// told returns the notices of what is so, those that were told first coming first; with all those, too, of what is not any more.
func told(view *state.View, all bool) []proto.Notice {
	var out []proto.Notice
	for n := range view.Notices() {
		if all || n.ClearedAt == 0 {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b proto.Notice) int { return cmp.Compare(a.Since, b.Since) })
	return out
}

// listNotices lists notices, of one host if the query says so.
func listNotices(c *call) (any, error) {
	q := query{c: c}
	host, all := q.text("host"), q.flag("all")
	if q.err != nil {
		return nil, q.err
	}
	if _, ok := c.view.Host(host); host != "" && !ok {
		return nil, missing("host", host, "host list")
	}
	return items(slices.DeleteFunc(told(c.view, all), func(n proto.Notice) bool { return host != "" && n.Host != host })), nil
}
