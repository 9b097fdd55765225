package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/agent/transfer/frame"
	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/proto"
)

// First arguments that make a program a worker, which calls Worker, or rsync's remote shell, which calls Shell.
const (
	WorkerCommand = "sync-worker"
	ShellCommand  = "sync-shell"
)

// What a worker is to do.
const (
	workIndex  = "index"
	workSend   = "send"
	workApply  = "apply"
	workRemove = "remove"
)

// Frames between the agent and its worker, which trust each other.
const (
	frameJob    = 'j' // agent: job
	frameGo     = 'g' // agent: begin to send
	frameResult = 'r' // worker: end; frameReady and frameData before it
)

// job tells a worker what to do.
type job struct {
	Work   string        `msgpack:"w"`
	Root   string        `msgpack:"r"`
	Index  string        `msgpack:"x"` // file that holds the target's index
	Final  bool          `msgpack:"f"`
	Policy tree.Policy   `msgpack:"p"`
	Linger time.Duration `msgpack:"l"` // how long it stays when it has said a good result
}

// Worker is the process that reads or writes an instance's files for a round by content, as root but confined, so that the agent itself needs no
// rights over them. It gets its job on stdin and answers on stdout. An error means that it could not even say what went wrong.
func Worker(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in := frame.NewReader(stdin, maxMessage)
	kind, p, err := in.Next()
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	var j job
	if kind != frameJob {
		return fmt.Errorf("frame %q where the job was expected", kind)
	}
	if err := proto.Unmarshal(p, &j); err != nil {
		return err
	}
	out := &dataWriter{w: stdout}
	res, failed := j.do(ctx, in, out)
	b, err := proto.Marshal(endOf(res, failed))
	if err == nil {
		err = frame.Write(stdout, frameResult, b)
	}
	if err != nil || failed != nil || j.Linger <= 0 { // a failure is known when the worker has ended
		return err
	}
	select {
	case <-time.After(j.Linger):
	case <-ctx.Done():
	}
	return nil
}

func (j job) do(ctx context.Context, in *frame.Reader, out *dataWriter) (tree.Result, error) {
	switch j.Work {
	case workIndex:
		if err := syncTree(j.Root); err != nil {
			return tree.Result{}, err
		}
		return tree.Index(ctx, j.Root, out)
	case workRemove:
		return tree.Result{}, os.RemoveAll(j.Root)
	}
	index, err := os.Open(j.Index)
	if err != nil {
		return tree.Result{}, err
	}
	defer index.Close()
	if err := out.frame(frameReady, nil); err != nil {
		return tree.Result{}, err
	}
	switch j.Work {
	case workSend:
		if kind, _, err := in.Next(); err != nil || kind != frameGo {
			return tree.Result{}, fmt.Errorf("wait for the word to begin: frame %q: %w", kind, err)
		}
		return tree.Send(ctx, tree.SendJob{Root: j.Root, Index: index, Policy: j.Policy, Final: j.Final}, out)
	case workApply:
		moved := func() { _, _ = out.Write([]byte{0}) }
		return tree.Apply(ctx, tree.ApplyJob{Root: j.Root, Index: index, Policy: j.Policy, Moved: moved}, in.Rest())
	}
	return tree.Result{}, fmt.Errorf("unknown work %q", j.Work)
}

// syncTree makes what earlier rounds have written durable. The rounds that follow sync only what they change.
func syncTree(root string) error {
	f, err := os.Open(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync the file system of %s: %w", root, err)
	}
	return nil
}

// dataWriter puts what is written into frames of data. It is safe for concurrent use.
type dataWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (d *dataWriter) frame(kind byte, p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return frame.Write(d.w, kind, p)
}

