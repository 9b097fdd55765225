package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/docs"
	"github.com/glidepath/glidepath/proto"
)

// maxHistory bounds the CSV of an import, in bytes.
const maxHistory = 64 << 20

// lines is the media type of a reply that goes on: a JSON value in each line.
const lines = "application/x-ndjson"

// of returns the type of a body or a reply.
func of[T any]() reflect.Type { return reflect.TypeFor[T]() }

// routes returns all that the API can do, and who may. What is added here is described by `make generate`.
func (s *Server) routes() []route {
	const viewer, operator, admin = proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin
	out := []route{
		{pattern: "GET /v1/status", role: viewer, answer: getStatus,
			summary: "Show how the fleet is", gives: of[v1.Status]()},
		{pattern: "GET /v1/openapi.json", role: viewer, answer: getOpenAPI,
			summary: "Describe this API in OpenAPI", gives: of[json.RawMessage]()},
		{pattern: "GET /v1/stream", role: viewer, time: -1, answer: streamChanges,
			summary: "Follow what changes in the fleet, without end", gives: of[v1.Change](), produces: []string{lines, eventStream}, query: []param{
				{"kind", "string", "kinds of changes, parted by commas; all that the role may see by default"},
				{"since", "integer", "the index of the last line that was read; what changed after it comes first"},
			}},

		{pattern: "POST /v1/pause", role: operator, changes: true, answer: pauseFleet,
			summary: "Lift every limit of the fleet", gives: of[v1.PauseReply]()},
		{pattern: "POST /v1/resume", role: operator, changes: true, answer: resumeFleet,
			summary: "Set the fleet's limits again", gives: of[v1.PauseReply]()},
		{pattern: "POST /v1/hosts/{name}/pause", role: operator, changes: true, answer: pauseHost,
			summary: "Lift every limit on a host", gives: of[v1.PauseReply]()},
		{pattern: "POST /v1/hosts/{name}/resume", role: operator, changes: true, answer: resumeHost,
			summary: "Set the limits on a host again", gives: of[v1.PauseReply]()},
		{pattern: "POST /v1/instances/{name}/pause", role: operator, changes: true, answer: pauseInstance,
			summary: "Lift the limits of an instance", gives: of[v1.PauseReply]()},
		{pattern: "POST /v1/instances/{name}/resume", role: operator, changes: true, answer: resumeInstance,
			summary: "Set the limits of an instance again", gives: of[v1.PauseReply]()},

		{pattern: "GET /v1/hosts", role: viewer, answer: listHosts,
			summary: "List the hosts, with what is promised of them now", gives: of[v1.List[v1.Host]](),
			query: []param{{"label", "string", "only those with this label, as KEY=VALUE; given several times, with all of them"}}},
		{pattern: "GET /v1/hosts/{name}", role: viewer, answer: getHost,
			summary: "Show a host, its reservations and its steps to come", gives: of[v1.HostDetail]()},
		{pattern: "GET /v1/hosts/{name}/retention", role: viewer, answer: getRetention,
			summary: "List the data that instances left behind on a host", gives: of[proto.Retention]()},
		{pattern: "GET /v1/hosts/{name}/tasks", role: viewer, answer: getHostTasks,
			summary: "List what runs by schedule on a host, and what that does to its instances", gives: of[proto.HostTasksReply]()},
		{pattern: "GET /v1/hosts/{name}/forget", role: viewer, answer: getForgetting,
			summary: "Show what forgetting a host would mean; nothing is changed", gives: of[v1.Forgetting]()},
		{pattern: "POST /v1/hosts/{name}/cordon", role: operator, changes: true, answer: cordonHost,
			summary: "Place nothing new on a host", gives: of[v1.HostDetail]()},
		{pattern: "POST /v1/hosts/{name}/uncordon", role: operator, changes: true, answer: uncordonHost,
			summary: "Place instances on a host again", gives: of[v1.HostDetail]()},
		{pattern: "GET /v1/hosts/{name}/drain", role: viewer, answer: getDrain,
			summary: "Show how far a host is emptied, and by which plan", gives: of[v1.Drain]()},
		{pattern: "POST /v1/hosts/{name}/drain", role: operator, changes: true, answer: drainHost,
			summary: "Move everything away from a host, or show how that would go", takes: of[v1.DrainRequest](), optional: true, gives: of[v1.Drain]()},
		{pattern: "POST /v1/hosts/{name}/drain/verdict", role: viewer, answer: judgeDrain,
			summary: "Show how emptying a host would go, or what is in the way; nothing is changed but that, where store is set, the plan is kept", takes: of[v1.DrainRequest](), optional: true,
			gives: of[v1.Drain]()},
		{pattern: "POST /v1/hosts/{name}/drain/pause", role: operator, changes: true, answer: pauseDrain,
			summary: "Move nothing more away from a host that is emptied, until that goes on", takes: of[v1.DrainDecision](), optional: true, gives: of[v1.Drain]()},
		{pattern: "POST /v1/hosts/{name}/drain/resume", role: operator, changes: true, answer: resumeDrain,
			summary: "Go on with emptying a host", takes: of[v1.DrainDecision](), optional: true, gives: of[v1.Drain]()},
		{pattern: "POST /v1/hosts/{name}/undrain", role: operator, changes: true, answer: undrainHost,
			summary: "Take back that a host is emptied: instances may be placed there again", takes: of[v1.DrainDecision](), optional: true, gives: of[v1.Drain]()},
		{pattern: "POST /v1/hosts/{name}/allocatable", role: operator, changes: true, answer: setAllocatable,
			summary: "Say what may be promised of a host", takes: of[v1.HostAllocatable](), gives: of[v1.HostDetail]()},
		{pattern: "POST /v1/hosts/{name}/forget", role: admin, changes: true, answer: forgetHost,
			summary: "Forget a host that holds nothing", gives: of[v1.Empty]()},
		{pattern: "POST /v1/hosts/{name}/forget-dead", role: admin, changes: true, answer: forgetDeadHost,
			summary: "Forget a host that died for good, with the instances that it owned", takes: of[v1.ForgetDead](), gives: of[v1.Empty]()},
		{pattern: "GET /v1/notices", role: viewer, answer: listNotices,
			summary: "List the promises that can't be kept, or were changed for others", gives: of[v1.List[proto.Notice]](),
			query: []param{{"host", "string", "only those that name this host"}, {"all", "boolean", "those, too, of what is not so any more"}}},

		{pattern: "GET /v1/types", role: viewer, answer: listTypes,
			summary: "List the instance types", gives: of[v1.List[proto.InstanceType]]()},
		{pattern: "PUT /v1/types/{name}", role: operator, changes: true, answer: putType,
			summary: "Define or change an instance type, and with it the envelopes of its instances", takes: of[proto.InstanceType](), gives: of[v1.TypeReply]()},
		{pattern: "DELETE /v1/types/{name}", role: operator, changes: true, answer: removeType,
			summary: "Remove an instance type that nothing uses", gives: of[v1.Empty]()},
		{pattern: "GET /v1/applications", role: viewer, answer: listApplications,
			summary: "List the applications", gives: of[v1.List[proto.Application]]()},
		{pattern: "PUT /v1/applications/{name}", role: operator, changes: true, answer: putApplication,
			summary: "State what is known of an application", takes: of[proto.Application](), gives: of[proto.Application]()},
		{pattern: "DELETE /v1/applications/{name}", role: operator, changes: true, answer: removeApplication,
			summary: "Remove an application that no instance is of", gives: of[v1.Empty]()},
		{pattern: "GET /v1/events", role: viewer, answer: listEvents,
			summary: "List the events", gives: of[v1.List[proto.Event]]()},
		{pattern: "POST /v1/events", role: operator, changes: true, answer: addEvent,
			summary: "Register an event", takes: of[v1.EventRequest](), gives: of[proto.Event]()},
		{pattern: "DELETE /v1/events/{id}", role: operator, changes: true, answer: removeEvent,
			summary: "Remove an event", gives: of[v1.Empty]()},
		{pattern: "GET /v1/calendars", role: viewer, answer: listCalendars,
			summary: "List the calendars that events come from", gives: of[v1.List[v1.Calendar]]()},
		{pattern: "GET /v1/calendars/{name}", role: viewer, answer: getCalendar,
			summary: "Show a calendar that events come from, and what came of polling it", gives: of[v1.Calendar]()},
		{pattern: "PUT /v1/calendars/{name}", role: admin, changes: true, answer: putCalendar,
			summary: "Let events come from a calendar's URL", takes: of[v1.CalendarRequest](), gives: of[v1.Calendar]()},
		{pattern: "DELETE /v1/calendars/{name}", role: admin, changes: true, answer: removeCalendar,
			summary: "Remove a calendar, and of its events those that have not begun", gives: of[v1.Empty]()},

		{pattern: "GET /v1/instances", role: viewer, answer: listInstances,
			summary: "List the instances", gives: of[v1.List[v1.InstanceDetail]]()},
		{pattern: "GET /v1/instances/{name}", role: viewer, answer: getInstance,
			summary: "Show an instance and what it is promised", gives: of[v1.InstanceDetail]()},
		{pattern: "PUT /v1/instances/{name}", role: operator, changes: true, answer: applyInstance,
			summary: "Adopt an instance, or change a known one", takes: of[proto.InstanceSpec](), gives: of[v1.InstanceDetail]()},
		{pattern: "POST /v1/instances/{name}/mode", role: operator, changes: true, answer: setMode,
			summary: "Say whether the limits of an instance are set", takes: of[v1.ModeRequest](), gives: of[v1.InstanceDetail]()},
		{pattern: "POST /v1/instances/{name}/release", role: operator, changes: true, answer: releaseInstance,
			summary: "Begin to give an instance back to its operator", gives: of[v1.InstanceDetail]()},
		{pattern: "GET /v1/instances/{name}/schedule", role: viewer, answer: getSchedule,
			summary: "Show what an instance is granted now, and what its host's kernel holds", gives: of[v1.Schedule](),
			query: []param{{"over_ms", "integer", "how far back demand is compared with the schedule, in milliseconds; 24 hours by default, 48 at most"}}},
		{pattern: "GET /v1/instances/{name}/forecast", role: viewer, answer: getForecast,
			summary: "Show what an instance is expected to ask for", gives: of[proto.ForecastReply](), query: []param{
				{"from", "integer", "when it begins, in Unix milliseconds; now by default"},
				{"step_ms", "integer", "length of a step; the fleet's by default"},
				{"steps", "integer", "how many, 4096 at most"},
				{"means", "boolean", "of the mean demand in each step instead of the highest"},
			}},
		{pattern: "GET /v1/instances/{name}/scorecard", role: viewer, answer: getScores,
			summary: "Show how forecasts of an instance fared, beside others", gives: of[proto.Scores]()},
		{pattern: "GET /v1/scorecards", role: viewer, answer: listScores,
			summary: "List how forecasts of all instances fared over the last week", gives: of[v1.Scorecards]()},
		{pattern: "GET /v1/instances/{name}/history", role: viewer, time: historyTime, answer: exportHistory,
			summary: "Export the demand of an instance, as CSV or, for who accepts it, as JSON", gives: of[v1.History](), produces: []string{"text/csv", "application/json"}, query: []param{
				{"from", "integer", "in Unix milliseconds; 36 days before its end by default"},
				{"to", "integer", "in Unix milliseconds; now by default"},
				{"of", "string", "mean or max demand of each step; mean by default"},
			}},
		{pattern: "POST /v1/instances/{name}/history", role: operator, changes: true, media: "text/csv", limit: maxHistory, time: historyTime, answer: importHistory,
			summary: "Import demand that was measured elsewhere", gives: of[v1.ImportReply]()},

		{pattern: "POST /v1/plans", role: viewer, answer: makePlan,
			summary: "Show how a migration would go; nothing is changed but that, where store is set, the plan is kept", takes: of[v1.PlanRequest](), gives: of[proto.Plan]()},
		{pattern: "GET /v1/plans", role: viewer, answer: listPlans,
			summary: "List the plans that are stored, the newest last", gives: of[v1.List[v1.PlanSummary]](), query: []param{
				{"instance", "string", "only those that move this instance"}, {"active", "boolean", "only those that have not ended"},
			}},
		{pattern: "GET /v1/plans/{id}", role: viewer, answer: getPlan,
			summary: "Show a stored plan: its moves, and what became of them", gives: of[proto.StoredPlan]()},
		{pattern: "POST /v1/plans/{id}/begin", role: operator, changes: true, answer: beginPlan,
			summary: "Carry a stored plan out: at its start, or at once", takes: of[v1.BeginRequest](), optional: true, gives: of[proto.StoredPlan]()},
		{pattern: "POST /v1/plans/{id}/cancel", role: operator, changes: true, answer: cancelPlan,
			summary: "Have nothing more of a stored plan begin, and give back what it holds", takes: of[v1.CancelRequest](), optional: true, gives: of[proto.StoredPlan]()},
		{pattern: "GET /v1/migrations", role: viewer, answer: listMigrations,
			summary: "List migrations, the newest last", gives: of[v1.List[v1.MigrationStatus]](), query: []param{
				{"instance", "string", "only those of this instance"}, {"active", "boolean", "only those that have not ended"},
			}},
		{pattern: "POST /v1/migrations", role: operator, changes: true, answer: startMigration,
			summary: "Move an instance to another host, another type, or both: at once, or by a stored plan when it is time", takes: of[v1.PlanRequest](),
			gives: of[proto.Migration](), or: of[proto.StoredPlan]()},
		{pattern: "GET /v1/migrations/{id}", role: viewer, answer: getMigration,
			summary: "Show a migration: its plan, phases, decisions and operations", gives: of[proto.Migration]()},
		{pattern: "GET /v1/migrations/{id}/watch", role: viewer, time: -1, answer: watchMigration,
			summary: "Follow a migration to its end: a line for every change of it, and one every second", gives: of[v1.MigrationUpdate](), produces: []string{lines}},
		{pattern: "POST /v1/migrations/{id}/abort", role: operator, changes: true, answer: abortMigration,
			summary: "Give a migration up", takes: of[v1.AbortRequest](), optional: true, gives: of[v1.MigrationStatus]()},
		{pattern: "POST /v1/migrations/{id}/return", role: operator, changes: true, answer: returnMigration,
			summary: "Take a migration back that is on probation", takes: of[v1.ReturnRequest](), optional: true, gives: of[proto.Migration]()},
		{pattern: "POST /v1/migrations/{id}/complete", role: operator, changes: true, answer: completeMigration,
			summary: "End a migration's probation before its time", takes: of[v1.CompleteRequest](), optional: true, gives: of[v1.MigrationStatus]()},

		{pattern: "GET /v1/tokens", role: admin, answer: listTokens,
			summary: "List the tokens, without their secrets", gives: of[v1.List[proto.Token]]()},
		{pattern: "POST /v1/tokens", role: admin, changes: true, answer: createToken,
			summary: "Make a token; its secret is shown this once", takes: of[v1.TokenRequest](), gives: of[v1.TokenReply]()},
		{pattern: "DELETE /v1/tokens/{id}", role: admin, changes: true, answer: revokeToken,
			summary: "Make a token useless", gives: of[v1.Empty]()},

		{pattern: "GET /v1/raft", role: viewer, answer: listMembers,
			summary: "List the coordinators and their parts in the Raft cluster", gives: of[v1.List[v1.Member]]()},
		{pattern: "DELETE /v1/raft/{name}", role: admin, changes: true, answer: removeMember,
			summary: "Take a coordinator out of the fleet", gives: of[v1.Empty](),
			query: []param{{"force", "boolean", "although too few of the others are reached"}}},
		{pattern: "POST /v1/raft/leader", role: admin, changes: true, answer: transferLeadership,
			summary: "Hand the leadership over", takes: of[v1.TransferRequest](), gives: of[v1.TransferReply]()},
		{pattern: "GET /v1/snapshot", role: admin, changes: true, time: historyTime, answer: getSnapshot,
			summary: "Save a snapshot of the replicated state", produces: []string{"application/octet-stream"},
			query: []param{{"stale", "boolean", "without asking the leader whether it is all"}}},
		{pattern: "GET /v1/bundle", role: admin, changes: true, time: historyTime, answer: getBundle,
			summary: "Make a support bundle, without secrets", produces: []string{"application/gzip"}},
	}
	out = append(out, capacityRoutes()...)
	out = append(out, rebalanceRoutes()...)
	if s.cfg.Metrics != nil {
		out = append(out, route{pattern: "GET /metrics", role: viewer, answer: getMetrics,
			summary: "Show this coordinator's metrics, for Prometheus", produces: []string{"text/plain"}})
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

func getOpenAPI(*call) (any, error) { return json.RawMessage(docs.OpenAPI), nil }
