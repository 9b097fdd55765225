// Package coordinator is our process in the Raft cluster: it keeps the ledger, forecasts demand, plans migrations and walks them.
package coordinator

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/proto"
)

// Paths that packages and the service rely on.
const (
	DefaultConfigPath = "/etc/glidepath/coordinator.yaml"
	DefaultDataDir    = "/var/lib/glidepath/coordinator"
)

// Config is all that can be set of a coordinator. The zero value is not valid: begin with Default.
type Config struct {
	Name    string        `yaml:"name"`     // of the coordinator in the fleet
	DataDir string        `yaml:"data_dir"` // certificates, Raft's log and snapshots, history
	RPC     AddressConfig `yaml:"rpc"`      // agents and coordinators, mutual TLS
	Gossip  AddressConfig `yaml:"gossip"`   // coordinators, encrypted; UDP and TCP
	API     AddressConfig `yaml:"api"`      // HTTP, TLS with tokens
	Join    []string      `yaml:"join"`     // host:port (gossip) of some coordinators; the others are found
	Log     config.Log    `yaml:"log"`
	Audit   AuditConfig   `yaml:"audit"` // who asked for what change

	MetricsInstances bool `yaml:"metrics_instances"` // series of how forecasts of every instance fare, too
}

// AuditConfig is where it is written who asked for what change.
type AuditConfig struct {
	File string `yaml:"file"` // absolute; "": audit.log in data_dir; "-": standard error, among what is logged
}

// AuditPath returns the file of the audit; "" for standard error.
func (c Config) AuditPath() string {
	switch c.Audit.File {
	case "":
		return filepath.Join(c.DataDir, "audit.log")
	case "-":
		return ""
	}
	return c.Audit.File
}

// AddressConfig is where a service listens, and where others reach it.
type AddressConfig struct {
	Listen    string `yaml:"listen"`    // host:port or :port
	Advertise string `yaml:"advertise"` // host:port; empty: listen, if that names a host
}

// Default returns the configuration of a coordinator whose file says nothing.
func Default() Config {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	name, _, _ = strings.Cut(name, ".")
	return Config{
		Name: name, DataDir: DefaultDataDir,
		RPC: AddressConfig{Listen: ":7647"}, Gossip: AddressConfig{Listen: ":7646"}, API: AddressConfig{Listen: ":7648"},
		Log: config.Log{Level: "info", Format: "text"},
	}
}

// Load returns the default configuration with the file at path over it. A file that is not there is an error unless
// it is the default one.
func Load(path string) (Config, error) {
	c := Default()
	err := config.Read(path, &c)
	if errors.Is(err, os.ErrNotExist) && path == DefaultConfigPath {
		err = nil
	}
	return c, err
}

// Validate returns every problem of c at once, each naming the field and what it takes.
func (c Config) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if err := proto.ValidName("coordinator", c.Name); err != nil {
		bad("name: %w", err)
	}
	if !filepath.IsAbs(c.DataDir) {
		bad("data_dir: %q is not an absolute path", c.DataDir)
	}
	for _, a := range []struct {
		field string
		AddressConfig
	}{{"rpc", c.RPC}, {"gossip", c.Gossip}, {"api", c.API}} {
		if !config.IsListen(a.Listen) {
			bad("%s.listen: %q is not host:port or :port", a.field, a.Listen)
		} else if !config.IsDial(a.Address()) {
			bad("%s.advertise: say where others reach this coordinator, like 10.0.0.11:7647: %s.listen %q names no host", a.field, a.field, a.Listen)
		}
	}
	if f := c.Audit.File; f != "" && f != "-" && !filepath.IsAbs(f) {
		bad("audit.file: %q is neither an absolute path nor -", f)
	}
	for _, addr := range c.Join {
		if !config.IsDial(addr) {
			bad("join: %q is not host:port, like 10.0.0.11:7646", addr)
		}
	}
	return errors.Join(append(problems, c.Log.Validate())...)
}

// Address returns where others reach the service; it names no host when neither field does.
func (a AddressConfig) Address() string {
	if a.Advertise != "" {
		return a.Advertise
	}
	return a.Listen
}
