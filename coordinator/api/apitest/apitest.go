// Package apitest runs the API on the real tables of a small fleet, for tests: without Raft, without agents, over real TLS.
package apitest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/bundle"
	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/snapshot"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// Fleet is the tables of a fleet, with what stands in for the rest of a coordinator. Set its functions before Start; they may
// then be called concurrently.
type Fleet struct {
	Config api.Config // as New made it; change it before Start
	CA     *pki.CA
	Tokens map[proto.Role]string // one for each role of the API

	// Executor adopts and releases at once what is committed, as an agent that refuses nothing would.
	Executor bool

	t        testing.TB
	mu       sync.Mutex
	state    *state.State
	changed  chan struct{}
	n        int
	audit    bytes.Buffer
	imported map[string]forecast.History
	forgot   []string
	fault    *proto.Fault
}

// Grid is the step of the ledger's grid.
const Grid = 5 * time.Minute

// New makes a fleet of three hosts (host-b is small), types m.small and m.large, and an application.
func New(t testing.TB) *Fleet {
	t.Helper()
	f := &Fleet{
		t: t, state: state.New(), changed: make(chan struct{}), Tokens: map[proto.Role]string{},
		imported: map[string]forecast.History{}, Executor: true,
	}
	var err error
	if f.CA, err = pki.NewFleet(time.Now()); err != nil {
		t.Fatal(err)
	}
	f.Must(&proto.FleetInit{Fleet: f.CA.Fleet(), GridStep: Grid.Milliseconds(), Policy: proto.DefaultPolicy()})
	f.Must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{
		Name: "c1", RPCAddr: "10.0.0.1:7647", APIAddr: "10.0.0.1:7648", Program: "1.2.3", Commands: proto.KnownCommands(),
	}})
	for name, cpu := range map[string]int64{"host-a": 4000, "host-b": 600, "host-c": 4000} {
		f.Must(&proto.HostRegister{Facts: Facts(name, cpu), Incarnation: f.View().Fleet().Incarnation})
		f.Must(&proto.HostHome{Host: name, Home: "c1"})
	}
	for name, limits := range map[string][2]int64{"m.small": {250, 128 << 20}, "m.large": {1000, 384 << 20}} {
		v := resource.Uniform(resource.Unlimited)
		v[resource.CPU], v[resource.Memory] = limits[0], limits[1]
		f.Must(&proto.TypePut{Type: proto.InstanceType{Name: name, Max: v}})
	}
	f.Must(&proto.AppPut{Application: proto.Application{Name: "redis", Class: proto.Critical, Startup: resource.Vector{resource.CPU: 300}, Decay: 60}})
	for _, role := range []proto.Role{proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin} {
		token := pki.MintAdmin()
		hash := token.Hash()
		f.Must(&proto.TokenCreate{Token: proto.Token{
			ID: token.ID, Kind: proto.TokenAPI, Role: role, Name: "the-" + string(role), Hash: hash[:], ExpiresAt: timeline.Forever,
		}})
		f.Tokens[role] = token.Encode()
	}
	f.configure()
	return f
}

// Facts are those of a host with an amount of CPU, and plenty of the rest.
func Facts(name string, cpu int64) proto.HostFacts {
	v := resource.Vector{cpu, 4 << 30, 10000, 10000, 1 << 30, 1 << 30, 1e9, 1e9}
	return proto.HostFacts{
		Name: name, MachineID: "m-" + name, BootID: "b", Kernel: "6.1.0", OS: "Debian 12", AgentVersion: "1.2.3", CPUs: int(cpu+999) / 1000, Capacity: v, Allocatable: v,
		Controllers: []string{"cpu", "io", "memory"}, Segment: "lan", SyncAddr: name + ":7647",
	}
}

// Spec is an instance on host-a that can be applied.
func Spec(name string) proto.InstanceSpec {
	return proto.InstanceSpec{
		Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: "redis-server.service", Data: []string{"/var/lib/redis"}},
		Host: "host-a", Address: "10.77.0.60/24", Health: proto.HealthSpec{TCP: 6379}, Type: "m.small", Class: proto.Critical, Application: "redis",
	}
}

