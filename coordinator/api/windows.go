package api

import (
	"errors"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// window reads a window of the host that the path names.
func (c *call) window() (host string, w proto.CapacityWindow, in v1.WindowRequest, err error) {
	h, err := c.host()
	if err != nil {
		return "", w, in, err
	}
	host = h.Facts.Name
	if err := c.read(&in); err != nil {
		return host, w, in, err
	}
	w = proto.CapacityWindow{ID: in.ID, Span: timeline.Span{Start: in.Start, End: in.End}, Whole: in.Whole, Amount: in.Amount, Reason: in.Reason}
	if w.ID == "" {
		w.ID = c.key
	}
	if in.Start == 0 {
		w.Span.Start = c.now
	}
	if in.End == 0 {
		w.Span.End = timeline.Forever
	}
	switch {
	case w.Whole != w.Amount.IsZero():
		return host, w, in, invalid("window %s of %s takes the whole host, or an amount of it: say one of them", w.ID, host)
	case w.Span.Empty():
		return host, w, in, invalid("window %s of %s ends at %s, and begins at %s: let it end later", w.ID, host, w.Span.End, w.Span.Start)
	case w.Span.End <= c.now:
		return host, w, in, invalid("window %s of %s is over at %s: let it end later than now, %s", w.ID, host, w.Span.End, c.now)
	}
	return host, w, in, nil
}

// remedied returns what would be short on a host with a window, and what would end that.
func (c *call) remedied(host string, w proto.CapacityWindow) (v1.WindowVerdict, error) {
	v, err := c.overlay(func(v *state.View) (*state.View, error) { return v.WithWindow(host, w) })
	if err != nil {
		return v1.WindowVerdict{}, invalid("%s", err)
	}
	r := v.Remedies(host)
	out := v1.WindowVerdict{
		Short: items(v.Ledger().Shortages(host)).Items, Yields: items(r.Yield.Yield).Items, Move: items(r.Move).Items, Left: items(r.Left).Items, Says: items(r.Says).Items,
	}
	out.Fits = len(out.Short) == 0
	if out.Fits {
		out.Says = append(out.Says, "all that is promised on "+host+" can be kept")
	}
	return out, nil
}

// overlay makes a state that is not there of the one that is. Two requests may have the same one, which only one of them clones at a time.
func (c *call) overlay(with func(*state.View) (*state.View, error)) (*state.View, error) {
	c.overlaying.Lock()
	defer c.overlaying.Unlock()
	return with(c.view)
}

// judgeWindow says what would come of a window, and proposes nothing.
func judgeWindow(c *call) (any, error) {
	host, w, _, err := c.window()
	if err != nil {
		return nil, err
	}
	return c.remedied(host, w)
}

// putWindow puts a window. One that makes the host short is refused, with what would help, unless it is a fact.
func putWindow(c *call) (any, error) {
	host, w, in, err := c.window()
	if err != nil {
		return nil, err
	}
	if err := c.known(proto.CmdHostWindow, "a window of a host"); err != nil {
		return nil, err
	}
	_, err = c.propose(&proto.HostWindow{Host: host, Put: &w, Force: in.Force, Revision: in.Revision})
	var refusal *proto.Refusal
	if errors.As(err, &refusal) && refusal.Result.Shortfall != nil {
		return nil, c.unkept(host, w, refusal)
	}
	if err != nil {
		return nil, err
	}
	return getHost(c)
}

// mostTold is how many shortages are told in the message of a refusal, with all who are in the way; the others are in its detail.
const mostTold = 2

// unkept is the refusal of a window for which promises could not be kept.
func (c *call) unkept(host string, w proto.CapacityWindow, refusal *proto.Refusal) error {
	e := &v1.Error{
		Code: v1.CodeRefused, Message: refusal.Result.Shortfall.Error(),
		Remedy: "move instances away first (glidepath host show " + host + "), or say with --force that the window is a fact",
	}
	d := v1.ErrorDetail{Shortfall: refusal.Result.Shortfall}
	if v, err := c.remedied(host, w); err == nil && !v.Fits {
		d.Problems = v.Says
		told := slices.DeleteFunc(slices.Clone(v.Says), func(say string) bool {
			return strings.HasPrefix(say, "left then: ") || slices.ContainsFunc(v.Short[min(len(v.Short), mostTold):], func(f proto.Shortfall) bool { return f.Error() == say })
		})
		if len(told) < len(v.Says) {
			told = append(told, "glidepath host window add "+host+" --dry-run tells all of it")
		}
		e.Message = strings.Join(told, "; ")
	}
	return withDetail(e, d)
}

func dropWindow(c *call) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	if err := c.known(proto.CmdHostWindow, "a window of a host"); err != nil {
		return nil, err
	}
	if _, err := c.propose(&proto.HostWindow{Host: h.Facts.Name, Drop: c.r.PathValue("id")}); err != nil {
		return nil, err
	}
	return getHost(c)
}
