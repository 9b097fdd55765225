package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/vm"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

const (
	guestConfig = "interface: eth0\nlog: {level: debug, format: text}\n"
	guestAllow  = "units: [redis-server.service]\npaths: [/var/lib/redis, /etc/redis]\naddresses: [10.77.0.0/24]\n"
	redisUnit   = "redis-server.service"
	floating    = "10.77.0.60"
)

// site is a host with the agent's package installed, and a coordinator on its network.
type site struct {
	*testing.T
	host *vm.Guest
	c    *coordinator
	deb  string
}

// newSites returns hosts with Redis installed, and running on the first of them.
func newSites(t *testing.T, hosts ...string) []*site {
	t.Helper()
	vmtest.Require(t)
	deb := agentPackage(t)
	spec := vm.Spec{Namespaces: []vm.NamespaceSpec{{Name: "c1"}}}
	for _, name := range hosts {
		spec.Guests = append(spec.Guests, vm.GuestSpec{Name: name})
	}
	fleet := vmtest.Fleet(t, spec)
	place := fleet.Namespace("c1")
	c := newCoordinator(t, net.JoinHostPort(place.Addr().String(), "7647"), func() (net.Listener, error) {
		return place.Listen(context.Background(), "tcp", ":7647")
	})
	var sites []*site
	for _, name := range hosts {
		s := &site{T: t, host: fleet.Guest(name), c: c, deb: deb}
		if err := s.host.InstallDebs(t.Context(), deb); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.host.WriteFile(t.Context(), "/etc/glidepath/agent.yaml", 0o644, []byte(guestConfig)),
			s.host.WriteFile(t.Context(), "/etc/glidepath/allow.yaml", 0o644, []byte(guestAllow))); err != nil {
			t.Fatal(err)
		}
		sites = append(sites, s)
	}
	sites[0].sh("systemctl enable -q --now redis-server")
	return sites
}