func (f *Fleet) configure() {
	node, err := f.CA.Issue(pki.Coordinator, "c1", time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	creds, err := node.Credentials()
	if err != nil {
		f.t.Fatal(err)
	}
	f.Config = api.Config{
		Version: "1.2.3", Credentials: creds, Pin: f.CA.Pin(),
		View: f.View, OwnView: f.View, Changed: f.Changed, Propose: f.Propose,
		Forecast: func(_ context.Context, r proto.ForecastRequest) (proto.ForecastReply, error) {
			return proto.ForecastReply{}, wire.Errorf(wire.NotFound, "too little history of %s", r.Instance)
		},
		CallAgent: func(_ context.Context, host, _ string, _ []byte) ([]byte, error) {
			return nil, wire.Errorf(wire.Unavailable, "the agent of %s is out of reach", host)
		},
		Presence: func(context.Context) map[string]proto.Presence {
			out := map[string]proto.Presence{}
			for h := range f.View().Hosts() {
				out[h.Facts.Name] = proto.Presence{Host: h.Facts.Name, Connected: true, Since: h.JoinedAt}
			}
			return out
		},
		DataBytes:     func(context.Context, string) (int64, error) { return 60 << 20, nil },
		ImportHistory: f.importHistory,
		ExportHistory: f.exportHistory,
		Forget:        f.forget,
		Above: func(_ context.Context, r proto.AboveRequest) (proto.Above, error) {
			return proto.Above{}, wire.Errorf(wire.Unavailable, "the home of %s is out of reach", r.Instance)
		},
		Scores: func(_ context.Context, instance string) (proto.Scores, error) {
			return proto.Scores{}, wire.Errorf(wire.Unavailable, "the home of %s is out of reach", instance)
		},
		AllScores: func(context.Context) ([]proto.ScoreSummary, []string) { return nil, []string{"c1"} },
		HostTasks: func(context.Context, string) (proto.HostTasksReply, error) {
			return proto.HostTasksReply{}, wire.Errorf(wire.NotFound, "there is no method %q here", proto.MethodHostTasks)
		},
		MigrationProgress: func(context.Context, string) any { return nil },
		Leader:            func() (string, string) { return "c1", "10.0.0.1:7647" },
		Members: func(context.Context) ([]v1.Member, error) {
			return []v1.Member{
				{Name: "c1", RPCAddr: "10.0.0.1:7647", APIAddr: "10.0.0.1:7648", Program: "1.2.3", Listed: true, Voter: true, Leader: true, Reached: true, Raft: &proto.Member{Leader: true, Term: 2, Committed: 40, Applied: 40}},
				{Name: "c2", RPCAddr: "10.0.0.2:7647", Listed: true, Voter: true, Why: "connection refused"},
			}, nil
		},
		RemoveMember: func(_ context.Context, _, _, name string, force bool) error {
			if name == "c2" && force {
				return nil
			}
			return wire.Errorf(wire.Refused, "without coordinator %s, 1 would vote, of which 0 are reached", name)
		},
		TransferLeadership: func(context.Context, string) error { return nil },
		Snapshot: func(context.Context, bool) (func(io.Writer) error, error) {
			return func(w io.Writer) error {
				return snapshot.Write(w, f.View(), snapshot.Header{Index: 40, Coordinator: "c1"})
			}, nil
		},
		Bundle: func(context.Context) (func(io.Writer) error, error) {
			return func(w io.Writer) error {
				return bundle.Write(w, []bundle.File{{Name: "coordinators/c1/metrics.txt", Data: []byte("glidepath_up 1\n")}, {Name: "coordinators/c2/metrics.txt", Missing: "connection refused"}}, time.Now())
			}, nil
		},
		Costs:     planner.DefaultCosts(),
		Requested: func(string, int, time.Duration) {},
		Metrics:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "glidepath_up 1") }),
		Audit:     auth.NewAudit(slog.NewJSONHandler(locked{f}, nil)),
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// locked writes to the audit.
type locked struct{ f *Fleet }

func (l locked) Write(b []byte) (int, error) {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	return l.f.audit.Write(b)
}

// Audit returns the lines that were audited so far.
func (f *Fleet) Audit() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.audit.String()
}

// View returns the tables as they are now.
func (f *Fleet) View() *state.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.View()
}

// Changed returns a channel that is closed at the next change.
func (f *Fleet) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Propose applies a command.
func (f *Fleet) Propose(_ context.Context, id, actor string, body proto.Body) (proto.Result, error) {
	r, err := f.apply(timeline.Of(time.Now()), id, actor, body)
	if err != nil || !r.OK() || !f.Executor {
		return r, err
	}
	switch b := body.(type) {
	case *proto.InstanceApply:
		f.Adopt(b.Spec.Name)
	case *proto.InstanceRelease:
		f.Must(&proto.InstanceRemove{Instance: b.Instance, Fence: r.Fence})
	}
	return r, nil
}

// Adopt tells that an instance that waits for it was taken over, or was not: see Refuses.
func (f *Fleet) Adopt(name string) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if i, ok := f.View().Instance(name); ok && i.State == proto.InstanceAdopting {
		f.Must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence, Fault: fault})
	}
}

// Refuses has agents refuse every adoption from now on; nil: none.
func (f *Fleet) Refuses(fault *proto.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Must applies a command that has to succeed.
func (f *Fleet) Must(body proto.Body) proto.Result { return f.MustAt(timeline.Of(time.Now()), body) }

// MustAt is Must as of another time. The fleet's time does not go back: one that is past is that of the last command.
func (f *Fleet) MustAt(at timeline.Time, body proto.Body) proto.Result {
	f.mu.Lock()
	f.n++
	id := fmt.Sprint("test-", f.n)
	f.mu.Unlock()
	r, err := f.apply(at, id, "test", body)
	if err != nil || !r.OK() {
		// Not Fatal: handlers call it, too, on goroutines of their own.
		f.t.Errorf("%s: %v %s", body.Command(), err, r.Message)
	}
	return r
}

func (f *Fleet) apply(at timeline.Time, id, actor string, body proto.Body) (proto.Result, error) {
	cmd, err := proto.NewCommand(id, actor, body)
	if err != nil {
		return proto.Result{}, err
	}
	cmd.At = at
	f.mu.Lock()
	defer f.mu.Unlock()
	r, _ := f.state.Apply(cmd)
	close(f.changed)
	f.changed = make(chan struct{})
	return r, nil
}

func (f *Fleet) importHistory(_ context.Context, instance string, means, _ forecast.History) (stored, late int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.imported[instance] = means
	for _, s := range means {
		stored += len(s.Values)
	}
	return stored, 0, nil
}

func (f *Fleet) exportHistory(_ context.Context, instance string, _ timeline.Span) (means, maxima forecast.History, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.imported[instance], f.imported[instance], nil
}

func (f *Fleet) forget(instance string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgot = append(f.forgot, instance)
}

// Forgot returns the instances whose models were forgotten.
func (f *Fleet) Forgot() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.forgot...)
}

// Start serves the API on loopback until the test ends, and returns its address.
func (f *Fleet) Start() string {
	f.t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := api.New(f.Config) // as it is now: who changes it further starts another one
	go func() { done <- server.Serve(ctx, ln) }()
	f.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	return ln.Addr().String()
}
