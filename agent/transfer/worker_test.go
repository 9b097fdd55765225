package transfer

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/glidepath/glidepath/agent/transfer/frame"
	"github.com/glidepath/glidepath/proto"
)

// listener is a worker that only keeps what it is told.
type listener struct{ told []byte }

func (l *listener) Run(_ context.Context, c Command) (int, error) {
	b := make([]byte, 64<<10)
	n, err := c.Stdin.Read(b)
	l.told = b[:n]
	if err != nil {
		return -1, err
	}
	result, err := proto.Marshal(end{})
	if err != nil {
		return -1, err
	}
	err = frame.Write(c.Stdout, frameResult, result)
	c.CloseFiles()
	return 0, err
}

func TestAWorkerIsToldItsJobBeforeAnythingElse(t *testing.T) {
	begun := make(chan struct{})
	close(begun)
	for name, c := range map[string]struct {
		work  string
		begin chan struct{}
	}{
		"the peer's data are there first":        {workApply, nil},
		"the word to begin has been given first": {workSend, begun},
	} {
		t.Run(name, func(t *testing.T) {
			var l listener
			p, err := workers{runner: &l}.local(job{Work: c.work, Root: "/srv/data"}, nil, nil, c.begin)
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, p.out)
			if _, err := p.in.Write([]byte("data")); err != nil {
				t.Fatal(err)
			}
			if _, err := p.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(l.told) == 0 || l.told[0] != frameJob {
				t.Errorf("told %q", l.told)
			}
		})
	}
}

func TestAWorkerThatEndsWithoutAResultSaysWhy(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho what a job >&2; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w := workers{runner: Exec{Unconfined: true}, program: program}
	p, err := w.local(job{Work: workIndex}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, p.out)
	if _, err := p.run(t.Context()); err == nil || err.Error() != "sync-index ended with status 1: what a job" {
		t.Error(err)
	}
}