// agentPackage builds the agent's package as it is in this tree.
func agentPackage(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "make", "-C", root, "deb", "PACKAGES=glidepath-agent").CombinedOutput()
	if err != nil {
		t.Fatalf("make deb: %v\n%s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(root, "dist/glidepath-agent_*.deb"))
	if err != nil || len(found) == 0 {
		t.Fatalf("make deb left no package: %v\n%s", err, out)
	}
	return slices.MaxFunc(found, func(a, b string) int { return modified(t, a).Compare(modified(t, b)) })
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// sh runs a script on the host, which must succeed, and returns what it printed.
func (s *site) sh(script string) string {
	s.Helper()
	out, err := s.host.Shell(s.Context(), script)
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// try is sh for what may fail for now.
func (s *site) try(script string) (string, error) {
	out, err := s.host.Shell(s.Context(), script)
	return strings.TrimSpace(out), err
}

// limit returns what the kernel holds in a cgroup file of Redis.
func (s *site) limit(file string) (string, error) {
	return s.try("cat /sys/fs/cgroup/system.slice/" + redisUnit + "/" + file)
}

func (s *site) redisPID() string { return s.sh("systemctl show -p MainPID --value " + redisUnit) }

// connected waits until the agent said hello since the count of hellos that is given.
func (s *site) connected(since int) proto.Hello {
	s.Helper()
	eventually(s.T, "the agent's session", time.Minute, func() error {
		if _, n := s.c.lastHello(); n <= since || s.c.agent(s.host.Name()) == nil {
			return errors.New("there is none")
		}
		return nil
	})
	h, _ := s.c.lastHello()
	return h
}

func (s *site) operate(kind proto.OperationKind, fence uint64) proto.OperationResult {
	s.Helper()
	return s.operateWith(kind, fence, nil, nil)
}

// operateWith has a peer at the other end of the migration.
func (s *site) operateWith(kind proto.OperationKind, fence uint64, peer *site, facts *proto.SourceFacts) proto.OperationResult {
	s.Helper()
	return s.operateRound(kind, fence, 1, peer, facts)
}

func (s *site) operateRound(kind proto.OperationKind, fence uint64, round int, peer *site, facts *proto.SourceFacts) proto.OperationResult {
	s.Helper()
	op := proto.Operation{
		ID: fmt.Sprintf("%s-%d-%d", kind, fence, round), Kind: kind, Instance: "cache-1", Migration: "m-1", Incarnation: 1, Fence: fence, Spec: spec(),
		Facts: facts, Round: round, Max: amounts(500),
	}
	if peer != nil {
		op.Peer = proto.Peer{Host: peer.host.Name(), SyncAddr: peer.host.Addr().String() + ":7647"}
	}
	r := call[proto.OperationResult](s.c, s.host.Name(), proto.MethodOperate, op)
	if r.Error != nil {
		s.Fatalf("%s: %v", kind, r.Error)
	}
	s.Logf("%s took %d ms: %v", kind, r.Took, r.Steps)
	return r
}

func spec() proto.InstanceSpec {
	return proto.InstanceSpec{
		Name: "cache-1", Driver: "service", Host: "host-a", Address: floating + "/24", Class: proto.Critical, Mode: proto.Enforce, Type: "m.small",
		Service: &proto.ServiceSpec{Unit: redisUnit, Data: []string{"/var/lib/redis"}, Config: []string{"/etc/redis"}},
	}
}

// amounts is an allocation of CPU, with all that can be limited limited.
func amounts(cpu int64) resource.Vector {
	return resource.Vector{
		resource.CPU: cpu, resource.Memory: 256 << 20, resource.ReadIOPS: 2000, resource.WriteIOPS: 1000,
		resource.ReadBytes: 64 << 20, resource.WriteBytes: 32 << 20, resource.NetTx: 50_000_000, resource.NetRx: 40_000_000,
	}
}

// document has cache-1 step from one allocation to another at a time.
func document(revision uint64, first, then int64, at timeline.Time) proto.Document {
	now := timeline.Of(time.Now())
	steps := timeline.Profile{
		{Span: timeline.Span{Start: now.Add(-time.Hour), End: at}, Amount: amounts(first)},
		{Span: timeline.Span{Start: at, End: now.Add(time.Hour)}, Amount: amounts(then)},
	}
	least, most := amounts(min(first, then)), amounts(max(first, then))
	return proto.Document{
		Host: "host-a", Version: proto.DocumentVersion{Incarnation: 1, Revision: revision}, IssuedAt: now,
		Instances: []proto.InstanceSchedule{{
			Instance: "cache-1", Spec: spec(), Fence: 1, Schedule: steps, Promised: steps, Floor: least, Safe: least, Max: most, Limited: true,
		}},
	}
}

// holds waits until the kernel holds a quota of CPU for Redis, in thousandths of a core.
func (s *site) holds(milli int64, within time.Duration) {
	s.Helper()
	eventually(s.T, fmt.Sprintf("%d thousandths of a core", milli), within, func() error {
		got, err := s.limit("cpu.max")
		return errors.Join(err, want("cpu.max", got, fmt.Sprintf("%d 100000", milli*100)))
	})
}

// holdsNow fails the test unless the kernel holds it already.
func (s *site) holdsNow(milli int64) {
	s.Helper()
	got, err := s.limit("cpu.max")
	if err := errors.Join(err, want("cpu.max", got, fmt.Sprintf("%d 100000", milli*100))); err != nil {
		s.Fatal(err)
	}
}

// sameRedis fails the test unless the Redis that was started first is still the one that runs.
func (s *site) sameRedis(pid, after string) {
	s.Helper()
	if now := s.redisPID(); now != pid {
		s.Fatalf("after %s another Redis runs: %s, not %s", after, now, pid)
	}
}

func TestTheAgentOnARealHost(t *testing.T) {
	s := newSites(t, "host-a")[0]
	s.sh(ownConfig)
	redis := s.redisPID()
	asItWas := s.unitState()
	s.join()

	s.sh("systemctl start glidepath-agent")
	hello := s.connected(0)
	if hello.Facts.Name != "host-a" || hello.Facts.Interface != "eth0" || hello.Facts.SyncAddr != s.host.Addr().String()+":7647" {
		t.Errorf("facts: %+v", hello.Facts)
	}
	adopted := s.operate(proto.OpAdopt, 1)
	if adopted.Adopt == nil || !adopted.Adopt.Running {
		t.Fatalf("adoption: %+v", adopted)
	}
	if out := s.sh("ip -o addr show dev eth0 to " + floating); out == "" {
		t.Error("the address is not announced")
	}

	// A document is pushed: the kernel holds its step.
	pushed := time.Now()
	call[proto.DocumentVersion](s.c, "host-a", proto.MethodDocument, document(1, 500, 500, timeline.Of(pushed.Add(time.Minute))))
	s.holds(500, time.Minute)
	t.Logf("document pushed → limit in the kernel: at most %s", time.Since(pushed).Round(time.Millisecond))
	s.readsBack(500)
	s.sampled(500)

	// The agent is killed: nothing is felt, and the next one goes on.
	_, n := s.c.lastHello()
	s.sh("systemctl kill -s KILL glidepath-agent")
	s.holdsNow(500)
	if hello = s.connected(n); hello.Document.Revision != 1 {
		t.Errorf("after it was killed the agent has document %+v", hello.Document)
	}
	s.sameRedis(redis, "a kill of the agent")
	s.readsBack(500)

	// The coordinators go away. The next step comes all the same, also to an agent that was started and upgraded meanwhile.
	step := time.Now().Add(10 * time.Second)
	call[proto.DocumentVersion](s.c, "host-a", proto.MethodDocument, document(2, 500, 700, timeline.Of(step)))
	s.holdsNow(500)
	s.c.stop()
	away := timeline.Of(time.Now())
	if err := s.host.InstallDebs(t.Context(), s.deb); err != nil {
		t.Fatal(err)
	}
	s.holds(700, time.Until(step)+time.Minute)
	s.sh("systemctl restart glidepath-agent")
	s.holdsNow(700)
	s.sameRedis(redis, "an upgrade and a restart of the agent")
	s.report()

	// They come back, and get what was measured while they were away.
	_, n = s.c.lastHello()
	s.c.start()
	s.connected(n)
	eventually(t, "the windows of the time without coordinators", time.Minute, func() error {
		if _, ok := s.c.window(func(w proto.Window) bool {
			return w.Instance == "cache-1" && w.Start > away && w.Granted[resource.CPU] == 700
		}); !ok {
			return errors.New("they are missing")
		}
		return nil
	})

	s.paused()
	s.frozen()
	s.thawed()
	s.released(asItWas)
	s.removed()
}

// join makes the host one of the fleet, once.
func (s *site) join() {
	s.Helper()
	s.sh("glidepath-agent join --token " + s.c.token())
	out, err := s.try("glidepath-agent join --token " + s.c.token() + " 2>&1")
	var exit *vm.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || !strings.Contains(out, "--again") {
		s.Fatalf("joined again: %v: %s", err, out)
	}
}

// readsBack compares the agent's word with the document's.
func (s *site) readsBack(cpu int64) {
	s.Helper()
	eventually(s.T, "what is read back", time.Minute, func() error {
		r, err := tryCall[proto.ReadBack](s.c, "host-a", proto.MethodReadBack, proto.InstanceRef{Instance: "cache-1"})
		if err != nil {
			return err
		}
		if diff := cmp.Diff(amounts(cpu), r.Held) + cmp.Diff(amounts(cpu), r.Granted) + cmp.Diff(amounts(cpu), r.Scheduled); diff != "" {
			return fmt.Errorf("held, granted or scheduled are not as the document says:\n%s", diff)
		}
		return nil
	})
	for file, text := range map[string]string{"memory.high": strconv.Itoa(256 << 20), "cpu.max": fmt.Sprintf("%d 100000", cpu*100)} {
		if got, err := s.limit(file); err != nil || got != text {
			s.Errorf("%s is %q, want %q (%v)", file, got, text, err)
		}
	}
	if got, err := s.limit("io.max"); err != nil || !strings.Contains(got, "wiops=1000") {
		s.Errorf("io.max is %q (%v)", got, err)
	}
}

// sampled waits for windows of Redis and of the host.
func (s *site) sampled(cpu int64) {
	s.Helper()
	eventually(s.T, "windows", time.Minute, func() error {
		w, ok := s.c.window(func(w proto.Window) bool {
			return w.Instance == "cache-1" && w.Granted[resource.CPU] == cpu && w.Samples >= 9
		})
		if !ok {
			return errors.New("none of cache-1")
		}
		if w.Scheduled[resource.CPU] != cpu || w.Usage.Last[resource.Memory] < 1<<20 || len(w.Faults) > 0 {
			return fmt.Errorf("window %+v", w)
		}
		if _, ok := s.c.window(func(w proto.Window) bool { return w.Instance == proto.SystemInstance }); !ok {
			return errors.New("none of the system")
		}
		return nil
	})
}

// report logs what an operator would want to know of the agent itself.
func (s *site) report() {
	s.Helper()
	s.Log(s.sh("systemd-analyze security --no-pager glidepath-agent.service | tail -n1"))
	s.Log(s.sh("grep -E 'VmRSS|VmHWM|RssAnon|Threads' /proc/$(systemctl show -p MainPID --value glidepath-agent)/status"))
	s.Log(s.sh("glidepath-agent status"))
	s.Log(s.sh("{ time for i in 1 2 3 4 5; do glidepath-agent may-run x.service; done; time systemctl daemon-reload; } 2>&1 | grep real"))
	out := s.sh(`exec 3<>/dev/tcp/127.0.0.1/7649; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3`)
	for _, line := range []string{"glidepath_agent_connected 0", `glidepath_agent_instances{driver="service",mode="enforce"} 1`, `glidepath_agent_document_revision{incarnation="1"} 2`} {
		if !strings.Contains(out, line+"\n") {
			s.Errorf("%q is missing in the metrics:\n%s", line, out)
		}
	}
}

// frozen takes the right to run from this host: nobody starts the unit by hand, with the agent or without.
func (s *site) frozen() {
	s.Helper()
	s.operate(proto.OpFreeze, 2)
	start := "systemctl start redis-server || true; systemctl is-active redis-server || true" // a start that systemd cuts short is a refusal, too
	if got := s.sh(start); got == "active" {
		s.Fatal("a frozen unit could be started")
	}
	s.sh("systemctl stop glidepath-agent")
	if got := s.sh(start); got == "active" {
		s.Fatal("a frozen unit could be started while the agent was down")
	}
	out, err := s.try("glidepath-agent may-run " + redisUnit + " 2>&1")
	var exit *vm.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || !strings.Contains(out, "frozen") {
		s.Errorf("may-run: %v: %s", err, out)
	}
	if out := s.sh("ip -o addr show to " + floating); out != "" {
		s.Errorf("the address is still here: %s", out)
	}
	_, n := s.c.lastHello()
	s.sh("systemctl start glidepath-agent")
	hello := s.connected(n)
	held := proto.Holding{Instance: "cache-1", Incarnation: 1, Fence: 2, State: proto.FenceFrozen, Migration: "m-1"}
	if diff := cmp.Diff([]proto.Holding{held}, hello.Instances); diff != "" {
		s.Errorf("holdings: %s", diff)
	}
	// What this host remembers may be all that is left of the instance.
	if out := s.sh("! DEBIAN_FRONTEND=noninteractive dpkg --purge glidepath-agent 2>&1 && systemctl is-active glidepath-agent && ls /var/lib/glidepath/agent/fence/cache-1.json"); !strings.Contains(out, "stays as it is") || !strings.Contains(out, "frozen") {
		s.Errorf("a purge while it is frozen: %s", out)
	}
}

// thawed gives the right back: the unit runs, and is limited again.
func (s *site) thawed() {
	s.Helper()
	s.operate(proto.OpThaw, 3)
	if got := s.sh("systemctl is-active redis-server"); got != "active" {
		s.Errorf("after the thaw Redis is %s", got)
	}
	s.readsBack(700)
}

// removed takes the package away: nothing stays limited, and Redis runs on.
func (s *site) removed() {
	s.Helper()
	pid := s.redisPID()
	s.sh("DEBIAN_FRONTEND=noninteractive dpkg --remove glidepath-agent 2>&1")
	s.sameRedis(pid, "the removal of the package")
	if err := s.onlyItsOwn(); err != nil {
		s.Errorf("after the removal: %v", err)
	}
	if left := s.sh("find /etc/systemd/system /run/systemd/system /sys/fs/bpf -name '*glidepath*' ! -path '*.wants/glidepath-agent.service'"); left != "" {
		s.Errorf("left behind:\n%s", left)
	}
}

func TestTwoAgentsMoveARedisBetweenRealHosts(t *testing.T) {
	sites := newSites(t, "host-a", "host-b")
	a, b := sites[0], sites[1]
	a.sh("sed -i -e 's/^bind .*/bind " + floating + " 127.0.0.1/' -e 's/^appendonly .*/appendonly yes/' -e 's/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf && ip addr add " + floating + "/24 dev eth0 && systemctl restart redis-server && redis-cli set k before")
	for _, s := range sites {
		_, n := s.c.lastHello()
		s.sh("glidepath-agent join --token " + s.c.token() + " && systemctl start glidepath-agent")
		s.connected(n)
	}
	a.operate(proto.OpAdopt, 1)
	facts := a.operateWith(proto.OpVerifySource, 1, b, nil).Source
	b.operateWith(proto.OpVerifyTarget, 1, a, facts)
	b.operateWith(proto.OpPrepareTarget, 1, a, facts)
	round := a.operateWith(proto.OpSyncRound, 1, b, nil).Round
	t.Logf("early round: %+v", *round)
	again := time.Now() // the final round that the first one made ready is given up
	a.operateRound(proto.OpSyncRound, 1, 2, b, nil)
	t.Logf("another one took %s", time.Since(again))
	a.sh("redis-cli set k after")
	a.operateWith(proto.OpFreeze, 2, b, nil)
	last := a.operateWith(proto.OpFinalSync, 2, b, nil).Round
	t.Logf("last round: %+v", *last)
	started := b.operateWith(proto.OpStart, 3, a, nil)
	t.Logf("start: %+v", *started.Start)
	b.operateWith(proto.OpConfirm, 3, a, nil)
	if got := a.sh("redis-cli -h " + floating + " get k"); got != "after" {
		t.Errorf("the Redis at its address says %q", got)
	}
	a.operateWith(proto.OpRetire, 3, b, nil)
	if got := a.sh("systemctl start redis-server || true; systemctl is-active redis-server || true"); got == "active" {
		t.Error("the instance runs on both hosts")
	}
	// Units are kept for a while, in case that another round follows.
	if left := b.sh("units() { systemctl list-units --all --plain --no-legend 'glidepath-sync*'; }; for n in $(seq 30); do [ -z \"$(units)\" ] && break; sleep 1; done; ls /var/lib/glidepath/agent/admitted; units"); left != "" {
		t.Errorf("left on the target: %s", left)
	}
}
