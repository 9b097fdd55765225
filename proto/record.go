package proto

import "fmt"

// Table names one of the replicated tables. A change to a table is told by its name and the row's key.
type Table string

// The replicated tables, in the order in which they are exported.
const (
	TableFleet        Table = "fleet" // one row, keyed by the fleet's ID
	TableCoordinators Table = "coordinators"
	TableHosts        Table = "hosts"
	TableTypes        Table = "types"
	TableApplications Table = "applications"
	TableInstances    Table = "instances"
	TableReservations Table = "reservations"
	TableMigrations   Table = "migrations"
	TableEvents       Table = "events"
	TableCalendars    Table = "calendars"
	TableTokens       Table = "tokens"
	TablePlans        Table = "plans"
	TableNotices      Table = "notices"
)

// Limits on what a record may hold, so that nothing that is committed can grow without bound.
const (
	MaxSegments   = 24      // of an envelope
	MaxOperations = 256     // recorded of one migration
	MaxNameLength = 63      // bytes of a name
	MaxIDLength   = 128     // bytes of an identifier that programs choose
	MaxTextLength = 4096    // bytes of a reason or a note
	MaxList       = 1024    // elements of a list that a person writes: labels, instances of an event, reduced capacity
	MaxCommand    = 1 << 20 // bytes of an encoded command
)

// ValidName returns an error unless s can name a host, an instance, a type, an application or a coordinator: letters,
// digits, '-', '_' and '.', beginning with a letter or a digit, at most MaxNameLength bytes.
func ValidName(what, s string) error {
	if s == "" {
		return fmt.Errorf("the %s has no name", what)
	}
	if len(s) > MaxNameLength {
		return fmt.Errorf("the name of the %s has %d bytes: use at most %d", what, len(s), MaxNameLength)
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return fmt.Errorf("%q is no name for a %s: use letters, digits, '-', '_' and '.'", s, what)
		}
	}
	return nil
}

// ValidID returns an error unless s can be an identifier that a program chose: printable ASCII without spaces, at most
// MaxIDLength bytes.
func ValidID(what, s string) error {
	if s == "" {
		return fmt.Errorf("the %s has no identifier", what)
	}
	if len(s) > MaxIDLength {
		return fmt.Errorf("the identifier of the %s has %d bytes: use at most %d", what, len(s), MaxIDLength)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return fmt.Errorf("%q is no identifier for a %s: use printable characters without spaces", s, what)
		}
	}
	return nil
}
