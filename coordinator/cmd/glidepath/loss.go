package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// acceptLoss says what would be lost by going back to the source of a migration whose target has served, and asks. It returns the fence under which
// that was accepted: after another decision it is refused. Where nobody can be asked, the error says how to do it all the same.
func (a *app) acceptLoss(ctx context.Context, id string, in io.Reader) (fence uint64, err error) {
	m, err := ask[proto.Migration](ctx, a, "GET", path("migrations", id), nil)
	if err != nil {
		return 0, err
	}
	if !m.Active() || !m.Confirmed() || m.Phase == proto.PhaseUndo {
		return 0, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("there is no loss to accept: migration %s has ended, is being undone, or %s has served nobody in it yet", m.ID, m.Target),
			Remedy: "see `glidepath migration show " + m.ID + "`; abort it without --accept-loss, or migrate the instance back",
		}
	}
	i, err := ask[v1.InstanceDetail](ctx, a, "GET", path("instances", m.Instance), nil)
	if err != nil {
		return 0, err
	}
	var frozen timeline.Time
	for _, d := range m.Decisions {
		if d.Kind == proto.DecideFreeze {
			frozen = d.At
		}
	}
	lost := fmt.Sprintf("%s has served clients of %s. The data that %s kept are from %s, %s ago: all that was written since is on %s alone, and would be lost", m.Target, m.Instance, m.Source,
		frozen.Std().Format(time.DateTime+" UTC"), timeline.Of(time.Now()).Sub(frozen).Round(time.Second), m.Target)
	if !atTerminal(in) {
		return 0, &v1.Error{
			Code: v1.CodeRefused, Message: lost,
			Remedy: fmt.Sprintf("bring %s back if it can be; if it is lost for good: glidepath migration abort %s --accept-loss=%d", m.Target, m.ID, i.Fence),
		}
	}
	fmt.Fprintf(a.stderr, "%s.\nBring %s back if it can be: it goes on by itself. If it is lost for good, go back to %s.\n", oneLine(lost), m.Target, m.Source)
	return i.Fence, confirmed(ctx, in, a.stderr, "instance", m.Instance)
}
