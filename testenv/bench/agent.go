//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/vm"
)

const (
	agentInstances = 50
	agentLimited   = 10 // of them; the rest is measured only: systemd reads all units again for each that is limited
	agentPushes    = 100
	agentAtRest    = 30 * time.Second // that its own use is measured for
	samplingRounds = 300

	samplingBar  = 3  // times the bare reads
	residentMost = 25 // MB, of a million bytes
)

func guestsNeeded(Options) error { return vm.Check() }

// measureAgent has an agent steer fifty services on a real host, and measures what it uses and how soon it does what it is told.
func measureAgent(ctx context.Context, b *bench) (rows []Row, err error) {
	say := func(text string) { b.Progress("agent: " + text) }
	say("building the sampler's benchmark")
	folder, err := os.MkdirTemp("", "glidepath-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	binary := filepath.Join(folder, "collect.test")
	if out, err := b.goTool(ctx, "test", "-c", "-o", binary, "./agent/collect").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the sampler's benchmark: %w: %s", err, lastPart(string(out)))
	}
	fleet, err := vm.Start(ctx, vm.Spec{
		Name: "bench-agent", Guests: []vm.GuestSpec{{Name: "host-a"}}, Namespaces: []vm.NamespaceSpec{{Name: "c1"}}, Progress: say,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	place := fleet.Namespace("c1")
	listener, err := place.Listen(ctx, "tcp", ":7647")
	if err != nil {
		return nil, err
	}
	h, err := startHome(listener, net.JoinHostPort(place.Addr().String(), "7647"))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, h.close()) }()
	s := &site{guest: fleet.Guest("host-a"), home: h, say: say}
	if err := s.install(ctx, b.Debs); err != nil {
		return nil, err
	}
	if err := s.adopt(ctx); err != nil {
		return nil, withJournal(ctx, s.guest, err)
	}
	rows, err = s.measure(ctx, binary)
	return rows, withJournal(ctx, s.guest, err)
}

// withJournal adds to an error what a host's agent said last.
func withJournal(ctx context.Context, g *vm.Guest, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	said, unread := g.Exec(ctx, "journalctl", "--no-pager", "--lines=25", "--output=cat", "--unit=glidepath-agent.service")
	return errors.Join(fmt.Errorf("%w\nThe journal of the agent on %s ends:\n%s", err, g.Name(), said), unread)
}

// site is a host with an agent, and its home.
type site struct {
	guest  *vm.Guest
	home   *home
	say    func(string)
	script documents
}

func unitName(i int) string     { return fmt.Sprintf("bench-%02d.service", i) }
func instanceName(i int) string { return fmt.Sprintf("bench-%02d", i) }

