//go:build linux

package scenarios

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
)

// rolled is how long a coordinator may take from its stop until it votes again with the others' tables, on a machine that is busy.
const rolled = 2 * time.Minute

// coordinatorsUpgraded: as docs/operations.md says, one coordinator after another runs the next version, followers before the leader, and each the
// version before again. Programs of both versions are there together, while data are copied and the instance is moved. Nothing of it is felt.
func coordinatorsUpgraded(tr *trial) {
	deb, next := tr.one(filepath.Join(debs(), "next"), "glidepath-coordinator_", ".deb")
	_, now := tr.one(debs(), "glidepath-coordinator_", ".deb")
	programs, err := tr.f.Unpack(tr.ctx, deb)
	must(tr.T, err)
	must(tr.T, tr.f.VM.Slow(tr.ctx, tr.target, 1_500_000))
	defer func() { must(tr.T, tr.f.VM.Slow(tr.ctx, tr.target, 0)) }() // also of a test that fails
	m := tr.migrate()
	tr.when(m.ID, copying)
	tr.roll(programs, next, now)
	if m, err := tr.f.Migration(tr.ctx, m.ID); err != nil || m.Phase != proto.PhaseCopy {
		tr.Logf("when the last one was upgraded the migration was in %s (%v)", m.Phase, err)
	}
	must(tr.T, tr.f.VM.Slow(tr.ctx, tr.target, 0))
	tr.roll("", now, next)
	done := tr.when(m.ID, ended)
	if done.Outcome != proto.OutcomeCompleted {
		tr.Fatalf("%s: %s", done.Outcome, done.Reason)
	}
	if host := tr.serves(serveWithin); host != tr.target {
		tr.Errorf("it serves on %s", host)
	}
	tr.livesOn(tr.target)
	// Whoever led went on with what another one had begun.
	times := map[string]int{}
	for _, o := range done.Operations {
		what := fmt.Sprintf("%s %d %s", o.Kind, o.Round, o.Host)
		if times[what]++; times[what] > 1 {
			tr.Errorf("%s was begun again: %+v", what, o.Result)
		}
	}
}

// roll has every coordinator run other programs, the leader last, each once all vote and have the same tables.
func (tr *trial) roll(programs, version, before string) {
	tr.Helper()
	all := tr.f.Coordinators()
	for left := len(all); left > 0; left-- {
		tr.allVote(func([]v1.Member) (bool, error) { return true, nil })
		members, err := tr.members()
		must(tr.T, err)
		old := slices.DeleteFunc(members, func(m v1.Member) bool { return m.Program != before })
		if len(old) != left {
			tr.Fatalf("%d coordinators run %s, want %d: %+v", len(old), before, left, members)
		}
		slices.SortStableFunc(old, func(a, b v1.Member) int { return cmp.Compare(lead(a), lead(b)) })
		c := all[slices.IndexFunc(all, func(c *fleet.Coordinator) bool { return c.Name() == old[0].Name })]
		must(tr.T, c.Stop(tr.ctx))
		c.Use(programs)
		must(tr.T, c.Start())
		tr.allVote(func(members []v1.Member) (bool, error) {
			at := slices.IndexFunc(members, func(m v1.Member) bool { return m.Name == c.Name() })
			return members[at].Program == version, fmt.Errorf("%s runs %s", c.Name(), members[at].Program)
		})
	}
}

// lead is 1 of the leader, and 0 of others.
func lead(m v1.Member) int {
	if m.Leader {
		return 1
	}
	return 0
}

func (tr *trial) members() ([]v1.Member, error) {
	list, err := fleet.Ask[v1.List[v1.Member]](tr.ctx, tr.f, "operator", "raft", "list")
	return list.Items, err
}

// allVote waits until every coordinator is reached, votes, is up with the others but for a few entries, and something holds of them.
func (tr *trial) allVote(holds func([]v1.Member) (bool, error)) {
	tr.Helper()
	tr.wait("all coordinators vote", rolled, func() (bool, error) {
		members, err := tr.members()
		if err != nil {
			return false, err
		}
		most, leaders := uint64(0), 0
		for _, m := range members {
			if !m.Reached || !m.Voter || m.Raft == nil {
				return false, fmt.Errorf("%s is not reached, or does not vote: %s", m.Name, m.Why)
			}
			most = max(most, m.Raft.Applied)
			leaders += lead(m)
		}
		for _, m := range members {
			if m.Raft.Applied+5 < most {
				return false, fmt.Errorf("%s has applied %d of %d", m.Name, m.Raft.Applied, most)
			}
		}
		if len(members) != len(tr.f.Coordinators()) || leaders != 1 {
			return false, fmt.Errorf("%d coordinators, %d lead", len(members), leaders)
		}
		return holds(members)
	})
}
