package interrupt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// stubborn makes this program one that does not end when its context does.
const stubborn = "GLIDEPATH_TEST_STUBBORN"

func TestMain(m *testing.M) {
	if os.Getenv(stubborn) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := Context(context.Background())
	defer stop()
	fmt.Fprintln(os.Stdout, "begun")
	<-ctx.Done()
	fmt.Fprintln(os.Stdout, "told", errors.Is(context.Cause(ctx), context.Canceled))
	_, _ = io.Copy(io.Discard, os.Stdin) // which has no end
}

func TestTheSecondSignalKillsWhatTheFirstDidNotEnd(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), stubborn+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for _, want := range []string{"begun", "told true"} {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("%q, want %q", lines.Text(), want)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != sig { //nolint:forcetypeassert // Linux
			t.Errorf("%s: it ended with %v", sig, err)
		}
	}
}

func TestAReadEndsWithItsContextAndElseReadsAll(t *testing.T) {
	text, err := io.ReadAll(Reader(t.Context(), io.MultiReader(strings.NewReader("all "), strings.NewReader("of it"))))
	if err != nil || string(text) != "all of it" {
		t.Errorf("%q, %v", text, err)
	}
	ctx, end := context.WithCancelCause(t.Context())
	silent, never := io.Pipe()
	defer never.Close()
	read := make(chan error)
	go func() {
		_, err := io.ReadAll(Reader(ctx, silent))
		read <- err
	}()
	enough := errors.New("enough")
	end(enough)
	if err := <-read; !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
	if _, err := Reader(ctx, strings.NewReader("late")).Read(make([]byte, 4)); !errors.Is(err, enough) {
		t.Errorf("after its end: %v", err)
	}
}
