//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/load"
)

const database = `name: db-1
driver: service
service: {unit: postgresql@15-main.service, data: [/var/lib/postgresql/15/main], config: [/etc/postgresql/15/main]}
host: host-a
address: 10.77.0.61/24
health: {tcp: 5432}
type: m.small
class: critical
application: postgres
mode: enforce
`

const databaseApp = `name: postgres
class: critical
startup: {cpu: 800m}
decay: 5s
memory_floor: 96MiB
`

const web = `name: web-1
driver: service
service: {unit: nginx.service, config: [/etc/nginx, /var/www/html]}
host: host-a
addresses: [10.77.0.62/24, 10.77.0.63/24]
health: {http: ":80/"}
type: m.small
class: standard
mode: enforce
`

// Debian starts a cluster of PostgreSQL from a unit that a generator wants, which guests do without until here.
const (
	databaseSource = `rm -f /etc/systemd/system-generators/postgresql-generator
printf '%s\n' "listen_addresses = '*'" 'fsync = on' 'shared_buffers = 16MB' >>/etc/postgresql/15/main/postgresql.conf
echo 'host all postgres 10.77.0.0/24 trust' >>/etc/postgresql/15/main/pg_hba.conf
systemctl daemon-reload
systemctl start postgresql.service postgresql@15-main.service`
	databaseTarget = `rm -f /etc/systemd/system-generators/postgresql-generator
pg_dropcluster 15 main
systemctl daemon-reload`
	databaseEnd = `systemctl stop postgresql.service postgresql@15-main.service 2>/dev/null || true
SYSTEMCTL_SKIP_SYSV=1 systemctl disable --quiet postgresql@15-main.service 2>/dev/null || true
ln -sf /dev/null /etc/systemd/system-generators/postgresql-generator
ip addr flush to 10.77.0.61/32`

	page      = "the page of web-1"
	webSource = `cat >/etc/nginx/sites-available/default <<'END'
server {
	listen 10.77.0.62:80;
	listen 10.77.0.63:80;
	root /var/www/html;
	add_header X-Host $hostname always;
}
END
rm -f /var/www/html/*
echo '` + page + `' >/var/www/html/index.html
device=$(ip -4 -oneline addr show to 10.77.0.21 | awk '{print $2}')
ip addr add 10.77.0.62/24 dev $device
ip addr add 10.77.0.63/24 dev $device
SYSTEMCTL_SKIP_SYSV=1 systemctl enable --now --quiet nginx.service`
	webEnd = `SYSTEMCTL_SKIP_SYSV=1 systemctl disable --now --quiet nginx.service 2>/dev/null || true
ip addr flush to 10.77.0.62/31`
)

// service is an instance beside the Redis that all scenarios have, with its clients, and who answers for its addresses.
type service struct {
	*trial
	name    string
	clients []*load.Clients // one for each address
	watches []*fleet.AddressWatch
	stop    func() // ends the clients
}

// serve adopts an instance on host-a, has clients use it, and watches its addresses. All that ends with the scenario.
func (tr *trial) serve(name, end string, files [][2]string, clients map[string]*load.Clients) *service {
	tr.Helper()
	s := &service{trial: tr, name: name}
	tr.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := tr.f.CLI(ctx, "instance", "release", name); err != nil {
			tr.Error(err)
		}
		if err := tr.both(ctx, end, end); err != nil {
			tr.Error(err)
		}
	})
	for _, file := range files {
		tr.apply(file[0], file[1])
	}
	ctx, cancel := context.WithCancel(tr.ctx)
	var using errgroup.Group
	s.stop = func() {
		cancel()
		if err := using.Wait(); err != nil {
			tr.Error(err)
		}
	}
	tr.Cleanup(s.stop)
	for address, c := range clients {
		watch, err := tr.f.WatchAddress(context.WithoutCancel(tr.ctx), netip.MustParseAddrPort(address).Addr())
		must(tr.T, err)
		tr.Cleanup(func() {
			if err := watch.Close(); err != nil {
				tr.Error(err)
			}
		})
		c.Dial = func(ctx context.Context) (net.Conn, error) { return tr.f.Clients().DialContext(ctx, "tcp", address) }
		c.Count, c.Rate, c.Connect = 2, 8, time.Second // emulated, it takes a while to greet a client
		s.clients, s.watches = append(s.clients, c), append(s.watches, watch)
		using.Go(func() error { return c.Run(ctx) })
	}
	s.used("before the move")
	return s
}

// apply puts a file into the fleet.
func (tr *trial) apply(kind, text string) {
	tr.Helper()
	must(tr.T, os.WriteFile(filepath.Join(tr.files, kind+"-more"), []byte(text), 0o600))
	_, err := tr.f.CLIIn(tr.ctx, tr.files, kind, "apply", "-f", kind+"-more")
	must(tr.T, err)
}

