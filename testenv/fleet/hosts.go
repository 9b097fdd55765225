//go:build linux

package fleet

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/testenv/vm"
)

// joinWait bounds how long a host takes to appear after its agent was started.
const joinWait = 60 * time.Second

// allowList is what a host lets the fleet do: to move its Redis, its PostgreSQL and its web server, and nothing else.
const allowList = `units: [redis-server.service, postgresql@15-main.service, nginx.service]
paths: [/var/lib/redis, /etc/redis, /var/lib/postgresql/15/main, /etc/postgresql/15/main, /etc/nginx, /var/www/html]
addresses: [10.77.0.60/30]
users: [nobody, redis]
`

// agentConfig says what an agent can't measure.
const agentConfig = `capacity: {read_iops: 20000, write_iops: 20000, read_bytes: 200MiB, write_bytes: 200MiB, net_tx: 200Mbit, net_rx: 200Mbit}
`

// redisConfig makes Debian's Redis acknowledge only what is on the disk, and answer on any address.
const redisConfig = `
bind 0.0.0.0
protected-mode no
appendonly yes
appendfsync always
save ""
`

// prepareHost boots a guest, installs the agent, and configures Redis, which it leaves stopped.
func prepareHost(ctx context.Context, g *vm.Guest, deb string) error {
	if err := g.Boot(ctx); err != nil {
		return err
	}
	if err := g.StepClock(ctx, 0); err != nil {
		return err
	}
	if err := g.InstallDebs(ctx, deb); err != nil {
		return err
	}
	// A guest has no default route, by which the agent would know its interface.
	device, err := g.Shell(ctx, "ip -4 -oneline addr show to "+g.Addr().String()+" | awk '{print $2}'")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"/etc/glidepath/allow.yaml": allowList,
		"/etc/glidepath/agent.yaml": "interface: " + strings.TrimSpace(device) + "\n" + agentConfig,
	} {
		if err := g.WriteFile(ctx, name, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	_, err = g.Shell(ctx, "cat >>/etc/redis/redis.conf <<'END'"+redisConfig+"END")
	return err
}

// join makes a host one of the fleet.
func (f *Fleet) join(ctx context.Context, g *vm.Guest) error {
	token, err := f.joinToken(ctx, "agent", g.Name())
	if err != nil {
		return err
	}
	if err := g.Run(ctx, vm.Command{
		Argv: []string{"glidepath-agent", "join", "--token", "-"}, Stdin: strings.NewReader(token),
	}); err != nil {
		return fmt.Errorf("%s joins: %w", g.Name(), err)
	}
	if _, err := g.Exec(ctx, "systemctl", "restart", "glidepath-agent.service"); err != nil {
		journal, _ := g.Exec(ctx, "journalctl", "--no-pager", "--lines=20", "--unit=glidepath-agent.service")
		return fmt.Errorf("start the agent: %w: its journal ends:\n%s", err, journal)
	}
	return nil
}

// awaitHosts waits until all hosts are known with what they have.
func (f *Fleet) awaitHosts(ctx context.Context) error {
	return poll(ctx, joinWait, "the hosts to appear in the fleet", func(ctx context.Context) (bool, error) {
		hosts, err := Ask[v1.List[v1.Host]](ctx, f, "host", "list")
		if err != nil {
			return false, err
		}
		known := 0
		for _, h := range hosts.Items {
			if h.Home != "" && !h.Allocatable.IsZero() {
				known++
			}
		}
		return known == len(f.Hosts()), nil
	})
}

// StartRedis starts Redis on a host, as it is before anything is adopted.
func (f *Fleet) StartRedis(ctx context.Context, host string) error {
	// What `systemctl enable` does, but for the scripts of the old init, which take seconds on an emulated host.
	_, err := f.Host(host).Shell(ctx, "ln -sf /lib/systemd/system/"+Unit+" /etc/systemd/system/multi-user.target.wants/; systemctl start "+Unit)
	return err
}

// Dial connects a client to the instance at its floating address. It fits load.Dialer.
func (f *Fleet) Dial(ctx context.Context) (net.Conn, error) {
	return f.Clients().DialContext(ctx, "tcp", net.JoinHostPort(FloatingAddr().String(), Port))
}

// DialHost returns how a client connects to Redis at a host's own address.
func (f *Fleet) DialHost(host string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return f.Clients().DialContext(ctx, "tcp", net.JoinHostPort(host, Port))
	}
}
