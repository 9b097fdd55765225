package main

import (
	"reflect"
	"strings"

	"github.com/glidepath/glidepath/coordinator/bundle"
	"github.com/glidepath/glidepath/coordinator/forecast/backtest"
)

// answers says which operation of the API each command prints the answer of with --json: docs/openapi.json has its schema. Commands that print
// something else have "". The reference is made from it.
func answers() map[string]string {
	return map[string]string{
		"glidepath status":      "getStatus",
		"glidepath stream":      "streamChanges",
		"glidepath host list":   "listHosts",
		"glidepath host show":   "getHost",
		"glidepath host cordon": "cordonHost", "glidepath host uncordon": "uncordonHost", "glidepath host set": "setAllocatable", "glidepath host forget": "forgetHost",
		"glidepath host drain": "drainHost", "glidepath host drain show": "getDrain", "glidepath host drain pause": "pauseDrain", "glidepath host drain resume": "resumeDrain",
		"glidepath host undrain":   "undrainHost",
		"glidepath host retention": "getRetention", "glidepath host tasks": "getHostTasks", "glidepath pause": "pauseFleet", "glidepath resume": "resumeFleet", "glidepath migration complete": "completeMigration",
		"glidepath operator raft list": "listMembers", "glidepath operator raft remove": "removeMember", "glidepath operator raft transfer": "transferLeadership",
		"glidepath reservation show": "getReservation", "glidepath reservation create": "createReservations", "glidepath reservation extend": "extendReservation", "glidepath reservation release": "releaseReservation",
		"glidepath host calendar": "getHostCalendar", "glidepath host window list": "getHost", "glidepath host window add": "putWindow", "glidepath host window remove": "dropWindow",
		"glidepath policy show": "getPolicy", "glidepath policy set": "putPolicy",
		"glidepath forecast scorecard": "getScores",
		"glidepath reservation list":   "listReservations",
		"glidepath notice list":        "listNotices",
		"glidepath type list":          "listTypes",
		"glidepath type apply":         "putType",
		"glidepath type remove":        "removeType",
		"glidepath app remove":         "removeApplication",
		"glidepath app list":           "listApplications",
		"glidepath app apply":          "putApplication",
		"glidepath event list":         "listEvents",
		"glidepath event add":          "addEvent",
		"glidepath event remove":       "removeEvent",
		"glidepath calendar list":      "listCalendars",
		"glidepath calendar show":      "getCalendar",
		"glidepath calendar add":       "putCalendar",
		"glidepath calendar remove":    "removeCalendar",
		"glidepath instance list":      "listInstances",
		"glidepath instance show":      "getInstance",
		"glidepath instance apply":     "getInstance",
		"glidepath instance observe":   "setMode",
		"glidepath instance enforce":   "setMode",
		"glidepath instance release":   "releaseInstance",
		"glidepath schedule show":      "getSchedule",
		"glidepath forecast":           "getForecast",
		"glidepath history import":     "importHistory",
		"glidepath history export":     "exportHistory",
		"glidepath plan migrate":       "makePlan",
		"glidepath rebalance":          "rebalance",
		"glidepath plan explain":       "makePlan",
		"glidepath plan list":          "listPlans",
		"glidepath plan show":          "getPlan",
		"glidepath plan begin":         "beginPlan",
		"glidepath plan cancel":        "cancelPlan",
		"glidepath migrate":            "startMigration",
		"glidepath migration list":     "listMigrations",
		"glidepath migration show":     "getMigration",
		"glidepath migration explain":  "getMigration",
		"glidepath migration watch":    "watchMigration",
		"glidepath migration abort":    "abortMigration",
		"glidepath migration return":   "returnMigration",
		"glidepath token create":       "createToken",
		"glidepath token list":         "listTokens",
		"glidepath token revoke":       "revokeToken",
	}
}

// ownAnswer is what a command prints of its own with --json: docs/reference/glidepath.json has its schema.
type ownAnswer struct {
	of   reflect.Type
	when string // flags with which it does, where it has an answer of the API else
}

// owns says what commands print with --json that is no answer of the API.
func owns() map[string]ownAnswer {
	return map[string]ownAnswer{
		"glidepath operator snapshot save":    {of: reflect.TypeFor[inspection]()},
		"glidepath operator snapshot inspect": {of: reflect.TypeFor[inspection]()},
		"glidepath operator bundle":           {of: reflect.TypeFor[bundle.List]()},
		"glidepath backtest":                  {of: reflect.TypeFor[backtest.Result]()},
		"glidepath version":                   {of: reflect.TypeFor[program]()},
		"glidepath forecast":                  {of: reflect.TypeFor[fileForecast](), when: "--csv"},
	}
}

// schema is its name in the document.
func (o ownAnswer) schema() string {
	name := o.of.Name()
	return strings.ToUpper(name[:1]) + name[1:]
}

// ownDocument is the document of those.
const ownDocument = "glidepath.json"