// both runs a script on each host.
func (tr *trial) both(ctx context.Context, onA, onB string) error {
	var group errgroup.Group
	for host, script := range map[string]string{fleet.HostA: onA, fleet.HostB: onB} {
		group.Go(func() error {
			if _, err := tr.f.Host(host).Shell(ctx, script); err != nil {
				return fmt.Errorf("%s: %w", host, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// used waits until all clients have been served.
func (s *service) used(when string) {
	s.Helper()
	var before []int64
	for _, c := range s.clients {
		before = append(before, c.Stats(time.Now()).Acknowledged)
	}
	s.wait("the clients of "+s.name+" are served "+when, serveWithin, func() (bool, error) {
		for i, c := range s.clients {
			if now := c.Stats(time.Now()); now.Acknowledged < before[i]+10 {
				return false, fmt.Errorf("%+v", now)
			}
		}
		return true, nil
	})
}

// move moves the instance to host-b and waits until it lives there: served at each address from there alone, and nothing of it on host-a.
func (s *service) move(args ...string) {
	s.Helper()
	begun := time.Now()
	m, err := fleet.Ask[proto.Migration](s.ctx, s.f, append([]string{"migrate", s.name, "--to", fleet.HostB}, args...)...)
	must(s.T, err)
	if done := s.when(m.ID, ended); done.Outcome != proto.OutcomeCompleted {
		s.Fatalf("%s: %s", done.Outcome, done.Reason)
	}
	s.used("after the move")
	i, err := s.f.Instance(s.ctx, s.name)
	must(s.T, err)
	if i.Owner != fleet.HostB {
		s.Errorf("%s is on %s", s.name, i.Owner)
	}
	addresses := strings.Join(addrs(i.Spec), " ")
	mac, err := s.f.Host(fleet.HostB).Shell(s.ctx, "cat /sys/class/net/$(ip -4 -oneline addr show to 10.77.0.22 | awk '{print $2}')/address")
	must(s.T, err)
	for _, w := range s.watches {
		if got := w.Answerer(); got != strings.TrimSpace(mac) {
			s.Errorf("one of %s is answered for by %q, want %s", addresses, got, mac)
		}
		for _, fault := range w.Faults() {
			s.Errorf("two sides at once: %s", fault)
		}
	}
	// Also when somebody starts it there by hand.
	left, err := s.f.Host(fleet.HostA).Shell(s.ctx, "systemctl start "+i.Spec.Service.Unit+` 2>&1 || true
		systemctl show --property=MainPID --value `+i.Spec.Service.Unit+`
		for address in `+addresses+`; do ip -oneline address show to $address; done`)
	must(s.T, err)
	if strings.TrimSpace(left) != "0" {
		s.Errorf("host-a, which gave %s away, still has: %s", s.name, left)
	}
	for i, c := range s.clients {
		stats := c.Stats(time.Now())
		s.Logf("%s, address %d of %d: moved in %.1f s; %d acknowledged, %d tried again; longest silence %s", s.name, i+1, len(s.clients), time.Since(begun).Seconds(),
			stats.Acknowledged, stats.Errors, stats.Longest(begun, time.Now()).Length().Round(time.Millisecond))
	}
}

func addrs(spec proto.InstanceSpec) (out []string) {
	for _, p := range spec.Floating() {
		out = append(out, p.Addr().String())
	}
	return out
}

// databaseMoves: PostgreSQL as Debian runs it, a unit of a template. Every row whose commit was acknowledged is there once.
func databaseMoves(tr *trial) {
	must(tr.T, tr.both(tr.ctx, databaseSource, databaseTarget))
	server, clients := load.Postgres{}, &load.Clients{Server: load.Postgres{}}
	must(tr.T, server.MakeTable(tr.ctx, func(ctx context.Context) (net.Conn, error) {
		return tr.f.Clients().DialContext(ctx, "tcp", net.JoinHostPort(fleet.HostA, "5432"))
	}))
	s := tr.serve("db-1", databaseEnd, [][2]string{{"app", databaseApp}, {"instance", database}}, map[string]*load.Clients{"10.77.0.61:5432": clients})
	s.move("--type", "m.large")
	s.stop()
	acknowledged := clients.Stats(time.Now()).Acknowledged
	read, err := clients.Verify(tr.ctx)
	must(tr.T, err)
	rows, keys, err := server.Rows(tr.ctx, clients.Dial)
	must(tr.T, err)
	tr.Logf("%d rows acknowledged, %d lost; %d in the table, of %d keys", acknowledged, read.Lost, rows, keys)
	if read.Lost > 0 || read.Read != acknowledged {
		tr.Errorf("of %d acknowledged rows, %d were read and %d are lost, like %s", acknowledged, read.Read, read.Lost, read.First)
	}
	// One that a client was not told of may be there.
	if rows != keys || rows < acknowledged || rows > acknowledged+int64(clients.Count) {
		tr.Errorf("%d rows of %d keys, %d acknowledged", rows, keys, acknowledged)
	}
}

// webMoves: both addresses go together, and pages come from one host at a time.
func webMoves(tr *trial) {
	must(tr.T, tr.both(tr.ctx, webSource, "true"))
	servers, clients := []*load.Web{}, map[string]*load.Clients{}
	for _, address := range []string{"10.77.0.62:80", "10.77.0.63:80"} {
		server := &load.Web{Host: "web-1", Page: page + "\n"}
		servers, clients[address] = append(servers, server), &load.Clients{Server: server}
	}
	s := tr.serve("web-1", webEnd, [][2]string{{"instance", web}}, clients)
	s.move()
	s.stop()
	for i, server := range servers {
		var by []string
		for _, seen := range server.Seen() {
			by = append(by, seen.By)
		}
		if by = slices.Compact(by); !slices.Equal(by, []string{fleet.HostA, fleet.HostB}) {
			tr.Errorf("the pages at address %d came from %s, one after the other", i+1, by)
		}
	}
}
