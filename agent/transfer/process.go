package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/agent/transfer/tree"
)

// maxStderr is how much of the end of a process's complaints is kept.
const maxStderr = 16 << 10

// outputs are pipes that collect the ends of what a process says.
type outputs struct {
	parts sync.WaitGroup
	pipes []*os.File
}

// collect returns a file for a process to write to, and where its last words are once wait has returned.
func (o *outputs) collect() (*os.File, *[]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	o.pipes = append(o.pipes, w)
	var said []byte
	o.parts.Go(func() {
		defer r.Close()
		buf := make([]byte, 4<<10)
		for {
			n, err := r.Read(buf)
			said = append(said, buf[:n]...)
			said = said[max(0, len(said)-maxStderr):]
			if err != nil {
				return
			}
		}
	})
	return w, &said, nil
}

// wait returns when the processes have closed all their ends.
func (o *outputs) wait() {
	for _, w := range o.pipes {
		_ = w.Close() // the runner has done so, if it was called
	}
	o.parts.Wait()
}

// rsyncServer returns the receiving rsync as the local part of an exchange.
func rsyncServer(r Runner, c Command, log *slog.Logger) (local, error) {
	stdinR, stdinW, err := os.Pipe()
	if err != nil {
		return local{}, err
	}
	stdoutR, stdoutW, err := os.Pipe()
	if err != nil {
		return local{}, errors.Join(err, stdinR.Close(), stdinW.Close())
	}
	run := func(ctx context.Context) (tree.Result, error) {
		defer stdinW.Close()
		var o outputs
		stderr, said, err := o.collect()
		if err != nil {
			return tree.Result{}, errors.Join(err, stdinR.Close(), stdoutW.Close())
		}
		c.Stdin, c.Stdout, c.Stderr = stdinR, stdoutW, stderr
		status, err := r.Run(ctx, c)
		if err != nil {
			_ = stdinR.Close() // it may never have started: then nobody else closes them
			_ = stdoutW.Close()
		}
		o.wait()
		if err == nil {
			err = rsyncEnded(log, status, *said)
		}
		if err != nil && diskFull(c.Write) {
			// rsync tells the source's rsync about it, which may be gone before it can pass it on.
			err = fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
		return tree.Result{}, err
	}
	return local{in: stdinW, out: stdoutR, run: run}, nil
}

// rsyncEnded judges how rsync ended, and logs what is left to the final round.
func rsyncEnded(log *slog.Logger, status int, said []byte) error {
	err := rsyncError(status, said)
	if err == nil && status != 0 {
		log.Info("rsync left something to a later round", "status", status, "said", lastLine(said))
	}
	return err
}

// diskFull reports whether one of the file systems that hold the paths has no room.
func diskFull(paths []string) bool {
	for _, path := range paths {
		var st unix.Statfs_t
		if unix.Statfs(path, &st) == nil && (int64(st.Bavail)*st.Bsize < 1<<20 || st.Files > 0 && st.Ffree == 0) {
			return true
		}
	}
	return false
}

// rsyncClient returns the sending rsync as the local part of an exchange, joined through the socket.
func rsyncClient(r Runner, c Command, socket *shellSocket, log *slog.Logger) local {
	run := func(ctx context.Context) (tree.Result, error) {
		var accepting sync.WaitGroup
		accepting.Go(socket.accept)
		defer accepting.Wait()
		defer socket.end()
		var o outputs
		defer o.wait()
		stdout, stats, err := o.collect()
		if err != nil {
			return tree.Result{}, err
		}
		stderr, said, err := o.collect()
		if err != nil {
			return tree.Result{}, err
		}
		c.Stdout, c.Stderr = stdout, stderr
		status, err := r.Run(ctx, c)
		o.wait()
		if err != nil {
			return tree.Result{}, err
		}
		return rsyncStats(*stats), rsyncEnded(log, status, *said)
	}
	return local{in: shellInput{socket}, out: socket, run: run}
}
