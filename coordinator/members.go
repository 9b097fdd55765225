package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/leader"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// How long another coordinator may take to tell of itself, the leadership to move, and the Raft configuration to follow the table.
const (
	memberTime = 2 * time.Second
	moveTime   = 10 * time.Second
	lookAgain  = 50 * time.Millisecond
)

// serveMember tells another coordinator of this one's part in the cluster.
func (c *Coordinator) serveMember(context.Context, wire.Peer, rpc.Empty) (proto.Member, error) {
	s := c.consensus.Stats()
	m := proto.Member{Leader: s.Leader, Term: s.Term, Committed: s.Committed, Applied: s.Applied, Contact: -1, Program: c.version}
	switch {
	case s.Leader:
		m.Contact = 0
	case !s.Contact.IsZero():
		m.Contact = time.Since(s.Contact).Milliseconds()
	}
	return m, nil
}

// Members returns every coordinator of the table and of the Raft configuration, sorted by name, with what each that is reached says of itself.
func (c *Coordinator) Members(ctx context.Context) ([]v1.Member, error) {
	servers, err := c.consensus.Servers()
	if err != nil {
		return nil, err
	}
	leads, _ := c.consensus.Leader()
	var all []v1.Member
	for m := range c.tables.View().Coordinators() {
		all = append(all, v1.Member{Name: m.Name, RPCAddr: m.RPCAddr, APIAddr: m.APIAddr, Program: m.Program, JoinedAt: m.JoinedAt, Listed: true})
	}
	for _, s := range servers {
		i := slices.IndexFunc(all, func(m v1.Member) bool { return m.Name == s.Name })
		if i < 0 {
			all = append(all, v1.Member{Name: s.Name, RPCAddr: s.Addr})
			i = len(all) - 1
		}
		all[i].Voter, all[i].Leader = s.Voter, s.Name == leads
	}
	slices.SortFunc(all, func(a, b v1.Member) int { return strings.Compare(a.Name, b.Name) })
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() { c.askMember(ctx, &all[i]) })
	}
	asked.Wait()
	return all, nil
}

// askMember completes m by what the coordinator says itself.
func (c *Coordinator) askMember(ctx context.Context, m *v1.Member) {
	said, err := at(ctx, c, proto.Coordinator{Name: m.Name, RPCAddr: m.RPCAddr}, proto.MethodMember, rpc.Empty{}, func(ctx context.Context) (proto.Member, error) {
		return c.serveMember(ctx, wire.Peer{}, rpc.Empty{})
	})
	switch {
	case err == nil:
		m.Reached, m.Program, m.Raft = true, said.Program, &said
	case wire.CodeOf(err) == wire.NotFound: // an older program, which is there all the same
		m.Reached, m.Why = true, "its program is too old to tell"
	default:
		m.Why = err.Error()
	}
}

// RemoveMember takes a coordinator out of the fleet, for good: it has to join again with a token. It is refused for the last one that
// votes; and where fewer than a majority of the others are reached, unless force is set. A leader hands over first; the hosts that it is home to get another.
func (c *Coordinator) RemoveMember(ctx context.Context, id, actor, name string, force bool) error {
	if _, ok := c.tables.View().Coordinator(name); !ok {
		return wire.Errorf(wire.NotFound, "there is no coordinator %q: see glidepath operator raft list", name)
	}
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	if name == c.cfg.Name {
		return wire.Errorf(wire.Unavailable, "coordinator %s can't take itself out: ask another one%s", name, othersAPI(members, name))
	}
	heir, err := mayGo(members, name, force)
	if err != nil {
		return err
	}
	if leads, _ := c.consensus.Leader(); leads == name {
		if err := c.TransferLeadership(ctx, heir); err != nil {
			return err
		}
	}
	for _, body := range leader.Leave(c.tables.View(), name, reachedOf(members)) {
		r, err := c.Propose(ctx, NewID(), actor, body)
		if err == nil && r.Code != proto.ResultStale { // somebody else was first
			err = r.Err()
		}
		if err != nil {
			return fmt.Errorf("give host %s another home: %w", body.Host, err)
		}
	}
	r, err := c.Propose(ctx, id, actor, &proto.CoordinatorRemove{Name: name})
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return err
	}
	c.log.Info("a coordinator was taken out of the fleet", "name", name, "by", actor)
	return c.until(ctx, func() error {
		servers, err := c.consensus.Servers()
		if err == nil && slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.Name == name }) {
			err = wire.Errorf(wire.Unavailable, "coordinator %s was taken out of the fleet, but it still stands in the Raft configuration, which changes once a majority is reached: see glidepath operator raft list", name)
		}
		return err
	})
}