// install puts the agent's package on the host, and makes the services that it will steer.
func (s *site) install(ctx context.Context, debs string) error {
	s.say(fmt.Sprintf("installing it, and starting %d services", agentInstances))
	found, err := filepath.Glob(filepath.Join(debs, "glidepath-agent_*.deb"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%d packages glidepath-agent_*.deb in %s instead of one: run make clean deb", len(found), debs)
	}
	token, err := s.home.token()
	if err != nil {
		return err
	}
	if err := errors.Join(s.guest.StepClock(ctx, 0), s.guest.InstallDebs(ctx, found[0])); err != nil {
		return err
	}
	_, err = s.guest.Shell(ctx, fmt.Sprintf(`
		device=$(ip -4 -oneline addr show to %s | awk '{print $2}')
		echo "interface: $device" >/etc/glidepath/agent.yaml
		echo 'units: [bench-*.service]
paths: [/var/lib/bench]' >/etc/glidepath/allow.yaml
		units=
		for i in $(seq -f %%02.0f 0 %d); do
			mkdir -p /var/lib/bench/$i
			printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/bench-$i.service
			units="$units bench-$i.service"
		done
		systemctl daemon-reload
		systemctl start $units
		glidepath-agent join --token %s
		systemctl start glidepath-agent`, s.guest.Addr(), agentInstances-1, token))
	return err
}

// adopt makes the services instances, and waits until the kernel limits those that are to be.
func (s *site) adopt(ctx context.Context) error {
	s.say(fmt.Sprintf("adopting %d instances, and limiting %d of them", agentInstances, agentLimited))
	group, adopting := errgroup.WithContext(ctx)
	group.SetLimit(2)
	var adopted atomic.Int64
	for i := range agentInstances {
		group.Go(func() error {
			defer func() {
				if n := adopted.Add(1); n%10 == 0 {
					s.say(fmt.Sprintf("adopted %d", n))
				}
			}()
			return operate(adopting, s.home, proto.Operation{
				ID: "adopt-" + instanceName(i), Kind: proto.OpAdopt, Instance: instanceName(i), Incarnation: 1, Fence: 1, Spec: benchSpec(i),
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if _, err := s.push(ctx); err != nil {
		return err
	}
	const limited = "grep -L '^max' /sys/fs/cgroup/system.slice/bench-*.service/cpu.max | wc -l"
	deadline := time.Now().Add(8 * time.Minute)
	for {
		out, err := s.guest.Shell(ctx, limited)
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || n >= agentLimited {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after eight minutes %s of %d instances are limited", strings.TrimSpace(out), agentLimited)
		}
		if err := rest(ctx, time.Second); err != nil {
			return err
		}
	}
}

// measure takes all figures, one after the other.
func (s *site) measure(ctx context.Context, binary string) ([]Row, error) {
	s.say(fmt.Sprintf("leaving it alone for %s", agentAtRest))
	before, _, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	if err := rest(ctx, agentAtRest); err != nil {
		return nil, err
	}
	after, _, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	aSecond := (after - before).Seconds() * 1000 / agentAtRest.Seconds()

	s.say("sampling, and bare reads of the same files, in turns")
	sampling, err := s.sampling(ctx, binary)
	if err != nil {
		return nil, err
	}
	s.say(fmt.Sprintf("pushing %d documents", agentPushes))
	limits, trips, err := s.pushes(ctx)
	if err != nil {
		return nil, err
	}
	_, resident, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	bare := sampling["bare-µs/round"]
	return []Row{
		{What: "a round of samples of 50 instances", Value: sampling["sample-µs/round"] / 1000, Unit: "ms", Peer: "bare reads of the same files", Of: bare / 1000, Bar: atMost(samplingBar)},
		{What: "all that the agent does in a second", Value: aSecond, Unit: "ms", Peer: "bare reads of the same files", Of: bare / 1000},
		{What: "resident with 50 instances", Value: resident, Unit: "MB", Peer: "the limit", Of: residentMost, Bar: atMost(1)},
		{What: "document pushed → limit in the kernel, median", Value: median(limits), Unit: "ms", Peer: "a call that does nothing", Of: median(trips)},
		{What: "the same, p99", Value: quantile(limits, .99), Unit: "ms", Peer: "a call that does nothing", Of: quantile(trips, .99)},
	}, nil
}

// use returns the CPU time that the agent has used so far, and the memory that it has resident, in MB.
func (s *site) use(ctx context.Context) (time.Duration, float64, error) {
	out, err := s.guest.Shell(ctx, `
		pid=$(systemctl show -p MainPID --value glidepath-agent)
		cut -d')' -f2 /proc/$pid/stat | awk '{print $12 + $13}'
		awk '/^VmRSS/ {print $2}' /proc/$pid/status`)
	if err != nil {
		return 0, 0, err
	}
	var ticks, kib int64
	if _, err := fmt.Sscan(out, &ticks, &kib); err != nil {
		return 0, 0, fmt.Errorf("what the agent uses: %q: %w", out, err)
	}
	const perSecond = 100 // USER_HZ, the same on every amd64
	return time.Duration(ticks) * time.Second / perSecond, float64(kib) * 1024 / 1e6, nil
}

// sampling runs the sampler's benchmark on the cgroups of the services, while the agent goes on.
func (s *site) sampling(ctx context.Context, binary string) (metrics, error) {
	const name, place = "BenchmarkKernelSampling", "/root/collect.test"
	if err := s.guest.CopyTo(ctx, binary, place); err != nil {
		return nil, err
	}
	out, err := s.guest.Shell(ctx, fmt.Sprintf("GLIDEPATH_KERNEL_CGROUPS='system.slice/bench-*.service' %s -test.run='^$' -test.bench='^%s$' -test.benchtime=%dx",
		place, name, samplingRounds))
	if err != nil {
		return nil, err
	}
	return readBenchmark(out, name)
}

// pushes changes one instance's limit over and over, at any time of the agent's second. It returns how long each took until the kernel
// had it, and, in between, how long calls took that do nothing, in milliseconds.
func (s *site) pushes(ctx context.Context) (limits, trips []float64, err error) {
	seen, err := s.watch(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, seen.close()) }()
	source := rand.New(rand.NewPCG(1, 2))
	for range agentPushes {
		if err := rest(ctx, time.Duration(200+source.IntN(500))*time.Millisecond); err != nil {
			return nil, nil, err
		}
		trip, err := roundTrip(ctx, s.home)
		if err != nil {
			return nil, nil, err
		}
		pushed := time.Now()
		cores, err := s.push(ctx)
		if err != nil {
			return nil, nil, err
		}
		at, err := seen.await(ctx, fmt.Sprintf("%d 100000", cores*100))
		if err != nil {
			return nil, nil, err
		}
		limits, trips = append(limits, at.Sub(pushed).Seconds()*1000), append(trips, trip.Seconds()*1000)
	}
	return limits, trips, nil
}

// rest waits, unless ctx ends before.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
