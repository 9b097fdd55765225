package agent_test

import (
	"errors"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// ownConfig gives Redis limits of its operator's, which are not ours to lift.
const ownConfig = `mkdir -p /etc/systemd/system/redis-server.service.d
printf '[Service]\nCPUQuota=180%%\nCPUWeight=150\nMemoryMax=400M\n' > /etc/systemd/system/redis-server.service.d/10-own.conf
systemctl daemon-reload`

// onlyItsOwn returns an error unless the kernel holds for Redis what its operator configured, and no more.
func (s *site) onlyItsOwn() error {
	var failed error
	for file, text := range map[string]string{"cpu.max": "180000 100000", "cpu.weight": "150", "memory.high": "max", "memory.max": "419430400", "io.max": ""} {
		got, err := s.limit(file)
		failed = errors.Join(failed, err, want(file, got, text))
	}
	return failed
}

// lifted waits for that.
func (s *site) lifted(within time.Duration) {
	s.Helper()
	eventually(s.T, "limits that are lifted", within, s.onlyItsOwn)
}

// stayLifted fails the test unless nothing of ours is limited, now that limits have had the time to come back.
func (s *site) stayLifted(after string) {
	s.Helper()
	s.sh("sleep 3")
	if err := s.onlyItsOwn(); err != nil {
		s.Fatalf("after %s: %v", after, err)
	}
}

// paused lifts limits at the kernel and sets them again: by document, and by a word said on the host, with the agent and without.
func (s *site) paused() {
	s.Helper()
	redis := s.redisPID()
	at := timeline.Of(time.Now().Add(time.Minute))
	d := document(3, 700, 700, at)
	d.Paused = true
	call[proto.DocumentVersion](s.c, "host-a", proto.MethodDocument, d)
	s.lifted(time.Minute)
	s.stayLifted("a pause by document")
	r := call[proto.ReadBack](s.c, "host-a", proto.MethodReadBack, proto.InstanceRef{Instance: "cache-1"})
	if !r.Free {
		s.Errorf("read back while paused: %+v", r)
	}
	call[proto.DocumentVersion](s.c, "host-a", proto.MethodDocument, document(4, 700, 700, at))
	s.readsBack(700)

	// Said on the host, beside coordinators that know nothing of it.
	_, n := s.c.lastHello()
	said := time.Now()
	if out := s.sh("glidepath-agent pause"); !strings.Contains(out, "cache-1 (owner): its limits are lifted\n") {
		s.Errorf("pause said %q", out)
	}
	s.Logf("glidepath-agent pause took %s", time.Since(said).Round(time.Millisecond))
	if got, err := s.limit("cpu.max"); err != nil || strings.HasPrefix(got, "70000 ") {
		s.Errorf("after the command cpu.max is %q (%v)", got, err)
	}
	s.lifted(time.Minute) // what is its own is set again when systemd has read
	if hello := s.connected(n); hello.Facts.PausedAt == 0 {
		s.Error("the coordinators are not told")
	}
	call[proto.DocumentVersion](s.c, "host-a", proto.MethodDocument, document(5, 700, 700, at))
	s.stayLifted("a document that came while the host is paused")
	s.sh("systemctl restart glidepath-agent")
	s.stayLifted("a restart of the agent")
	if out := s.sh("glidepath-agent status"); !strings.Contains(out, "by glidepath-agent pause, nothing is limited") || strings.Contains(out, ", limited") {
		s.Errorf("status says %q", out)
	}
	if out := s.sh(`exec 3<>/dev/tcp/127.0.0.1/7649; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3`); !strings.Contains(out, "glidepath_agent_paused{by=\"host\"} 1\n") {
		s.Errorf("the metrics don't say that it is paused:\n%s", out)
	}
	if out := s.sh("glidepath-agent resume"); !strings.Contains(out, "within seconds") {
		s.Errorf("resume said %q", out)
	}
	s.readsBack(700)

	// The same while the agent is down.
	s.sh("systemctl stop glidepath-agent")
	s.holdsNow(700)
	if out := s.sh("glidepath-agent pause"); !strings.Contains(out, "the agent is down") {
		s.Errorf("pause said %q", out)
	}
	if err := s.onlyItsOwn(); err != nil {
		s.Error(err)
	}
	if out := s.sh("cat /etc/systemd/system/redis-server.service.d/50-glidepath.conf"); !strings.Contains(out, "ExecCondition=") || strings.Contains(out, "CPUQuota") {
		s.Errorf("the drop-in is\n%s", out)
	}
	_, n = s.c.lastHello()
	s.sh("systemctl start glidepath-agent")
	s.connected(n)
	s.stayLifted("a start of the agent")
	s.sh("glidepath-agent resume")
	s.readsBack(700)
	s.sameRedis(redis, "pausing")
}

// unitState is all that adoption changes of a unit and its host, one fact a line.
func (s *site) unitState() string {
	s.Helper()
	return s.sh(`find /etc/systemd /run/systemd/system /usr/lib/systemd/system -path '*redis*' -printf '%p %M %u %g %l\n' | sort
		find /etc/systemd /run/systemd/system /usr/lib/systemd/system -path '*redis*' -type f | sort | xargs sha256sum
		systemctl is-enabled redis-server
		systemctl is-active redis-server
		systemctl cat redis-server | sha256sum
		systemctl show redis-server -p CPUAccounting,CPUWeight,CPUQuotaPerSecUSec,CPUQuotaPeriodUSec,MemoryAccounting,MemoryLow,MemoryHigh,MemoryMax,IOAccounting,IOWeight
		systemctl show redis-server -p IOReadBandwidthMax,IOWriteBandwidthMax,IOReadIOPSMax,IOWriteIOPSMax,IPEgressFilterPath,IPIngressFilterPath,ExecCondition
		systemctl show redis-server -p FragmentPath,DropInPaths,UnitFileState,Slice,NeedDaemonReload,TriggeredBy
		systemctl show redis-server -p After --value | tr ' ' '\n' | sort
		for f in cpu.max cpu.weight io.max memory.low memory.high memory.max; do echo "$f $(cat /sys/fs/cgroup/system.slice/redis-server.service/$f 2>/dev/null)"; done
		find /sys/fs/bpf -name '*cache-1*'
		tc qdisc show dev eth0`)
}

// released gives the instance back: its unit is as it was, byte for byte, and so are its limits. It is then adopted again.
func (s *site) released(asItWas string) {
	s.Helper()
	if s.unitState() == asItWas {
		s.Fatal("adoption and limits left no trace: this test would see none")
	}
	redis := s.redisPID()
	s.operate(proto.OpRelease, 3)
	s.sh("sleep 3") // the loop has had its turns
	if diff := cmp.Diff(strings.Split(asItWas, "\n"), strings.Split(s.unitState(), "\n")); diff != "" {
		s.Errorf("the unit is not as it was (-before +after):\n%s", diff)
	}
	s.sameRedis(redis, "its release")
	s.operate(proto.OpAdopt, 4)
	s.readsBack(700)
}
