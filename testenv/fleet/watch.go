//go:build linux

package fleet

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/testenv/vm"
)

// probeScript prints a Sample several times a second. It starts no process, which costs much in an emulated guest.
//
//go:embed probe.sh
var probeScript string

// Watch observes from outside where Redis runs, what the kernel grants it there, and who answers for its address. It goes
// on while hosts are cut off, killed and rebooted.
type Watch struct {
	stop  context.CancelFunc
	group errgroup.Group

	address *AddressWatch

	mu     sync.Mutex
	hosts  map[string]*side
	faults []string
}

// Watch begins to observe. The caller must Close it.
func (f *Fleet) Watch(ctx context.Context) (*Watch, error) {
	address, err := f.WatchAddress(ctx, FloatingAddr())
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &Watch{stop: stop, hosts: map[string]*side{}, address: address}
	for _, g := range f.Hosts() {
		w.hosts[g.Name()] = &side{}
	}
	for _, g := range f.Hosts() {
		w.group.Go(func() error { w.follow(ctx, g); return nil })
	}
	return w, nil
}

// Close ends it, and returns an error if asking for the address did not work.
func (w *Watch) Close() error {
	w.stop()
	return errors.Join(w.group.Wait(), w.address.Close())
}

// follow reads the samples of a host, and begins again whenever the host was away.
func (w *Watch) follow(ctx context.Context, g *vm.Guest) {
	for ctx.Err() == nil {
		out, in := io.Pipe()
		process, err := g.Start(ctx, vm.Command{Argv: []string{"bash", "-c", probeScript, "probe", Unit}, Stdout: in})
		if err == nil {
			w.group.Go(func() error {
				// The pipe ends with the command, and the command with the guest.
				in.CloseWithError(errors.Join(process.Wait(), io.EOF))
				return nil
			})
			w.read(g.Name(), out)
		}
		out.Close()
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// read takes the samples of one run of the script.
func (w *Watch) read(host string, out io.Reader) {
	w.mu.Lock()
	w.hosts[host].restart()
	w.mu.Unlock()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s, err := parseSample(lines.Text())
		w.mu.Lock()
		if err != nil {
			w.faults = append(w.faults, "watching "+host+": "+err.Error())
		} else {
			w.hosts[host].add(s, time.Now())
			if text := twoRun(w.hosts); text != "" {
				w.faults = append(w.faults, text)
			}
		}
		w.mu.Unlock()
	}
}

// Samples returns what was seen of a host from a time on.
func (w *Watch) Samples(host string, from time.Time) []Sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.hosts[host].samples
	i, _ := slices.BinarySearchFunc(all, from, func(s Sample, t time.Time) int { return s.At.Compare(t) })
	return slices.Clone(all[i:])
}

// Last returns the latest sample of a host, and whether it is younger than two seconds.
func (w *Watch) Last(host string) (Sample, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.hosts[host].samples
	if len(all) == 0 {
		return Sample{}, false
	}
	last := all[len(all)-1]
	return last, time.Since(last.At) < 2*time.Second
}

// Serving returns the hosts on which Redis runs now.
func (w *Watch) Serving() []string {
	var out []string
	for _, host := range []string{HostA, HostB} {
		if s, fresh := w.Last(host); fresh && s.Processes > 0 {
			out = append(out, host)
		}
	}
	return out
}

// Answerer returns the hardware address that last answered for the floating address within two seconds, or "".
func (w *Watch) Answerer() string { return w.address.Answerer() }

// Faults returns each time that two sides were seen at once.
func (w *Watch) Faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(w.address.Faults(), w.faults...)
}
