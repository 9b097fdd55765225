package api

import (
	"errors"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/proto"
)

func getPolicy(c *call) (any, error) {
	f := c.view.Fleet()
	return v1.FleetPolicy{Policy: f.Policy, Revision: f.Revision, By: f.ChangedBy, At: f.ChangedAt}, nil
}

// putPolicy puts a policy. One under which a host that could keep its promises no longer can is refused.
func putPolicy(c *call) (any, error) {
	var in v1.PolicyRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := planner.ValidWindows(in.Windows); err != nil {
		return nil, invalid("the policy: %s", err)
	}
	if err := rebalances(in.Rebalance); err != nil {
		return nil, err
	}
	put := &proto.PolicyPut{Policy: in.Policy, Revision: in.Revision}
	if !c.view.Knows(proto.CmdPolicyPut, put.Least()) {
		return nil, &v1.Error{Code: v1.CodeRefused, Message: "this policy is not known to every coordinator", Remedy: "install the same version on all of them: glidepath operator raft list"}
	}
	_, err := c.propose(put)
	var refusal *proto.Refusal
	if errors.As(err, &refusal) && refusal.Result.Shortfall != nil {
		s := refusal.Result.Shortfall
		return nil, withDetail(&v1.Error{
			Code: v1.CodeRefused, Message: refusal.Result.Message,
			Remedy: "move instances away from there first, or change the policy less: see glidepath host calendar " + s.Host,
		}, v1.ErrorDetail{Shortfall: s})
	}
	if err != nil {
		return nil, err
	}
	return getPolicy(c)
}