func (d *dataWriter) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, maxData)
		if err := d.frame(frameData, p[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// workers starts workers.
type workers struct {
	runner  Runner
	program string
}

// local returns a worker as the local part of an exchange. It begins to send when begin is closed. What it says is passed to tee, too, if that is not nil.
func (w workers) local(j job, write []string, tee io.Writer, begin <-chan struct{}) (local, error) {
	b, err := proto.Marshal(j)
	if err != nil {
		return local{}, err
	}
	var complaints outputs
	stdinR, stdinW, inErr := os.Pipe()
	stdoutR, stdoutW, outErr := os.Pipe()
	stderr, complaint, sayErr := complaints.collect()
	if err = errors.Join(inErr, outErr, sayErr); err == nil {
		// Before there is anybody else to write: the exchange passes on the peer's data, and begin may be closed, as soon as
		// this has returned. The pipe holds the job until the worker reads it.
		err = frame.Write(stdinW, frameJob, b)
	}
	if err != nil {
		for _, f := range []*os.File{stdinR, stdinW, stdoutR, stdoutW} {
			_ = f.Close() // one that was not made has nothing to close
		}
		complaints.wait()
		return local{}, err
	}
	out, outW := io.Pipe()
	if tee == nil {
		tee = io.Discard
	}
	result, ready := make(chan tree.Result, 1), make(chan struct{})
	run := func(ctx context.Context) (tree.Result, error) {
		var parts sync.WaitGroup
		var said end
		var sayErr error
		parts.Go(func() {
			defer stdoutR.Close()
			isReady := sync.OnceFunc(func() { close(ready) })
			said, sayErr = fromWorker(stdoutR, io.MultiWriter(tee, outW), isReady)
			isReady() // or never will be
			if sayErr == nil && said.Cause == "" {
				result <- said.Result
			}
			outW.CloseWithError(sayErr)
		})
		if begin != nil {
			parts.Go(func() {
				select {
				case <-begin:
					_ = frame.Write(stdinW, frameGo) // one that has died says so by itself
				case <-ctx.Done():
					_ = stdinW.Close() // which ends it; until it is killed would take longer
				}
			})
		}
		c := Command{
			Name: "sync-" + j.Work, Path: w.program, Args: []string{WorkerCommand}, Env: os.Environ(), Stdin: stdinR, Stdout: stdoutW, Stderr: stderr, Write: write,
		}
		status, err := w.runner.Run(ctx, c)
		complaints.wait()
		if err == nil && status != 0 {
			err = fmt.Errorf("%s ended with status %d: %s", c.Name, status, lastLine(*complaint))
		}
		if err != nil {
			// It may never have started: then nobody else closes its ends.
			_ = stdinR.Close()
			_ = stdoutW.Close()
		}
		parts.Wait()
		_ = stdinW.Close()
		switch {
		case said.Cause != "":
			return said.Result, said.err(j.Work)
		case sayErr == nil: // its word counts, however it ended after that
			return said.Result, nil
		case err != nil:
			return tree.Result{}, err
		}
		return tree.Result{}, sayErr
	}
	l := local{in: stdinW, out: out, run: run, said: result}
	if j.Work != workApply {
		l.in = discard{}
	}
	if j.Work == workSend || j.Work == workApply {
		l.ready = ready
	}
	return l, nil
}

// fromWorker passes on what a worker says until it says its result, and calls ready when it says that it is.
func fromWorker(r io.Reader, to io.Writer, ready func()) (end, error) {
	in := frame.NewReader(r, frame.Max)
	var lost error // nobody listens any more; what the worker says of itself still counts
	for {
		kind, p, err := in.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the worker ended without a result")
			}
			return end{}, err
		}
		switch kind {
		case frameReady:
			ready()
		case frameData:
			if lost == nil {
				_, lost = to.Write(p)
			}
		case frameResult:
			var e end
			err := proto.Unmarshal(p, &e)
			return e, errors.Join(err, lost)
		default:
			return end{}, fmt.Errorf("frame %q from the worker", kind)
		}
	}
}

// discard hears what nobody needs: signs of life.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }
