//go:build linux

package fleet

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
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

// silentFor is how long a probe may say nothing before it is begun anew: the connection to a guest that was reset breaks late, if at all.
const silentFor = 10 * time.Second

// errSilent is why a probe was ended that said nothing.
var errSilent = errors.New("it said nothing")

// probe starts the script on a host. It writes to out until ctx ends.
type probe func(ctx context.Context, out io.Writer) (interface{ Wait() error }, error)

// Watch observes from outside where Redis runs, what the kernel grants it there, and who answers for its address. It reaches the hosts on links
// of their own, so that it goes on while they are cut off; of a host that is reset it loses sight until that is up again.
type Watch struct {
	stop  context.CancelFunc
	group errgroup.Group
	began time.Time

	address *AddressWatch

	mu     sync.Mutex
	hosts  map[string]*side
	faults []string
	broken []error // probes that could not be started, or ended
}

// Watch begins to observe. The caller must Close it.
func (f *Fleet) Watch(ctx context.Context) (*Watch, error) {
	address, err := f.WatchAddress(ctx, FloatingAddr())
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &Watch{stop: stop, began: time.Now(), hosts: map[string]*side{}, address: address}
	for _, g := range f.Hosts() {
		w.hosts[g.Name()] = &side{}
	}
	for _, g := range f.Hosts() {
		w.group.Go(func() error { w.follow(ctx, g.Name(), probeOf(g)); return nil })
	}
	return w, nil
}

func probeOf(g *vm.Guest) probe {
	return func(ctx context.Context, out io.Writer) (interface{ Wait() error }, error) {
		return g.Start(ctx, vm.Command{Argv: []string{"bash", "-c", probeScript, "probe", Unit}, Stdout: out})
	}
}

// Close ends it, and returns an error if asking for the address did not work, or a probe of a host that was not away could not be started or ended.
func (w *Watch) Close() error {
	w.stop()
	err := errors.Join(w.group.Wait(), w.address.Close())
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(err, errors.Join(w.broken...))
}

// follow reads the samples of a host, and begins again whenever the host was away.
func (w *Watch) follow(ctx context.Context, host string, start probe) {
	for ctx.Err() == nil {
		began := time.Now()
		if err := w.once(ctx, host, start); err != nil && ctx.Err() == nil {
			w.lost(host, began, err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// once reads what one run of the script says, until that ends or says nothing any more. The latter is no error: Unseen tells how long it lasted.
func (w *Watch) once(ctx context.Context, host string, start probe) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out, in := io.Pipe()
	process, err := start(ctx, in)
	if err != nil {
		return fmt.Errorf("its probe can't be started: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		// The pipe ends with the command, and the command with the guest.
		err := process.Wait()
		in.CloseWithError(io.EOF)
		ended <- err
	}()
	silence := time.AfterFunc(silentFor, func() { stop(errSilent) })
	defer silence.Stop()
	w.read(host, out, func() { silence.Reset(silentFor) })
	out.Close()
	stop(nil)
	err = <-ended
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return nil
	case err == nil:
		return errors.New("its probe ended with exit code 0")
	}
	return fmt.Errorf("its probe ended: %w", err)
}

// lost takes that a probe, which was begun at a time, ended by itself.
func (w *Watch) lost(host string, began time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.hosts[host]
	if n := len(one.samples); n > 0 && one.samples[n-1].At.After(began) {
		began = one.samples[n-1].At
	}
	if !one.wasAway(began) && len(w.broken) < 10 {
		w.broken = append(w.broken, fmt.Errorf("watching %s: at %s %w", host, time.Now().Format(clockFormat), err))
	}
}

// read takes the samples of one run of the script, and tells of each.
func (w *Watch) read(host string, out io.Reader, heard func()) {
	w.mu.Lock()
	w.hosts[host].restart()
	w.mu.Unlock()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		heard()
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

// Away says that a host is going to be off, until back is called: that nothing is seen of it then is expected.
func (w *Watch) Away(host string) (back func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := &absence{from: time.Now()}
	w.hosts[host].away = append(w.hosts[host].away, gone)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		gone.to = time.Now()
	}
}

// Unseen returns the longest time in which nothing was seen of a host, but for when it was away: from when watching began until now.
func (w *Watch) Unseen(host string) Gap {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[host].unseen(w.began, time.Now())
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

// off reports whether a host is away now.
func (w *Watch) off(host string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := w.hosts[host].away
	return len(gone) > 0 && gone[len(gone)-1].to.IsZero()
}

// Serving returns the hosts on which Redis runs now, and an error if that can't be told, as one that is on was not seen for two seconds.
func (w *Watch) Serving() ([]string, error) {
	var out []string
	for _, host := range []string{HostA, HostB} {
		if w.off(host) {
			continue
		}
		s, fresh := w.Last(host)
		if !fresh {
			return nil, fmt.Errorf("nothing was seen of %s since %s", host, s.At.Format(clockFormat))
		}
		if s.Processes > 0 {
			out = append(out, host)
		}
	}
	return out, nil
}

// Answerer returns the hardware address that last answered for the floating address within two seconds, or "".
func (w *Watch) Answerer() string { return w.address.Answerer() }

// Faults returns each time that two sides were seen at once.
func (w *Watch) Faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(w.address.Faults(), w.faults...)
}
