// Package agent is our process on a host: it measures instances, limits them by their document, and carries out operations.
package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Paths that packages and the service rely on.
const (
	DefaultConfigPath = "/etc/glidepath/agent.yaml"
	DefaultAllowPath  = "/etc/glidepath/allow.yaml"
	DefaultDataDir    = "/var/lib/glidepath/agent"
	DefaultRunDir     = "/run/glidepath"
)

// Config is all that can be set of an agent. The zero value is not valid: begin with Default.
type Config struct {
	Name             string            `yaml:"name"`              // of the host in the fleet, until it has joined: then its certificate says it
	DataDir          string            `yaml:"data_dir"`          // certificates, fence records, documents, journals, buffered samples
	RunDir           string            `yaml:"run_dir"`           // sockets; gone after a reboot
	AllowFile        string            `yaml:"allow_file"`        // what may be done to this host
	Coordinators     []string          `yaml:"coordinators"`      // host:port of some; the others are learned
	Listen           string            `yaml:"listen"`            // host:port for bulk data from other agents
	Advertise        string            `yaml:"advertise"`         // host:port where other agents reach listen; empty: the address of interface
	Interface        string            `yaml:"interface"`         // where instances' addresses are announced and their traffic is paced; empty: that of the default route
	Segment          string            `yaml:"segment"`           // name of the L2 segment of interface, inside which instances move; empty: its IPv4 network
	Labels           map[string]string `yaml:"labels"`            // by which hosts are selected, like {rack: a1}
	Metrics          string            `yaml:"metrics"`           // host:port of /metrics; empty: none
	MetricsInstances bool              `yaml:"metrics_instances"` // series of every instance, too
	Capacity         config.Amounts    `yaml:"capacity"`          // what can't be measured: disk and network, like {read_iops: 20000, net_tx: 1Gbit}; 0: unknown, not limited
	Reserve          config.Amounts    `yaml:"reserve"`           // kept back for the system, on top of what it is seen to use, like {cpu: 100m, memory: 128MiB}
	Buffer           string            `yaml:"buffer"`            // most bytes of samples kept while no coordinator answers
	BufferFor        config.Duration   `yaml:"buffer_for"`        // and for how long
	Log              config.Log        `yaml:"log"`
}

// Default returns the configuration of an agent whose file says nothing.
func Default() Config {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	name, _, _ = strings.Cut(name, ".")
	return Config{
		Name: name, DataDir: DefaultDataDir, RunDir: DefaultRunDir, AllowFile: DefaultAllowPath,
		Listen: ":7647", Metrics: "127.0.0.1:7649",
		Buffer: "64MiB", BufferFor: config.Duration(24 * time.Hour),
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
	if err := proto.ValidName("host", c.Name); err != nil {
		bad("name: %w", err)
	}
	for field, path := range map[string]string{"data_dir": c.DataDir, "run_dir": c.RunDir, "allow_file": c.AllowFile} {
		if !filepath.IsAbs(path) {
			bad("%s: %q is not an absolute path", field, path)
		}
	}
	for _, addr := range c.Coordinators {
		if !config.IsDial(addr) {
			bad("coordinators: %q is not host:port, like 10.0.0.11:7647", addr)
		}
	}
	for field, addr := range map[string]string{"listen": c.Listen, "metrics": c.Metrics} {
		if addr != "" && !config.IsListen(addr) {
			bad("%s: %q is not host:port or :port", field, addr)
		}
	}
	if c.Listen == "" {
		bad("listen: is empty: other agents send data there; use :7647")
	}
	if c.Advertise != "" && !config.IsDial(c.Advertise) {
		bad("advertise: %q is not host:port, like 10.0.0.21:7647", c.Advertise)
	}
	if c.BufferFor < 0 {
		bad("buffer_for: %s is negative", c.BufferFor.Std())
	}
	if _, err := c.BufferBytes(); err != nil {
		bad("buffer: %w", err)
	}
	return errors.Join(append(problems, c.Log.Validate())...)
}

// BufferBytes returns Buffer in bytes.
func (c Config) BufferBytes() (int64, error) { return resource.Parse(resource.Memory, c.Buffer) }
