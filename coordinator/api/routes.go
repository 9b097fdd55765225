package api

import (
	"net/http"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// maxHistory bounds the CSV of an import, in bytes.
const maxHistory = 64 << 20

// routes returns all that the API can do, and who may.
func (s *Server) routes() []route {
	const viewer, operator, admin = proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin
	out := []route{
		{pattern: "GET /v1/status", role: viewer, answer: getStatus},

		{pattern: "POST /v1/pause", role: operator, changes: true, answer: pauseFleet},
		{pattern: "POST /v1/resume", role: operator, changes: true, answer: resumeFleet},
		{pattern: "POST /v1/hosts/{name}/pause", role: operator, changes: true, answer: pauseHost},
		{pattern: "POST /v1/hosts/{name}/resume", role: operator, changes: true, answer: resumeHost},
		{pattern: "POST /v1/instances/{name}/pause", role: operator, changes: true, answer: pauseInstance},
		{pattern: "POST /v1/instances/{name}/resume", role: operator, changes: true, answer: resumeInstance},

		{pattern: "GET /v1/hosts", role: viewer, answer: listHosts},
		{pattern: "GET /v1/hosts/{name}", role: viewer, answer: getHost},
		{pattern: "GET /v1/hosts/{name}/retention", role: viewer, answer: getRetention},
		{pattern: "GET /v1/hosts/{name}/forget", role: viewer, answer: getForgetting},
		{pattern: "POST /v1/hosts/{name}/cordon", role: operator, changes: true, answer: cordonHost(true)},
		{pattern: "POST /v1/hosts/{name}/uncordon", role: operator, changes: true, answer: cordonHost(false)},
		{pattern: "POST /v1/hosts/{name}/allocatable", role: operator, changes: true, answer: setAllocatable},
		{pattern: "POST /v1/hosts/{name}/forget", role: admin, changes: true, answer: forgetHost},
		{pattern: "POST /v1/hosts/{name}/forget-dead", role: admin, changes: true, answer: forgetDeadHost},
		{pattern: "GET /v1/reservations", role: viewer, answer: listReservations},

		{pattern: "GET /v1/types", role: viewer, answer: listTypes},
		{pattern: "PUT /v1/types/{name}", role: operator, changes: true, answer: putType},
		{pattern: "DELETE /v1/types/{name}", role: operator, changes: true, answer: removeType},
		{pattern: "GET /v1/applications", role: viewer, answer: listApplications},
		{pattern: "PUT /v1/applications/{name}", role: operator, changes: true, answer: putApplication},
		{pattern: "DELETE /v1/applications/{name}", role: operator, changes: true, answer: removeApplication},
		{pattern: "GET /v1/events", role: viewer, answer: listEvents},
		{pattern: "POST /v1/events", role: operator, changes: true, answer: addEvent},
		{pattern: "DELETE /v1/events/{id}", role: operator, changes: true, answer: removeEvent},

		{pattern: "GET /v1/instances", role: viewer, answer: listInstances},
		{pattern: "GET /v1/instances/{name}", role: viewer, answer: getInstance},
		{pattern: "PUT /v1/instances/{name}", role: operator, changes: true, answer: applyInstance},
		{pattern: "POST /v1/instances/{name}/mode", role: operator, changes: true, answer: setMode},
		{pattern: "POST /v1/instances/{name}/release", role: operator, changes: true, answer: releaseInstance},
		{pattern: "GET /v1/instances/{name}/schedule", role: viewer, answer: getSchedule},
		{pattern: "GET /v1/instances/{name}/forecast", role: viewer, answer: getForecast},
		{pattern: "GET /v1/instances/{name}/history", role: viewer, time: historyTime, answer: exportHistory},
		{pattern: "POST /v1/instances/{name}/history", role: operator, changes: true, media: "text/csv", limit: maxHistory, time: historyTime, answer: importHistory},

		{pattern: "POST /v1/plans", role: viewer, answer: makePlan},
		{pattern: "GET /v1/migrations", role: viewer, answer: listMigrations},
		{pattern: "POST /v1/migrations", role: operator, changes: true, answer: startMigration},
		{pattern: "GET /v1/migrations/{id}", role: viewer, answer: getMigration},
		{pattern: "GET /v1/migrations/{id}/watch", role: viewer, time: -1, answer: watchMigration},
		{pattern: "POST /v1/migrations/{id}/abort", role: operator, changes: true, answer: abortMigration},
		{pattern: "POST /v1/migrations/{id}/return", role: operator, changes: true, answer: returnMigration},
		{pattern: "POST /v1/migrations/{id}/complete", role: operator, changes: true, answer: completeMigration},

		{pattern: "GET /v1/tokens", role: admin, answer: listTokens},
		{pattern: "POST /v1/tokens", role: admin, changes: true, answer: createToken},
		{pattern: "DELETE /v1/tokens/{id}", role: admin, changes: true, answer: revokeToken},

		{pattern: "GET /v1/raft", role: viewer, answer: listMembers},
		{pattern: "DELETE /v1/raft/{name}", role: admin, changes: true, answer: removeMember},
		{pattern: "POST /v1/raft/leader", role: admin, changes: true, answer: transferLeadership},
		{pattern: "GET /v1/snapshot", role: admin, changes: true, time: historyTime, answer: getSnapshot},
		{pattern: "GET /v1/bundle", role: admin, changes: true, time: historyTime, answer: getBundle},
	}
	if s.cfg.Metrics != nil {
		out = append(out, route{pattern: "GET /metrics", role: viewer, answer: getMetrics})
	}
	return out
}

// historyTime is how long bringing or fetching an instance's whole history may take.
const historyTime = 5 * time.Minute

func getMetrics(c *call) (any, error) {
	return stream(func(w http.ResponseWriter) error {
		c.cfg.Metrics.ServeHTTP(w, c.r)
		return nil
	}), nil
}
