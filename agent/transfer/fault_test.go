package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/agent/transfer/frame"
	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/proto"
)

// breaking is a connection on which something happens after so many bytes.
type breaking struct {
	net.Conn
	left atomic.Int64
	then func()
}

func (b *breaking) Write(p []byte) (int, error) {
	if left := b.left.Add(-int64(len(p))); left < 0 && left+int64(len(p)) >= 0 {
		b.then()
	}
	return b.Conn.Write(p)
}

// after makes the next connections do something once the source has sent so many bytes.
func (p *pair) after(n int64, then func(net.Conn)) {
	p.wrap = func(c net.Conn) net.Conn {
		b := &breaking{Conn: c, then: func() { then(c) }}
		b.left.Store(n)
		return b
	}
}

func TestARoundThatIsCutAnywhereLeavesNothingAndCanBeRepeated(t *testing.T) {
	for name, cut := range map[string]func(*pair, net.Conn, context.CancelFunc){
		"cancelled at the source": func(_ *pair, _ net.Conn, cancel context.CancelFunc) { cancel() },
		"connection lost":         func(_ *pair, c net.Conn, _ context.CancelFunc) { c.Close() },
		"closed at the target":    func(p *pair, _ net.Conn, _ context.CancelFunc) { p.serving.Go(func() { p.receiver.Close("m-1") }) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			write(t, filepath.Join(p.source, "data"), random(3<<20))
			sh(t, p.source, menagerie)
			for _, kind := range []Kind{Rsync, Blocks, Rsync, Blocks} {
				if err := p.receiver.Open(p.admission); err != nil {
					t.Fatal(err)
				}
				if err := os.RemoveAll(p.target); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				p.after(mathrand.Int64N(3<<20), func(c net.Conn) { cut(p, c, cancel) })
				_, err := p.sender.Round(ctx, p.dial(t.Context(), "host-a"), p.round(kind))
				p.serving.Wait()
				cancel()
				if err == nil || p.served == nil {
					t.Errorf("%s: source: %v, target: %v", kind, err, p.served)
				}
				p.clean()
			}
			p.wrap = nil
			if err := p.receiver.Open(p.admission); err != nil {
				t.Fatal(err)
			}
			p.must(p.round(Rsync))
			p.final()
			p.clean()
		})
	}
}

func TestATransferThatDoesNotMoveIsStalled(t *testing.T) {
	for _, kind := range []Kind{Rsync, Blocks} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPair(t)
			p.sender.env.Stall, p.receiver.env.Stall = 300*time.Millisecond, 300*time.Millisecond
			write(t, filepath.Join(p.source, "data"), random(8<<20))
			// The link goes silent without breaking, in the way of a cable that is pulled.
			p.after(1<<20, func(net.Conn) { <-p.done })
			_, err := p.do(p.round(kind))
			if !errors.Is(err, ErrStalled) || !errors.Is(p.served, ErrStalled) {
				t.Errorf("source: %v; target: %v", err, p.served)
			}
			if f := Fault(err); f.Code != proto.FaultStalled || f.Remedy == "" {
				t.Errorf("fault: %+v", f)
			}
			p.clean()
		})
	}
}

// smallDisk mounts a file system of so many bytes at the target's parent.
func (p *pair) smallDisk(size string) {
	p.t.Helper()
	dir := p.t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		p.t.Skipf("mount a small file system: %v", err)
	}
	p.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			p.t.Error(err)
		}
	})
	p.target = filepath.Join(dir, "target")
	p.admission.Data = []string{p.target}
	if err := p.receiver.Open(p.admission); err != nil {
		p.t.Fatal(err)
	}
}

func TestAFullDiskIsToldAsSuch(t *testing.T) {
	for _, kind := range []Kind{Rsync, Blocks} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPair(t)
			p.smallDisk("2m")
			write(t, filepath.Join(p.source, "data"), random(8<<20))
			_, err := p.do(p.round(kind))
			if !errors.Is(err, ErrNoSpace) || !errors.Is(p.served, ErrNoSpace) {
				t.Errorf("source: %v; target: %v", err, p.served)
			}
			if err := p.receiver.Clean(t.Context(), "m-1", p.admission.Data); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(p.target); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after cleaning: %v", err)
			}
			p.clean()
		})
	}
}

func TestMoreThanWasAdmittedIsRefused(t *testing.T) {
	for _, kind := range []Kind{Rsync, Blocks} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPair(t)
			p.admission.Policy = tree.Policy{MaxBytes: 1 << 20, MaxFiles: 10}
			if err := p.receiver.Open(p.admission); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(p.source, "data"), random(4<<20))
			if _, err := p.do(p.round(kind)); err == nil || p.served == nil {
				t.Errorf("source: %v; target: %v", err, p.served)
			}
			p.clean()
		})
	}
}

func TestTheNewestConnectionWins(t *testing.T) {
	p := newPair(t)
	write(t, filepath.Join(p.source, "data"), random(1<<20))
	r := p.round(Blocks)
	first, err := p.sender.Arm(t.Context(), p.dial(t.Context(), "host-a"), r)
	if err != nil {
		t.Fatal(err)
	}
	p.must(r)
	if _, err := first.Run(); !errors.Is(err, ErrReplaced) {
		t.Errorf("the older round: %v", err)
	}
	p.clean()
}

