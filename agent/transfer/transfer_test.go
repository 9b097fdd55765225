package transfer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/proto"
)

// The test's own binary stands in for the agent where a subcommand of it is run.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case WorkerCommand:
			exit(Worker(context.Background(), os.Stdin, os.Stdout))
		case ShellCommand:
			exit(Shell(context.Background(), os.Args[2], os.Stdin, os.Stdout))
		case SpawnCommand:
			exit(Spawn(context.Background(), os.Stdin, Exec{}))
		case "write":
			exit(os.WriteFile(os.Args[2], []byte("written"), 0o600))
		}
	}
	goleak.VerifyTestMain(m)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// pair is two agents as far as transfers go, with a connection between them for every round.
type pair struct {
	t              testing.TB
	source, target string // data directories
	sender         *Sender
	receiver       *Receiver
	admission      Admission
	rate           *Rate
	serving        sync.WaitGroup
	mu             sync.Mutex
	served         error         // of the round that ended last
	done           chan struct{} // closed when it has been served
	state          string
	fence          uint64
	wrap           func(net.Conn) net.Conn // around the source's end
}

func newPair(t testing.TB) *pair { return newPairOf(t, Exec{}) }

func newPairOf(t testing.TB, runner Runner) *pair {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("owners and attributes of others can be set by root only")
	}
	if _, err := exec.LookPath("rsync"); err != nil {
		t.Skipf("%v: install rsync", err)
	}
	dir := t.TempDir()
	p := &pair{t: t, source: filepath.Join(dir, "source"), target: filepath.Join(dir, "target"), state: filepath.Join(dir, "state"), fence: 5}
	if err := os.Mkdir(p.source, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := Environment{
		Runner: runner, Program: func() string { return self }, Rsync: "rsync",
		StateDir: p.state, Log: slog.New(slog.DiscardHandler), Stall: 20 * time.Second,
	}
	if p.sender, err = NewSender(env); err != nil {
		t.Fatal(err)
	}
	if p.receiver, err = NewReceiver(env); err != nil {
		t.Fatal(err)
	}
	p.admission = Admission{
		Migration: "m-1", Instance: "cache-1", Incarnation: 1, Fence: 5, Source: "host-a", Ticket: "t",
		Data: []string{p.target}, Config: []string{p.target + ".conf"},
	}
	if err := p.receiver.Open(p.admission); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) round(kind Kind) Round {
	return Round{
		Migration: "m-1", Instance: "cache-1", Incarnation: 1, Fence: p.fence, Number: 1, Kind: kind, Root: p.source, Ticket: "t", Rate: p.rate,
	}
}

// dial returns the source's end of a new connection, whose other end is served.
func (p *pair) dial(ctx context.Context, peer string) net.Conn {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	p.done = done
	p.serving.Go(func() {
		err := p.receiver.Serve(ctx, other, peer)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.served = err
		close(done)
	})
	if p.wrap != nil {
		return p.wrap(conn)
	}
	return conn
}

func (p *pair) do(r Round) (proto.RoundResult, error) {
	p.t.Helper()
	res, err := p.sender.Round(p.t.Context(), p.dial(p.t.Context(), "host-a"), r)
	p.serving.Wait()
	return res, err
}

func (p *pair) must(r Round) proto.RoundResult {
	p.t.Helper()
	res, err := p.do(r)
	if err != nil || p.served != nil {
		p.t.Fatalf("source: %v\ntarget: %v", err, p.served)
	}
	return res
}

// final is a final round that has to leave equal trees.
func (p *pair) final() proto.RoundResult {
	p.t.Helper()
	p.fence = 6 // freezing has raised it
	r := p.round(Blocks)
	r.Final = true
	res := p.must(r)
	p.same()
	return res
}

func (p *pair) same() {
	p.t.Helper()
	script := `cd "$1" && find . ! -type s -printf '%p %y %m %u %g %T@ %l %n\n' | sort && find . -type f -print0 | sort -z | xargs -0r cksum &&
		{ getfattr -Rhd -m - -e hex . && getfacl -Rpn .; } | awk 'BEGIN{RS="";ORS="\0"}{print}' | sort -z`
	var out [2][]byte
	for i, root := range []string{p.source, p.target} {
		cmd := exec.Command("sh", "-c", script, "sh", root)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		var err error
		if out[i], err = cmd.CombinedOutput(); err != nil {
			p.t.Fatalf("describe %s: %v\n%s", root, err, out[i])
		}
	}
	if !bytes.Equal(out[0], out[1]) {
		p.t.Fatalf("the trees differ\n--- source\n%s\n--- target\n%s", out[0], out[1])
	}
}

// clean checks that nothing is left but data and what the next round needs.
func (p *pair) clean() {
	p.t.Helper()
	if err := errors.Join(p.receiver.Close("m-1"), p.sender.Forget("m-1")); err != nil {
		p.t.Error(err)
	}
	err := filepath.WalkDir(p.state, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			p.t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		p.t.Error(err)
	}
	// Every process of a round has one of these in its arguments.
	out, _ := exec.Command("pgrep", "-f", filepath.Dir(p.source)).Output()
	if len(out) > 0 {
		p.t.Errorf("processes were left behind: %s", out)
	}
}

