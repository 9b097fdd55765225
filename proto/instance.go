package proto

import (
	"fmt"
	"net/netip"
	"time"
)

// InstanceSpec is an instance as an operator describes it in a file.
type InstanceSpec struct {
	Name        string       `msgpack:"n" json:"name" yaml:"name"`                                   // letters, digits and -, at most 63
	Driver      string       `msgpack:"d" json:"driver" yaml:"driver"`                               // service
	Service     *ServiceSpec `msgpack:"sv" json:"service,omitempty" yaml:"service,omitempty"`        // for driver service
	Host        string       `msgpack:"h" json:"host" yaml:"host"`                                   // where it runs when it is adopted
	Address     string       `msgpack:"a" json:"address,omitzero" yaml:"address,omitempty"`          // floating address with prefix length, 10.77.0.60/24
	Addresses   []string     `msgpack:"as" json:"addresses,omitempty" yaml:"addresses,omitempty"`    // more of them, or all: see Floating
	Health      HealthSpec   `msgpack:"hc" json:"health,omitzero" yaml:"health,omitempty"`           // how to tell that it serves
	Type        string       `msgpack:"t" json:"type" yaml:"type"`                                   // instance type
	Class       Class        `msgpack:"c" json:"class,omitzero" yaml:"class"`                        // critical, standard or besteffort
	Application string       `msgpack:"ap" json:"application,omitzero" yaml:"application,omitempty"` // what the software is
	Mode        Mode         `msgpack:"m" json:"mode,omitzero" yaml:"mode,omitempty"`                // observe by default
	Labels      []Label      `msgpack:"l" json:"labels,omitempty" yaml:"-"`                          // sorted by key
	Hooks       Hooks        `msgpack:"hk" json:"hooks,omitzero" yaml:"hooks,omitempty"`             // what its migrations run on their hosts
	Placement   *Placement   `msgpack:"pl,omitempty" json:"placement,omitempty" yaml:"-"`            // what hosts it is moved to must be like; nil: any
	Signals     []Signal     `msgpack:"si,omitempty" json:"signals,omitempty" yaml:"-"`              // figures of its application that its agent scrapes, at most MaxSignals
}

// MaxAddresses is how many floating addresses an instance can have.
const MaxAddresses = 16

// FloatingAddresses returns the instance's floating addresses as they are written: that of Address, then those of Addresses. They are
// held, taken off and announced together; the health check asks at the first.
func (s InstanceSpec) FloatingAddresses() []string {
	if s.Address == "" {
		return s.Addresses
	}
	return append([]string{s.Address}, s.Addresses...)
}

// Floating returns the instance's floating addresses in the order of FloatingAddresses. What is no address with a prefix length, which
// nothing lets in, is left out.
func (s InstanceSpec) Floating() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range s.FloatingAddresses() {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// ServiceSpec describes an instance that is a systemd service.
type ServiceSpec struct {
	Unit       string   `msgpack:"u" json:"unit" yaml:"unit"`                                  // name with .service
	Companions []string `msgpack:"co" json:"companions,omitempty" yaml:"companions,omitempty"` // sockets, timers, … that move along
	Data       []string `msgpack:"d" json:"data,omitempty" yaml:"data,omitempty"`              // absolute paths whose content moves
	Config     []string `msgpack:"c" json:"config,omitempty" yaml:"config,omitempty"`          // absolute paths copied before the start
}

// HealthSpec is how an agent checks that an instance serves. At most one of TCP, HTTP and Exec is set; none means that
// the unit being active is enough.
type HealthSpec struct {
	TCP  int      `msgpack:"t" json:"tcp,omitzero" yaml:"tcp,omitempty"`    // port that accepts a connection
	HTTP string   `msgpack:"h" json:"http,omitzero" yaml:"http,omitempty"`  // ":8080/ready": port and path that answer 2xx or 3xx
	Exec []string `msgpack:"e" json:"exec,omitempty" yaml:"exec,omitempty"` // command that exits 0
	User string   `msgpack:"u" json:"user,omitzero" yaml:"user,omitempty"`  // who runs Exec; nobody by default

	Within Seconds `msgpack:"w" json:"within_s,omitzero" yaml:"within,omitempty"` // of its start the instance must pass, or a move is aborted; 0 is HealthWithin
}

// HealthWithin is how long an instance may take to pass its health check after a start, unless it says otherwise.
const HealthWithin = 30 * time.Second

// HealthWithinMost is the most that an instance may say.
const HealthWithinMost = 10 * time.Minute

// Time returns how long an instance may take to pass.
func (h HealthSpec) Time() time.Duration {
	if h.Within == 0 {
		return HealthWithin
	}
	return time.Duration(h.Within) * time.Second
}

// Seconds is a length of time in whole seconds. Files write it with its unit, like 30s or 2m.
type Seconds int64

// UnmarshalYAML reads a duration with its unit.
func (s *Seconds) UnmarshalYAML(read func(any) error) error {
	var d time.Duration
	if err := read(&d); err != nil {
		return err
	}
	if d%time.Second != 0 {
		return fmt.Errorf("%s is not a whole number of seconds", d)
	}
	*s = Seconds(d / time.Second)
	return nil
}

// MarshalYAML writes s as it is read.
func (s Seconds) MarshalYAML() (any, error) { return (time.Duration(s) * time.Second).String(), nil }

// ExecUser returns who runs Exec.
func (h HealthSpec) ExecUser() string {
	if h.User == "" {
		return "nobody"
	}
	return h.User
}

// Class says how far an instance is protected, and who yields to whom.
type Class string

// The service classes, highest first.
const (
	Critical   Class = "critical"
	Standard   Class = "standard"
	BestEffort Class = "besteffort"
)

// Mode says whether limits are set.
type Mode string

// The modes of an instance.
const (
	Observe Mode = "observe" // measured, never limited
	Enforce Mode = "enforce"
)