// mayGo returns an error unless the fleet can do without the coordinator, and who could lead instead of it.
func mayGo(members []v1.Member, name string, force bool) (heir string, err error) {
	voters, reached := 0, 0
	for _, m := range members {
		if !m.Voter || m.Name == name {
			continue
		}
		voters++
		if m.Reached {
			reached++
			heir = cmp.Or(heir, m.Name)
		}
	}
	switch need := voters/2 + 1; {
	case voters == 0:
		return "", wire.Errorf(wire.Refused, "coordinator %s is the last one that votes: without it there is no fleet; let another one join first", name)
	case reached < need && !force:
		return "", wire.Errorf(wire.Refused, "without coordinator %s, %d would vote, of which %d are reached; %d have to be for anything to be committed: "+
			"bring the others back, remove those that are gone for good first, or say --force", name, voters, reached, need)
	}
	return heir, nil
}

func reachedOf(members []v1.Member) (names []string) {
	for _, m := range members {
		if m.Reached && m.Listed {
			names = append(names, m.Name)
		}
	}
	return names
}

// othersAPI says how to ask somebody else.
func othersAPI(members []v1.Member, name string) string {
	for _, m := range members {
		if m.Name != name && m.Reached && m.APIAddr != "" {
			return ", with --address " + m.APIAddr
		}
	}
	return ""
}

// TransferLeadership hands the leadership to the coordinator of that name, "" for whoever is most up to date, and returns once this
// coordinator knows of the new leader.
func (c *Coordinator) TransferLeadership(ctx context.Context, to string) error {
	was, addr := c.consensus.Leader()
	switch was {
	case "":
		return &consensus.NotLeaderError{}
	case to:
		return nil
	}
	_, err := at(ctx, c, proto.Coordinator{Name: was, RPCAddr: addr}, proto.MethodTransfer, proto.Transfer{To: to}, func(ctx context.Context) (rpc.Empty, error) {
		return c.serveTransfer(ctx, wire.Peer{}, proto.Transfer{To: to})
	})
	if err != nil {
		return err
	}
	return c.until(ctx, func() error {
		if leads, _ := c.consensus.Leader(); leads == "" || leads == was {
			return wire.Errorf(wire.Unavailable, "%s has handed the leadership over, but it is not known here who leads now: see glidepath operator raft list", was)
		}
		return nil
	})
}

// serveTransfer hands the leadership over, if this coordinator has it.
func (c *Coordinator) serveTransfer(_ context.Context, _ wire.Peer, t proto.Transfer) (rpc.Empty, error) {
	if !c.consensus.IsLeader() {
		_, addr := c.consensus.Leader()
		return rpc.Empty{}, wire.NotLeaderError(addr)
	}
	err := c.transfer(t.To)
	switch {
	case errors.Is(err, consensus.ErrNoVoter):
		return rpc.Empty{}, wire.Errorf(wire.NotFound, "%w: see glidepath operator raft list", err)
	case err != nil:
		return rpc.Empty{}, wire.Errorf(wire.Unavailable, "the leadership was not handed over: %w", err)
	}
	return rpc.Empty{}, nil
}

func (c *Coordinator) transfer(to string) error {
	if to != "" {
		return c.consensus.TransferTo(to)
	}
	servers, err := c.consensus.Servers()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.Voter && s.Name != c.cfg.Name }) {
		return fmt.Errorf("%w but %s itself", consensus.ErrNoVoter, c.cfg.Name)
	}
	return c.consensus.Transfer()
}

// until looks again and again, and returns nil once f does, or what it returned last.
func (c *Coordinator) until(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookAgain):
		}
	}
}