func sh(t testing.TB, dir, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

const menagerie = `
	head -c 300000 /dev/urandom > plain; : > empty; truncate -s 5M sparse; printf x | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none
	ln plain 'hard link'; mkdir -p sub/deep; ln plain sub/deep/linked; ln -s nowhere dangling; ln -s /etc/passwd absolute; mkfifo -m 640 fifo
	chown nobody:daemon plain; chown 54321:54322 empty; chmod 2750 sub; chmod 1777 sub/deep
	setfattr -n user.note -v 'some value' plain; setfacl -m u:daemon:rwx,g:bin:r-x empty; setfacl -d -m u:daemon:rwx sub
	printf bad > "$(printf 'b\377\376ad')"; printf d > ./-dash; touch -h -d '1969-12-31 23:59:58.5 UTC' dangling
`

func TestAMoveInRounds(t *testing.T) { moveInRounds(newPair(t)) }

func TestAMoveInRoundsByAnotherProcess(t *testing.T) {
	s, _ := newSpawner(t)
	moveInRounds(newPairOf(t, s))
}

func moveInRounds(p *pair) {
	t := p.t
	sh(t, p.source, menagerie)
	early := p.must(p.round(Rsync))
	if early.Total < 300_000 || early.Changed < 300_000 || early.Bytes < 300_000 || early.Files < 10 {
		t.Errorf("early round: %+v", early)
	}
	sh(t, p.source, `printf more >> plain; rm sub/deep/linked`)
	p.must(p.round(Rsync))
	p.must(p.round(Index))
	sh(t, p.source, `printf X | dd of=plain bs=1 seek=100 conv=notrunc status=none; printf new > new`)
	res := p.final()
	if res.Digest == "" || res.Changed > 2*tree.BlockSize {
		t.Errorf("final round: %+v", res)
	}
	p.clean()
}

func TestAFinalRoundNeedsNoEarlierOne(t *testing.T) {
	p := newPair(t)
	sh(t, p.source, menagerie)
	p.final()
	p.final()
	p.clean()
}

func TestARewriteOfTheSameSizeInTheSameSecondIsFound(t *testing.T) {
	p := newPair(t)
	path := filepath.Join(p.source, "data")
	stamp := time.Unix(1_000_000_000, 0)
	for range 3 {
		for range 2 {
			write(t, path, random(200_000))
			if err := os.Chtimes(path, stamp, stamp); err != nil {
				t.Fatal(err)
			}
			p.must(p.round(Rsync))
		}
		p.must(p.round(Index))
		write(t, path, random(200_000))
		if err := os.Chtimes(path, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		p.final()
	}
}

func TestAConfigFileAndDirectoryAreCopied(t *testing.T) {
	p := newPair(t)
	file := p.source + ".conf"
	for _, content := range []string{"one", "two"} {
		write(t, file, []byte(content))
		r := p.round(Config)
		r.Root, r.Final = file, true
		p.must(r)
		if got, err := os.ReadFile(p.target + ".conf"); err != nil || string(got) != content {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestAWriterAtWorkDoesNotDisturbEarlyRounds(t *testing.T) {
	p := newPair(t)
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := filepath.Join(p.source, fmt.Sprintf("f%d", i%50))
			switch i % 7 {
			case 0:
				_ = os.Remove(name)
			case 1:
				_ = os.Truncate(name, 1000)
			default:
				_ = os.WriteFile(name, random(1+i*997%300_000), 0o600)
			}
		}
	})
	for range 3 {
		p.must(p.round(Rsync))
		p.must(p.round(Blocks)) // by content, live
	}
	p.must(p.round(Index))
	close(stop)
	writing.Wait()
	p.final()
	p.clean()
}

func TestSetIDIsStrippedOnTheWay(t *testing.T) {
	p := newPair(t)
	sh(t, p.source, `printf x > suid; chmod 6755 suid; mkdir d; chmod 2755 d`)
	p.must(p.round(Rsync))
	sh(t, p.target, `test "$(stat -c %a suid)" = 755; test "$(stat -c %a d)" = 2755`)
}

func TestRoundsThatWereNotAdmittedAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		peer   string
		change func(*Round)
		want   error
	}{
		"another host":          {"host-c", func(*Round) {}, ErrRefused},
		"another migration":     {"host-a", func(r *Round) { r.Migration = "m-2" }, ErrRefused},
		"another instance":      {"host-a", func(r *Round) { r.Instance = "db-1" }, ErrRefused},
		"no ticket":             {"host-a", func(r *Round) { r.Ticket = "" }, ErrRefused},
		"an older fence":        {"host-a", func(r *Round) { r.Fence = 4 }, ErrStale},
		"an older incarnation":  {"host-a", func(r *Round) { r.Incarnation = 0 }, ErrStale},
		"a path beyond":         {"host-a", func(r *Round) { r.Path = 1 }, ErrRefused},
		"a config path beyond":  {"host-a", func(r *Round) { r.Kind, r.Path = Config, 7 }, ErrRefused},
		"a path before":         {"host-a", func(r *Round) { r.Path = -1 }, ErrProtocol},
		"an unknown kind":       {"host-a", func(r *Round) { r.Kind = "tar" }, ErrProtocol},
		"an instance too long":  {"host-a", func(r *Round) { r.Instance = strings.Repeat("x", 300) }, ErrProtocol},
		"a hello that is large": {"host-a", func(r *Round) { r.Ticket = strings.Repeat("x", maxMessage) }, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			r := p.round(Blocks)
			c.change(&r)
			_, err := p.sender.Round(t.Context(), p.dial(t.Context(), c.peer), r)
			p.serving.Wait()
			if err == nil || !errors.Is(p.served, c.want) {
				t.Errorf("source: %v; target: %v; want %v", err, p.served, c.want)
			}
			if _, err := os.Lstat(p.target); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the target: %v", err)
			}
		})
	}
}
