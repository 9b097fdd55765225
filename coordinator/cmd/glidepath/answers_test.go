package main

// answers says which operation of the API each command prints the answer of with --json: docs/openapi.json has its schema. Commands that print
// something else have "". The reference is made from it.
func answers() map[string]string {
	return map[string]string{
		"glidepath status":           "getStatus",
		"glidepath stream":           "streamChanges",
		"glidepath host list":        "listHosts",
		"glidepath host show":        "getHost",
		"glidepath reservation list": "listReservations",
		"glidepath type list":        "listTypes",
		"glidepath type apply":       "putType",
		"glidepath app list":         "listApplications",
		"glidepath app apply":        "putApplication",
		"glidepath event list":       "listEvents",
		"glidepath event add":        "addEvent",
		"glidepath event remove":     "removeEvent",
		"glidepath instance list":    "listInstances",
		"glidepath instance show":    "getInstance",
		"glidepath instance apply":   "getInstance",
		"glidepath instance observe": "setMode",
		"glidepath instance enforce": "setMode",
		"glidepath instance release": "releaseInstance",
		"glidepath schedule show":    "getSchedule",
		"glidepath forecast":         "getForecast",
		"glidepath history import":   "importHistory",
		"glidepath history export":   "",
		"glidepath plan migrate":     "makePlan",
		"glidepath migrate":          "startMigration",
		"glidepath migration list":   "listMigrations",
		"glidepath migration show":   "getMigration",
		"glidepath migration watch":  "watchMigration",
		"glidepath migration abort":  "abortMigration",
		"glidepath migration return": "returnMigration",
		"glidepath token create":     "createToken",
		"glidepath token list":       "listTokens",
		"glidepath token revoke":     "revokeToken",
		"glidepath version":          "",
	}
}
