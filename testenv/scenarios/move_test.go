//go:build linux

package scenarios

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
)

// moves: the move of the demo.
func moves(tr *trial) { tr.arrived(tr.moved()) }

// sourceReboots: right after a move neither the reboot of its source nor an operator's start makes a second one there.
func sourceReboots(tr *trial) {
	done := tr.moved()
	source := tr.f.Host(tr.source)
	back, rebooted := tr.watch.Away(tr.source), timeline.Of(time.Now())
	must(tr.T, source.HardReboot(tr.ctx))
	back()
	// systemd skips the unit, which is not an error for it: what counts is the process.
	out, err := source.Shell(tr.ctx, "systemctl start "+fleet.Unit+" 2>&1 || true; systemctl is-active "+fleet.Unit+" || true; pgrep redis-server || true")
	must(tr.T, err)
	if strings.TrimSpace(out) != "inactive" {
		tr.Errorf("after a reboot and systemctl start on %s: %s", tr.source, out)
	}
	tr.wait("the agent of the host that rebooted is connected", time.Minute, func() (bool, error) {
		hosts, err := fleet.Ask[v1.List[v1.Host]](tr.ctx, tr.f, "host", "list")
		for _, h := range hosts.Items {
			if h.Facts.Name == tr.source {
				return h.Agent.State == v1.AgentConnected && h.Agent.Since > rebooted, fmt.Errorf("it is %s since %s", h.Agent.State, h.Agent.Since)
			}
		}
		return false, errors.Join(err, errors.New("it is not listed"))
	})
	tr.arrived(done)
}

// moved moves the instance to the other host and to a larger type, and returns when that is completed.
func (tr *trial) moved() proto.Migration {
	tr.Helper()
	m, err := fleet.Ask[proto.Migration](tr.ctx, tr.f, "migrate", instance, "--to", tr.target, "--type", "m.large")
	must(tr.T, err)
	done := tr.when(m.ID, ended)
	if done.Outcome != proto.OutcomeCompleted {
		tr.Fatalf("%s: %s", done.Outcome, done.Reason)
	}
	return done
}

// arrived checks that the instance lives on the target of a move, and that its limits there are those of the document, as the target's kernel holds them.
func (tr *trial) arrived(done proto.Migration) {
	tr.Helper()
	if host := tr.serves(serveWithin); host != tr.target {
		tr.Errorf("it serves on %s", host)
	}
	tr.livesOn(tr.target)
	said := tr.kernelFollowsTheDocument(tr.target)
	for _, k := range []resource.Kind{resource.CPU, resource.Memory, resource.WriteBytes, resource.NetTx} {
		if said[k] >= resource.Unlimited {
			tr.Errorf("%s of %s is not limited: %s", k, instance, said)
		}
	}
	actual := time.Duration(0)
	for _, p := range done.Phases {
		if p.Phase == proto.PhaseSettle {
			actual = p.At.Sub(done.CreatedAt)
		}
	}
	silence := tr.clients.Stats(time.Now()).Longest(done.CreatedAt.Std(), done.EndedAt.Std()).Length()
	tr.Logf("duration: predicted %.1f s, actual %.1f s; downtime: predicted %.2f s, actual %.2f s",
		float64(done.Plan.Duration)/1e3, actual.Seconds(), float64(done.Plan.Downtime)/1e3, silence.Seconds())
}

const (
	// moments is how often the kernel is compared with the document, and momentEvery how long lies between two times.
	moments     = 5
	momentEvery = 3 * time.Second
	// grainBytes is how far off a limit of memory may be before an agent writes it anew: 16 pages of the kernel.
	grainBytes = 64 << 10
)

// kernelFollowsTheDocument checks at several moments that a host's kernel, read past the agent, holds what the document schedules then. The first
// is waited for longest: what feedback has added for the start is given back by then. It returns what was scheduled at the last.
func (tr *trial) kernelFollowsTheDocument(host string) (said resource.Vector) {
	tr.Helper()
	most := 4 * time.Minute
	for n := range moments {
		if n > 0 {
			tr.pause(momentEvery)
		}
		var held resource.Vector
		tr.wait("the kernel holds what the document schedules", most, func() (bool, error) {
			before, err := fleet.Ask[proto.ReadBack](tr.ctx, tr.f, "schedule", "show", instance)
			if err != nil {
				return false, err
			}
			var top int64
			if held, top, err = tr.kernel(host); err != nil {
				return false, err
			}
			after, err := fleet.Ask[proto.ReadBack](tr.ctx, tr.f, "schedule", "show", instance)
			if err != nil || before.Scheduled != after.Scheduled {
				return false, err // between two steps
			}
			// Those are in a program, which only the agent reads.
			held[resource.NetTx], held[resource.NetRx] = after.Held[resource.NetTx], after.Held[resource.NetRx]
			said = after.Scheduled
			if diff := differ(said, held, top); diff != "" {
				return false, fmt.Errorf("%s: %+v", diff, after)
			}
			return true, nil
		})
		tr.Logf("moment %d: scheduled %s, in the kernel %s", n+1, said, held)
		most = time.Minute
	}
	return said
}

// differ returns in what the kernel's limits are not those of a schedule; top is memory.max.
func differ(said, held resource.Vector, top int64) string {
	for _, k := range resource.All() {
		want, slack := limit.Settable(k, said[k], resource.Unlimited), int64(0)
		if k == resource.Memory {
			slack = grainBytes
		}
		if held[k] > want+slack || held[k] < want-slack {
			return fmt.Sprintf("%s is scheduled as %s, the kernel holds %s", k, resource.Format(k, want), resource.Format(k, held[k]))
		}
	}
	want := said[resource.Memory] + limit.MemoryMargin(said[resource.Memory])
	if top > want+2*grainBytes || top < want-2*grainBytes {
		return fmt.Sprintf("memory.max is %d, where %d of memory and the margin above are %d", top, said[resource.Memory], want)
	}
	return ""
}

// kernel reads the limits of the instance from a host's control group, and memory.max beside them. Those of the network are not in there.
func (tr *trial) kernel(host string) (held resource.Vector, top int64, err error) {
	out, err := tr.f.Host(host).Shell(tr.ctx, "cd /sys/fs/cgroup/system.slice/"+fleet.Unit+" && cat cpu.max memory.high memory.max io.max")
	if err != nil {
		return held, 0, err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < 3 {
		return held, 0, fmt.Errorf("the limits on %s are %q", host, out)
	}
	amount := func(text string) int64 {
		if text == "max" {
			return resource.Unlimited
		}
		n, fault := strconv.ParseInt(text, 10, 64)
		err = errors.Join(err, fault)
		return n
	}
	held = resource.Uniform(resource.Unlimited)
	quota, period, _ := strings.Cut(lines[0], " ")
	if q := amount(quota); q < resource.Unlimited {
		held[resource.CPU] = q * 1000 / max(1, amount(period))
	}
	held[resource.Memory], top = amount(lines[1]), amount(lines[2])
	keys := map[string]resource.Kind{"rbps": resource.ReadBytes, "wbps": resource.WriteBytes, "riops": resource.ReadIOPS, "wiops": resource.WriteIOPS}
	for _, disk := range lines[3:] { // 254:0 rbps=max wbps=4194304 riops=max wiops=max
		for _, field := range strings.Fields(disk)[1:] {
			key, value, _ := strings.Cut(field, "=")
			if k, known := keys[key]; known {
				held[k] = min(held[k], amount(value))
			}
		}
	}
	return held, top, err
}