// slow is a runner that takes long to start workers, or to put them away.
type slow struct {
	Runner
	start, end <-chan struct{} // nil: at once
}

func (s slow) Run(ctx context.Context, c Command) (int, error) {
	working := c.Name == "sync-apply" || c.Name == "sync-send"
	if working && s.start != nil {
		<-s.start
	}
	status, err := s.Runner.Run(ctx, c)
	if working && s.end != nil {
		<-s.end
	}
	return status, err
}

func TestTheSourceDoesNotWaitUntilTheTargetsWorkerIsPutAway(t *testing.T) {
	p := newPair(t)
	release := make(chan struct{})
	p.receiver.env.Runner = slow{Runner: Exec{}, end: release}
	write(t, filepath.Join(p.source, "data"), random(1<<20))
	r := p.round(Blocks)
	r.Final = true
	if _, err := p.sender.Round(t.Context(), p.dial(t.Context(), "host-a"), r); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
		t.Error("the target does not wait for its worker itself")
	default:
	}
	close(release)
	p.serving.Wait()
	if p.served != nil {
		t.Error(p.served)
	}
	p.same()
	p.clean()
}

// finalRound sends some data, and returns when the source knows that they have come; over is closed when the target has nothing more to write.
func (p *pair) finalRound(ctx context.Context) (a *Armed, over <-chan struct{}) {
	p.t.Helper()
	write(p.t, filepath.Join(p.source, "data"), random(1<<20))
	r := p.round(Blocks)
	r.Final = true
	a, err := p.sender.Arm(ctx, p.dial(ctx, "host-a"), r)
	if err != nil {
		p.t.Fatal(err)
	}
	a.Ready(ctx) // so that the target is at it
	p.receiver.mu.Lock()
	for _, s := range p.receiver.busy {
		over = s.done
	}
	p.receiver.mu.Unlock()
	if res, err := a.Run(); err != nil || res.Digest == "" {
		p.t.Fatal(res, err)
	}
	return a, over
}

func TestWhatCameOfARoundIsKnownBeforeItsWorkersArePutAway(t *testing.T) {
	p := newPair(t)
	release := make(chan struct{})
	p.sender.env.Runner = slow{Runner: Exec{}, end: release}
	p.receiver.env.Runner = slow{Runner: Exec{}, end: release}
	a, _ := p.finalRound(t.Context())
	p.same()
	select {
	case <-a.Done():
		t.Error("it is said to be over while its worker is being put away")
	default:
	}
	close(release)
	<-a.Done()
	p.serving.Wait()
	if p.served != nil {
		t.Error(p.served)
	}
	p.clean()
}

// The target starts the instance as soon as all has come, and closes the migration before.
func TestAFinalRoundIsOverAlthoughItsWorkersLinger(t *testing.T) {
	p := newPair(t)
	p.sender.env.Linger, p.receiver.env.Linger = time.Hour, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	a, over := p.finalRound(ctx)
	<-over // the source may know a little earlier
	if err := p.receiver.Close("m-1"); err != nil {
		t.Fatal(err)
	}
	for who, done := range map[string]<-chan struct{}{"source": a.Done(), "target": p.done} {
		select {
		case <-done:
			t.Errorf("the %s's worker does not linger", who)
		default:
		}
	}
	cancel() // as the agents do when they end
	<-a.Done()
	p.serving.Wait()
	if p.served != nil {
		t.Error(p.served)
	}
	p.same()
	p.clean()
}

func TestAFinalRoundThatFailsIsToldAtOnce(t *testing.T) {
	for side, spoil := range map[string]func(*pair){
		"target": func(p *pair) {
			p.admission.Policy = tree.Policy{MaxBytes: 1 << 20}
			if err := p.receiver.Open(p.admission); err != nil {
				p.t.Fatal(err)
			}
		},
		"source": func(p *pair) {
			if err := os.RemoveAll(p.source); err != nil {
				p.t.Fatal(err)
			}
		},
	} {
		t.Run(side, func(t *testing.T) {
			p := newPair(t)
			p.sender.env.Linger, p.receiver.env.Linger = time.Hour, time.Hour
			write(t, filepath.Join(p.source, "data"), random(4<<20))
			spoil(p)
			r := p.round(Blocks)
			r.Final = true
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("its worker lingered"))
			defer cancel()
			_, err := p.sender.Round(ctx, p.dial(ctx, "host-a"), r)
			if p.serving.Wait(); err == nil || ctx.Err() != nil {
				t.Errorf("%v, %v", err, context.Cause(ctx))
			}
			p.clean()
		})
	}
}

