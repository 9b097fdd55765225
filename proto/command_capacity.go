package proto

import "github.com/glidepath/glidepath/internal/timeline"

// HostWindow states when some of a host's capacity is not there, or takes that back. Where the host would be short by it the
// command is refused, but for one that is a fact.
type HostWindow struct {
	Host     string          `msgpack:"h"`
	Put      *CapacityWindow `msgpack:"p,omitempty"`  // new, or in the place of the one with its identifier
	Drop     string          `msgpack:"d,omitempty"`  // identifier of the one that is taken back
	Force    bool            `msgpack:"f,omitempty"`  // it is a fact, whoever is short by it
	Revision uint64          `msgpack:"rv,omitempty"` // of the host's decisions that it replaces; 0: any
}

// HostDrain begins to empty a host, goes on with that or takes it back. While a host is drained it is cordoned.
type HostDrain struct {
	Host      string        `msgpack:"h"`
	From      DrainState    `msgpack:"fr,omitempty"` // it is stale when the host is in another
	To        DrainState    `msgpack:"to,omitempty"`
	Deadline  timeline.Time `msgpack:"d,omitempty"`  // read when a drain begins
	Probation int64         `msgpack:"pb,omitempty"` // milliseconds; read when a drain begins; 0: as the policy says
	Squeeze   bool          `msgpack:"sq,omitempty"` // read when a drain begins
	Reason    string        `msgpack:"r,omitempty"`
}

// Asks returns the command that came with what is in it.
func (d HostDrain) Asks() CommandType {
	if d.Squeeze {
		return CmdMigrationAdmit
	}
	return 0
}

// TypeRevise defines an instance type or changes its limits, and with them the envelopes of its instances, all or nothing. It is
// refused while something holds more than the type would allow.
type TypeRevise struct {
	Type   InstanceType `msgpack:"t"`
	From   uint64       `msgpack:"fr,omitempty"` // revision of the type that it replaces; 0: any
	Revise []Revision   `msgpack:"r,omitempty"`
}

// AppRevise states what is known of an application, as the next revision of that.
type AppRevise struct {
	Application Application `msgpack:"a"`
	From        uint64      `msgpack:"fr,omitempty"` // revision that it replaces; 0: any
}

// Admit is a change of reservations for which others yield, all or nothing. Whoever proposes it has found who yields least; that all of them may be
// asked to is checked again.
type Admit struct {
	Change ReservationChange `msgpack:"c"`
	Yield  []Yield           `msgpack:"y"`
}

// NoticePut tells what is so, and what is not any more.
type NoticePut struct {
	Put   []Notice `msgpack:"p,omitempty"`
	Clear []string `msgpack:"c,omitempty"` // identifiers; one that is not there, or was cleared, is left alone
}
