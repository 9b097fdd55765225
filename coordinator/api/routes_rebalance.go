package api

import (
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// rebalanceRoutes are those about how the fleet as a whole is filled.
func rebalanceRoutes() []route {
	return []route{
		{pattern: "POST /v1/rebalance", role: proto.RoleViewer, time: rebalanceTime, answer: rebalance,
			summary: "Suggest moves that would make the fleet better; nothing is changed but that, where store is set, they are kept as plans",
			takes:   of[v1.RebalanceRequest](), optional: true, gives: of[v1.Rebalance]()},
	}
}