func TestARoundIsReadyWhenTheWorkersOfBothSidesAre(t *testing.T) {
	for _, side := range []string{"source", "target"} {
		t.Run(side, func(t *testing.T) {
			p := newPair(t)
			start := make(chan struct{})
			late := slow{Runner: Exec{}, start: start}
			if side == "source" {
				p.sender.env.Runner = late
			} else {
				p.receiver.env.Runner = late
			}
			write(t, filepath.Join(p.source, "data"), random(1<<20))
			a, err := p.sender.Arm(t.Context(), p.dial(t.Context(), "host-a"), p.round(Blocks))
			if err != nil {
				t.Fatal(err)
			}
			ready := make(chan struct{})
			go func() {
				defer close(ready)
				a.Ready(t.Context())
			}()
			select {
			case <-ready:
				t.Errorf("ready before the worker of the %s has started", side)
			case <-time.After(100 * time.Millisecond):
			}
			close(start)
			<-ready
			if _, err := a.Run(); err != nil {
				t.Error(err)
			}
			<-a.Done()
			p.serving.Wait()
			p.same()
		})
	}
}

func TestAnArmedRoundCanBeCancelled(t *testing.T) {
	p := newPair(t)
	write(t, filepath.Join(p.source, "data"), random(1<<20))
	a, err := p.sender.Arm(t.Context(), p.dial(t.Context(), "host-a"), p.round(Blocks))
	if err != nil {
		t.Fatal(err)
	}
	a.Cancel()
	p.serving.Wait()
	if !errors.Is(p.served, ErrGivenUp) {
		t.Errorf("the target was told: %v", p.served)
	}
	p.clean()
}

func TestTheRateHoldsAndCanBeChanged(t *testing.T) {
	p := newPair(t)
	write(t, filepath.Join(p.source, "data"), random(2<<20))
	p.rate = NewRate(16 << 20) // two mebibytes take a second
	res := p.must(p.round(Blocks))
	if res.Took < 850 {
		t.Errorf("2 MiB at 2 MiB/s took %d ms", res.Took)
	}
	if err := os.RemoveAll(p.target); err != nil {
		t.Fatal(err)
	}
	p.rate.SetRate(64 << 10) // would take minutes
	var raised atomic.Bool
	r := p.round(Blocks)
	r.Progress = func(done, _ int64) {
		if done > 32<<10 && raised.CompareAndSwap(false, true) {
			p.rate.SetRate(0)
		}
	}
	if res := p.must(r); res.Took > 20_000 || !raised.Load() {
		t.Errorf("took %d ms, raised: %v", res.Took, raised.Load())
	}
}

func TestACommandWritesOnlyWhereItMay(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, `mkdir in out; ln -s ../out in/link`)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"in/file": 0, "out/file": 1, "in/link/file": 1, "in/../out/file": 1} {
		c := Command{Name: "test", Path: self, Args: []string{"write", filepath.Join(dir, "in") + "/../" + path}, Write: []string{filepath.Join(dir, "in")}}
		if status, err := (Exec{}).Run(t.Context(), c); err != nil || status != want {
			t.Errorf("%s: status %d, %v; want %d", path, status, err, want)
		}
	}
	// This process is as free as before.
	write(t, filepath.Join(dir, "out", "mine"), nil)
}

func TestWhatACommandLeavesBehindIsKilled(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := Command{Name: "test", Path: "sh", Args: []string{"-c", "sleep 1000 & sleep 1000 & exit 3"}, Env: rsyncEnv(), Stdout: w}
	if status, err := (Exec{}).Run(t.Context(), c); err != nil || status != 3 {
		t.Errorf("status %d, %v", status, err)
	}
	// Every copy of the writing end is closed only when all of them are gone.
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
}

// A source that speaks the protocol of connections badly gets an error, and the target goes on.
func TestMalformedConnectionsAreEnded(t *testing.T) {
	h, err := proto.Marshal(hello{Version: protocolVersion, Migration: "m-1", Instance: "cache-1", Incarnation: 1, Fence: 5, Kind: Blocks, Ticket: "t"})
	if err != nil {
		t.Fatal(err)
	}
	good := frame.Append(nil, frameHello, h)
	for name, said := range map[string][]byte{
		"nothing":          nil,
		"half a hello":     good[:len(good)/2],
		"an oversize one":  binary.BigEndian.AppendUint32([]byte{frameHello}, 1<<31),
		"data first":       frame.Append(nil, frameData, []byte("x")),
		"garbage":          []byte("GET / HTTP/1.1\r\n\r\n"),
		"not msgpack":      frame.Append(nil, frameHello, []byte{0xdf, 0xff, 0xff, 0xff, 0xff}),
		"no more":          good,
		"an oversize data": append(append([]byte{}, good...), frameData, 0x7f, 0xff, 0xff, 0xff),
		"an unknown frame": append(append([]byte{}, good...), frame.Append(nil, '?')...),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			conn := p.dial(t.Context(), "host-a")
			go io.Copy(io.Discard, conn)
			if _, err := conn.Write(said); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			p.serving.Wait()
			conn.Close()
			if p.served == nil {
				t.Error("it was served")
			}
			p.clean()
		})
	}
}

func FuzzHello(f *testing.F) {
	h, err := proto.Marshal(hello{Version: protocolVersion, Migration: "m-1", Instance: "cache-1", Kind: Blocks})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil && (!validID(h.Migration) || h.Path < 0) {
			t.Errorf("%+v", h)
		}
	})
}
