package api

import (
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// capacityRoutes are those about capacity over time: who holds it, and when.
func capacityRoutes() []route {
	const viewer, operator, admin = proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin
	return []route{
		{pattern: "GET /v1/reservations", role: viewer, answer: listReservations,
			summary: "List what is promised", gives: of[v1.List[proto.Reservation]](),
			query: []param{{"host", "string", "only those on this host"}, {"instance", "string", "only those of this instance"}}},
		{pattern: "GET /v1/reservations/{id}", role: viewer, answer: getReservation,
			summary: "Show a reservation and its envelope", gives: of[proto.Reservation]()},
		{pattern: "POST /v1/reservations/verdict", role: viewer, answer: judgeReservations,
			summary: "Show what would come of a change of reservations, and who would yield for it; nothing is changed", takes: of[v1.VerdictRequest](), gives: of[v1.Verdict]()},
		{pattern: "POST /v1/reservations", role: operator, changes: true, answer: createReservations,
			summary: "Hold capacity for a time, all or nothing on any number of hosts", takes: of[v1.ReservationsRequest](), gives: of[v1.ReservationsReply]()},
		{pattern: "POST /v1/reservations/{id}/extend", role: operator, changes: true, answer: extendReservation,
			summary: "Let a reservation that an operator holds last longer", takes: of[v1.ExtendRequest](), gives: of[v1.ReservationsReply]()},
		{pattern: "DELETE /v1/reservations/{id}", role: operator, changes: true, answer: releaseReservation,
			summary: "Release a reservation that an operator holds", gives: of[v1.Empty]()},

		{pattern: "GET /v1/hosts/{name}/calendar", role: viewer, answer: getHostCalendar,
			summary: "Show how full a host is promised over time, and where it is tightest", gives: of[v1.HostCalendar]()},
		{pattern: "POST /v1/hosts/{name}/windows/verdict", role: viewer, answer: judgeWindow,
			summary: "Show what would be short on a host in a window, and what would help; nothing is changed", takes: of[v1.WindowRequest](), gives: of[v1.WindowVerdict]()},
		{pattern: "POST /v1/hosts/{name}/windows", role: operator, changes: true, answer: putWindow,
			summary: "Say when some or all of a host is not there", takes: of[v1.WindowRequest](), gives: of[v1.HostDetail]()},
		{pattern: "DELETE /v1/hosts/{name}/windows/{id}", role: operator, changes: true, answer: dropWindow,
			summary: "Take a window of a host back", gives: of[v1.HostDetail]()},

		{pattern: "GET /v1/policy", role: viewer, answer: getPolicy,
			summary: "Show how the fleet promises capacity and moves instances", gives: of[v1.FleetPolicy]()},
		{pattern: "PUT /v1/policy", role: admin, changes: true, answer: putPolicy,
			summary: "Change how the fleet promises capacity and moves instances", takes: of[v1.PolicyRequest](), gives: of[v1.FleetPolicy]()},
	}
}
