package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/vm"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

const (
	redis    = "redis-server.service"
	floating = "10.77.0.60"
	allowed  = "units: [redis-server.service]\npaths: [/var/lib/redis, /etc/redis]\naddresses: [10.77.0.0/24]\nhooks: ['redis:/usr/local/lib/hooks/*']\n"
)

// site is two real hosts, one with a Redis that is bound to its floating address, and a client.
type site struct {
	t     *testing.T
	fleet *vm.Fleet
	a, b  *vm.Guest
}

func newSite(t *testing.T) *site {
	t.Helper()
	fleet := vmtest.Fleet(t, vm.Spec{Guests: []vm.GuestSpec{{Name: "host-a"}, {Name: "host-b"}}, Namespaces: []vm.NamespaceSpec{{Name: "client"}}})
	s := &site{t: t, fleet: fleet, a: fleet.Guest("host-a"), b: fleet.Guest("host-b")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []*vm.Guest{s.a, s.b} {
		if err := errors.Join(g.CopyTo(t.Context(), self, guestPath), g.WriteFile(t.Context(), "/etc/glidepath/allow.yaml", 0o644, []byte(allowed))); err != nil {
			t.Fatal(err)
		}
	}
	s.sh(s.a, `sed -i -e 's/^bind .*/bind 10.77.0.60 127.0.0.1/' -e 's/^appendonly .*/appendonly yes/' -e 's/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf
		ip addr add 10.77.0.60/24 dev eth0 && systemctl enable -q --now redis-server && redis-cli -h 10.77.0.60 set k v`)
	return s
}

// sh runs a script that must succeed, and returns what it printed.
func (s *site) sh(g *vm.Guest, script string) string {
	s.t.Helper()
	out, err := g.Shell(s.t.Context(), script)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (s *site) expect(g *vm.Guest, script, want string) {
	s.t.Helper()
	if got := s.sh(g, script+" || true"); got != want {
		s.t.Errorf("%s: %s\n got %q\nwant %q", g.Name(), script, got, want)
	}
}

// role has the test binary play a part in a guest.
func (s *site) role(g *vm.Guest, role string, stdin []byte) []byte {
	s.t.Helper()
	var out, log bytes.Buffer
	err := g.Run(s.t.Context(), vm.Command{
		Argv: []string{guestPath}, Env: []string{roleEnv + "=" + role, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Stdin: bytes.NewReader(stdin), Stdout: &out, Stderr: &log,
	})
	if err != nil {
		s.t.Fatalf("%s: %s: %v\n%s", g.Name(), role, err, log.Bytes())
	}
	if log.Len() > 0 {
		s.t.Logf("%s: %s", g.Name(), bytes.TrimSpace(log.Bytes()))
	}
	return out.Bytes()
}

func (s *site) operate(g *vm.Guest, kind proto.OperationKind, fence uint64, facts *proto.SourceFacts) proto.OperationResult {
	s.t.Helper()
	op, err := json.Marshal(proto.Operation{
		Kind: kind, Instance: "cache-1", Migration: "m-1", Incarnation: 1, Fence: fence, Facts: facts,
		Spec: proto.InstanceSpec{
			Name: "cache-1", Driver: "service", Address: floating + "/24", Class: proto.Critical, Health: proto.HealthSpec{TCP: 6379},
			Service: &proto.ServiceSpec{Unit: redis, Data: []string{"/var/lib/redis"}, Config: []string{"/etc/redis"}},
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var result proto.OperationResult
	if err := json.Unmarshal(s.role(g, "operate", op), &result); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%s on %s: %d ms %v", kind, g.Name(), result.Took, result.Steps)
	return result
}

// toldTo is what the guests' hooks write down, and hangs is how one that does not end goes about it.
const (
	toldTo = `#!/bin/sh
{ id -un; printf '%s\n' "$@"; env | grep '^GLIDEPATH_\(HOOK\|ADDRESS\|HOST\|TARGET\)=' | sort; touch /etc/hook 2>/dev/null || echo confined; } >/dev/shm/told
echo 'it went wrong' >&2
exit 4
`
	hangs = `#!/bin/sh
trap '' TERM
sleep 1001 &
setsid sleep 1002 &
while :; do sleep 1; done
`
)

// hooked has a host run two hooks: one that tells what it was told and fails, and one that does not end.
func (s *site) hooked(g *vm.Guest) {
	s.t.Helper()
	for name, text := range map[string]string{"tell": toldTo, "hang": hangs} {
		if err := g.WriteFile(s.t.Context(), "/usr/local/lib/hooks/"+name, 0o755, []byte(text)); err != nil {
			s.t.Fatal(err)
		}
	}
	op, err := json.Marshal(proto.Operation{
		Kind: proto.OpHook, Instance: "cache-1", Migration: "m-1", Incarnation: 1, Fence: 1,
		Hook: &proto.HookCall{Point: proto.HookOnAbort, Side: proto.HookSource, Source: "host-a", Target: "host-b", Attempt: 1},
		Spec: proto.InstanceSpec{Name: "cache-1", Driver: "service", Address: floating + "/24", Hooks: proto.Hooks{OnAbort: []proto.Hook{
			{Exec: []string{"/usr/local/lib/hooks/tell", "$HOME %n", "b"}, User: "redis"},
			{Exec: []string{"/usr/local/lib/hooks/hang"}, User: "redis", Timeout: 2},
		}}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var result proto.OperationResult
	if err := json.Unmarshal(s.role(g, "operate", op), &result); err != nil {
		s.t.Fatal(err)
	}
	if len(result.Hooks) != 2 || result.Hooks[0].Failure != "ended with exit-code 4: it went wrong" || result.Hooks[1].Failure != "did not end within 2s, and was killed" {
		s.t.Errorf("hooks came to %+v, %v", result.Hooks, result.Error)
	}
	s.expect(g, "cat /dev/shm/told", "redis\n$HOME %n\nb\nGLIDEPATH_ADDRESS=10.77.0.60\nGLIDEPATH_HOOK=on-abort\nGLIDEPATH_HOST=host-a\nGLIDEPATH_TARGET=host-b\nconfined")
	s.expect(g, "pgrep -fl 'sleep 100[12]|hooks/[h]ang' || echo ended; systemctl list-units --all --no-legend 'glidepath-hook-*'", "ended")
}

func (s *site) done(g *vm.Guest, kind proto.OperationKind, fence uint64, facts *proto.SourceFacts) proto.OperationResult {
	s.t.Helper()
	result := s.operate(g, kind, fence, facts)
	if result.Error != nil {
		s.t.Fatalf("%s on %s: %v", kind, g.Name(), result.Error)
	}
	return result
}

// transfer stands for the transfer of data and configuration.
func (s *site) transfer() {
	s.t.Helper()
	local := s.t.TempDir() + "/all.tar"
	s.sh(s.a, "tar --create --file=/var/tmp/all.tar --directory=/ var/lib/redis etc/redis")
	if err := errors.Join(s.a.CopyFrom(s.t.Context(), "/var/tmp/all.tar", local), s.b.CopyTo(s.t.Context(), local, "/var/tmp/all.tar")); err != nil {
		s.t.Fatal(err)
	}
	s.sh(s.b, "tar --extract --file=/var/tmp/all.tar --directory=/ && sync") // durable, as a transfer's end is
}

// ping asks the instance at its address as a client does.
func (s *site) ping() string {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	c, err := s.fleet.Namespace("client").DialContext(ctx, "tcp", net.JoinHostPort(floating, "6379"))
	if err != nil {
		return "nobody"
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err.Error()
	}
	if _, err := c.Write([]byte("GET k\r\n")); err != nil {
		return err.Error()
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}

func (s *site) expectAnswer(want string) {
	s.t.Helper()
	if got := s.ping(); got != want {
		s.t.Errorf("a client got %q, want %q", got, want)
	}
}

const (
	served  = "$1\r\nv\r\n"
	nobody  = "nobody"
	running = "pgrep -c redis-server"
	traces  = `find /etc/redis /var/lib/redis -printf '%p %m %u %g\n' | sort | sha256sum; cat /etc/redis/redis.conf | sha256sum
		ls /etc/systemd/system/redis-server.service.d /run/systemd/system/redis-server.service.d 2>/dev/null || true; ip -o addr | grep -c 10.77.0.60 || true; systemctl is-enabled redis-server || true
		cat /proc/sys/net/ipv4/conf/eth0/arp_ignore; find /var/lib/glidepath -name '*m-1*'; ls /var/lib/glidepath/agent/service 2>/dev/null || true`
)

// TestOnGuests has a Redis adopted, moved in vain, moved, and both hosts pulled from under it.
func TestOnGuests(t *testing.T) {
	s := newSite(t)
	a, b := s.a, s.b
	s.done(a, proto.OpAdopt, 1, nil)
	s.expectAnswer(served)
	s.hooked(a)
	facts := s.done(a, proto.OpVerifySource, 1, nil).Source
	if facts.Package != "redis-server" || facts.Version == "" || facts.DataBytes == 0 {
		t.Errorf("facts: %+v", facts)
	}
	s.done(b, proto.OpVerifyTarget, 1, facts)
	before := s.sh(b, traces)

	// In vain: the permit is refused while it is starting.
	s.done(b, proto.OpPrepareTarget, 1, facts)
	s.expect(b, "systemctl start redis-server; "+running, "0")
	s.done(a, proto.OpFreeze, 2, nil)
	s.expectAnswer(nobody)
	s.expect(a, "systemctl start redis-server; "+running, "0")
	s.transfer()
	s.done(b, proto.OpStart, 3, nil)
	s.expect(b, "redis-cli -h 10.77.0.60 get k", "v")
	s.expectAnswer(nobody) // unannounced
	s.role(b, "keep", nil)
	s.expect(b, running, "0")
	s.expect(b, "systemctl start redis-server; "+running, "0")
	s.done(b, proto.OpCleanTarget, 4, nil)
	if after := s.sh(b, traces); after != before {
		t.Errorf("the target is not as before:\n%s\nbefore:\n%s", after, before)
	}
	s.done(a, proto.OpThaw, 4, nil)
	s.expectAnswer(served)

	// For good.
	s.done(b, proto.OpPrepareTarget, 5, facts)
	s.done(a, proto.OpFreeze, 6, nil)
	s.transfer()
	s.done(b, proto.OpStart, 7, nil)
	s.done(b, proto.OpConfirm, 7, nil)
	s.expectAnswer(served)
	s.expect(b, "systemctl is-enabled redis-server", "enabled")
	s.done(a, proto.OpRetire, 7, nil)
	s.expect(a, "ls -d /var/lib/redis 2>/dev/null || true; systemctl is-enabled redis-server", "disabled")
	s.expect(a, "ls /var/lib/glidepath/retained/*-cache-1-m-1/var/lib/redis | head -n 1", "appendonlydir")

	for _, g := range []*vm.Guest{a, b} {
		if err := g.HardReboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.role(g, "recover", nil)
	}
	s.expect(a, "systemctl start redis-server; "+running, "0")
	s.sh(b, "systemctl restart redis-server")
	s.expectAnswer(served)
}
