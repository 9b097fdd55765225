//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
	"github.com/glidepath/glidepath/testenv/vm"
)

// documents counts what was pushed.
type documents struct{ revision uint64 }

func benchSpec(i int) proto.InstanceSpec {
	spec := proto.InstanceSpec{
		Name: instanceName(i), Driver: "service", Host: "host-a", Class: proto.Standard, Mode: proto.Observe, Type: "bench",
		Service: &proto.ServiceSpec{Unit: unitName(i), Data: []string{fmt.Sprintf("/var/lib/bench/%02d", i)}},
	}
	if i < agentLimited {
		spec.Mode = proto.Enforce
	}
	return spec
}

// allocation grants so many thousandths of a core, and limits all else that can be.
func allocation(cpu int64) resource.Vector {
	return resource.Vector{
		resource.CPU: cpu, resource.Memory: 64 << 20, resource.ReadIOPS: 2000, resource.WriteIOPS: 1000,
		resource.ReadBytes: 64 << 20, resource.WriteBytes: 32 << 20, resource.NetTx: 50_000_000, resource.NetRx: 40_000_000,
	}
}

// next returns the next document of all instances: the first one's CPU differs from that of the document before.
func (d *documents) next() (doc proto.Document, cpu int64) {
	d.revision++
	now := timeline.Of(time.Now())
	doc = proto.Document{Host: "host-a", Version: proto.DocumentVersion{Incarnation: 1, Revision: d.revision}, IssuedAt: now}
	least, most := allocation(100), allocation(1000)
	span := timeline.Span{Start: now.Add(-time.Hour), End: now.Add(time.Hour)}
	for i := range agentInstances {
		granted := allocation(200)
		if i == 0 {
			cpu = 200 + 100*int64(d.revision%2) + int64(d.revision%50)
			granted = allocation(cpu)
		}
		steps := timeline.Profile{{Span: span, Amount: granted}}
		doc.Instances = append(doc.Instances, proto.InstanceSchedule{
			Instance: instanceName(i), Spec: benchSpec(i), Fence: 1, Schedule: steps, Promised: steps,
			Floor: least, Safe: least, Max: most, Limited: i < agentLimited,
		})
	}
	return doc, cpu
}

// push sends the next document, and returns the thousandths of a core that the first instance gets by it.
func (s *site) push(ctx context.Context) (int64, error) {
	doc, cpu := s.script.next()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stored, err := rpc.Call[proto.DocumentVersion](ctx, s.home, proto.MethodDocument, doc)
	if err == nil && stored != doc.Version {
		err = fmt.Errorf("the agent has revision %d", stored.Revision)
	}
	if err != nil {
		return 0, fmt.Errorf("push document %d: %w", doc.Version.Revision, err)
	}
	return cpu, nil
}

// watchScript prints a file's line whenever it is another one, and looks each few milliseconds. It starts no process.
const watchScript = `exec {never}<> <(:)
last=
while true; do
	read -r line <"$1"
	[[ $line == "$last" ]] || echo "$line"
	last=$line
	read -r -t 0.003 -u "$never"
done`

// watch follows the first instance's quota in the kernel.
type watch struct {
	stop    context.CancelFunc
	process *vm.RemoteProcess
	out     *io.PipeReader
	lines   chan seenLine
	done    chan struct{}
}

// seenLine is a line and when it arrived on this machine: somewhat later than the kernel had it, so what is measured with it is never too short.
type seenLine struct {
	text string
	at   time.Time
}

func (s *site) watch(ctx context.Context) (*watch, error) {
	ctx, stop := context.WithCancel(ctx)
	out, in := io.Pipe()
	file := "/sys/fs/cgroup/system.slice/" + unitName(0) + "/cpu.max"
	process, err := s.guest.Start(ctx, vm.Command{Argv: []string{"bash", "-c", watchScript, "watch", file}, Stdout: in})
	if err != nil {
		stop()
		return nil, err
	}
	w := &watch{stop: stop, process: process, out: out, lines: make(chan seenLine, 16), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case w.lines <- seenLine{lines.Text(), time.Now()}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w, nil
}

// await waits for a line, and returns when it was there.
func (w *watch) await(ctx context.Context, text string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		select {
		case l := <-w.lines:
			if l.text == text {
				return l.at, nil
			}
		case <-w.done:
			return time.Time{}, errors.New("the kernel's limit can't be watched any more: the watching script has ended")
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the kernel has not got the limit %q: %w", text, context.Cause(ctx))
		}
	}
}

// close ends the watching; that it was killed for that is no error.
func (w *watch) close() error {
	w.stop()
	_ = w.process.Wait()
	err := w.out.Close()
	<-w.done
	return err
}
