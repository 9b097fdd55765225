//go:build linux

package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
)

// drained: as docs/operations.md, "Emptying a host", has it. What is in the way is named before anything moves; then the host is emptied by one command, by
// whoever leads: the leader is killed when it is to begin. Nothing comes to the host until it is taken back.
func drained(tr *trial) {
	_, err := tr.f.CLI(tr.ctx, "host", "cordon", tr.target)
	must(tr.T, err)
	tr.refuses(instance+" finds no other place", "1 more like "+tr.source)
	_, err = tr.f.CLI(tr.ctx, "host", "uncordon", tr.target)
	must(tr.T, err)

	dry, err := fleet.Ask[v1.Drain](tr.ctx, tr.f, "host", "drain", tr.source, "--before", "1h", "--dry-run")
	must(tr.T, err)
	if dry.Drain != nil || dry.Plan == nil || dry.Plan.Blocked != nil || len(dry.Plan.Moves) != 1 || dry.Plan.Moves[0].Instance != instance || dry.Plan.Moves[0].Target != tr.target {
		tr.Fatalf("it would be emptied by %+v", dry.Plan)
	}
	if i := tr.instance(); i.Owner != tr.source || i.Migration != "" {
		tr.Fatalf("a dry run moved it: %+v", i)
	}

	leader, err := tr.f.Leader(tr.ctx)
	must(tr.T, err)
	_, err = tr.f.CLI(tr.ctx, "host", "drain", tr.source, "--before", "1h", "--probation", probation.String(), "--reason", "new disks")
	must(tr.T, err)
	defer func() { // also of a test that fails
		_, err := tr.f.CLI(tr.ctx, "host", "undrain", tr.source)
		must(tr.T, err)
	}()
	must(tr.T, leader.Kill9())
	must(tr.T, leader.Start())
	var d v1.Drain
	tr.wait(tr.source+" is drained", moveWithin, func() (bool, error) {
		if d, err = fleet.Ask[v1.Drain](tr.ctx, tr.f, "host", "drain", "show", tr.source); err != nil {
			return false, err
		}
		if d.Drain == nil {
			return false, errors.New("it is not emptied")
		}
		return d.Drain.State == proto.DrainDone, fmt.Errorf("it is %s: %s", d.Drain.State, d.Drain.Reason)
	})
	if d.Plan == nil || len(d.Plan.Moves) != 1 || d.Plan.Moves[0].Outcome != proto.OutcomeCompleted || len(d.Left) != 0 || len(d.Slots) != 0 {
		tr.Errorf("it was emptied by %+v; left are %q, and slots of %q", d.Plan, d.Left, d.Slots)
	}
	if host := tr.serves(serveWithin); host != tr.target {
		tr.Errorf("it serves on %s", host)
	}
	tr.livesOn(tr.target)

	_, err = tr.f.CLI(tr.ctx, "migrate", instance, "--to", tr.source)
	if said := refusal(err); !strings.Contains(said, "being emptied") {
		tr.Errorf("a host that was emptied takes instances: %v", err)
	}
}

// refuses checks that the source can't be emptied, and that it is said why and what would help; nothing has begun.
func (tr *trial) refuses(says ...string) {
	tr.Helper()
	began := time.Now()
	_, err := tr.f.CLI(tr.ctx, "host", "drain", tr.source, "--before", "1h")
	said := refusal(err)
	for _, words := range says {
		if !strings.Contains(said, words) {
			tr.Errorf("it is not said that %s: %v", words, err)
		}
	}
	tr.Logf("refused after %s: %s", time.Since(began).Round(time.Millisecond), strings.TrimSpace(said))
	d, err := fleet.Ask[v1.Drain](tr.ctx, tr.f, "host", "drain", "show", tr.source)
	must(tr.T, err)
	if d.Drain != nil || len(d.Moving) != 0 {
		tr.Errorf("it was begun all the same: %+v", d)
	}
}

// refusal returns what a command said that was refused; "" of any other.
func refusal(err error) string {
	var exit *fleet.ExitError
	if errors.As(err, &exit) && exit.Code == 3 {
		return exit.Stderr
	}
	return ""
}
