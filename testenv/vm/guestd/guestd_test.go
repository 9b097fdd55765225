//go:build linux

package guestd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server on loopback and returns a client of it.
func serve(t *testing.T) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(slog.New(slog.DiscardHandler)).Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &Client{Dial: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	}}
}

func TestRunKeepsStreamsAndExitCodeApart(t *testing.T) {
	client := serve(t)
	var out, errOut bytes.Buffer
	err := client.Run(t.Context(), Command{
		Argv:  []string{"sh", "-c", "cat; echo $WORD >&2; pwd >&2; exit 7"},
		Env:   []string{"WORD=complaint"},
		Dir:   "/",
		Stdin: strings.NewReader("input"), Stdout: &out, Stderr: &errOut,
	})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 7 {
		t.Errorf("got error %v, want exit code 7", err)
	}
	if out.String() != "input" || errOut.String() != "complaint\n/\n" {
		t.Errorf("got stdout %q and stderr %q", out.String(), errOut.String())
	}
}

func TestRunCarriesMoreThanOneFrame(t *testing.T) {
	client := serve(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	var out bytes.Buffer
	err := client.Run(t.Context(), Command{Argv: []string{"cat"}, Dir: "/", Stdin: bytes.NewReader(content), Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), content) {
		t.Errorf("got %d bytes back that differ from the %d sent", out.Len(), len(content))
	}
}

func TestRunReportsACommandThatLeavesItsInputUnread(t *testing.T) {
	client := serve(t)
	err := client.Run(t.Context(), Command{
		Argv: []string{"sh", "-c", "exit 3"}, Dir: "/", Stdin: bytes.NewReader(make([]byte, 8<<20)),
	})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("got error %v, want exit code 3", err)
	}
}

func TestRunReportsAMissingCommand(t *testing.T) {
	err := serve(t).Run(t.Context(), Command{Argv: []string{"/does/not/exist"}, Dir: "/"})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got error %v", err)
	}
}

func TestRunReportsTheSignalThatEndedACommand(t *testing.T) {
	err := serve(t).Run(t.Context(), Command{Argv: []string{"sh", "-c", "kill -9 $$"}, Dir: "/"})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 128+9 {
		t.Errorf("got error %v, want exit code 137", err)
	}
}

func TestRunDoesNotWaitForBackgroundChildren(t *testing.T) {
	start := time.Now()
	err := serve(t).Run(t.Context(), Command{Argv: []string{"sh", "-c", "sleep 30 & exit 0"}, Dir: "/"})
	if err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCancelKillsTheCommandAndItsChildren(t *testing.T) {
	for name, argv := range map[string][]string{
		"idle":        {"sh", "-c", "echo $$; sleep 1000 & sleep 1000"},
		"stuck stdin": {"sh", "-c", "echo $$; exec sleep 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			client := serve(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read, write := io.Pipe()
			command := Command{Argv: argv, Dir: "/", Stdout: write}
			if name == "stuck stdin" {
				command.Stdin = bytes.NewReader(make([]byte, 8<<20))
			}
			process, err := client.Start(ctx, command)
			if err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 32)
			n, err := read.Read(line)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := process.Wait(); !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want canceled", err)
			}
			// The whole process group is gone, but for zombies that init has yet to reap.
			waitFor(t, func() bool { return len(alive(t, pid)) == 0 })
		})
	}
}

func TestSignalReachesTheCommand(t *testing.T) {
	client := serve(t)
	read, write := io.Pipe()
	process, err := client.Start(t.Context(), Command{
		Argv: []string{"sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"}, Dir: "/", Stdout: write,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read.Read(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if err := process.Signal(t.Context(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	var exit *ExitError
	// The signal goes to the sleep, too; the shell's trap decides the code.
	if err := process.Wait(); !errors.As(err, &exit) || exit.Code != 5 {
		t.Errorf("got error %v, want exit code 5", err)
	}
}

func TestSpawnOutlivesItsRequestAndLogs(t *testing.T) {
	client := serve(t)
	log := filepath.Join(t.TempDir(), "log")
	pid, err := client.Spawn(t.Context(), Command{Argv: []string{"sh", "-c", "echo begun; sleep 0.2; echo ended >&2"}, Dir: "/"}, log)
	if err != nil {
		t.Fatal(err)
	}
	if pid <= 0 {
		t.Errorf("got process %d", pid)
	}
	waitFor(t, func() bool {
		content, err := os.ReadFile(log)
		return err == nil && string(content) == "begun\nended\n"
	})
}

func TestFilesComeBackAsTheyWereWritten(t *testing.T) {
	client := serve(t)
	path := filepath.Join(t.TempDir(), "deep", "file")
	content := bytes.Repeat([]byte{0, 1, 2, 3}, 100_000)
	if err := client.WriteFile(t.Context(), path, 0o640, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("got mode %v, want 0640", info.Mode())
	}
	var got bytes.Buffer
	if err := client.ReadFile(t.Context(), path, &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), content) {
		t.Errorf("got %d bytes that differ from the %d written", got.Len(), len(content))
	}
	if err := client.ReadFile(t.Context(), path+"-missing", io.Discard); err == nil {
		t.Error("a missing file was read")
	}
}

func TestBrokenUploadLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the server has stopped
		if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
			t.Errorf("got %q, %v", got, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("the folder holds %v, %v", entries, err)
		}
	})
	broken := io.MultiReader(strings.NewReader("half"), failingReader{})
	if err := serve(t).WriteFile(t.Context(), path, 0o600, broken); err == nil {
		t.Error("half a file was accepted")
	}
}

func TestFramesAboveTheLimitAreRefused(t *testing.T) {
	_, _, err := readFrame(bytes.NewReader([]byte{1, 0xff, 0xff, 0xff, 0xff}))
	if err == nil || !strings.Contains(err.Error(), "above the limit") {
		t.Errorf("got error %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, payload, err := readFrame(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeFrame(&again, kind, payload); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, again.Bytes()) {
			t.Errorf("frame %d %q was written back as %q", kind, payload, again.Bytes())
		}
	})
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// alive lists the processes of a session that are no zombies.
func alive(t *testing.T, session int) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if fields[0] != "Z" && fields[3] == strconv.Itoa(session) {
			found = append(found, path)
		}
	}
	return found
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("did not come true in 20 s")
		}
		<-tick.C
	}
}

func TestBootConfigSurvivesTheKernelCommandLine(t *testing.T) {
	want := BootConfig{
		Name:    "host-a",
		Data:    Interface{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Addr: netip.MustParsePrefix("10.77.0.1/24")},
		Control: Interface{MAC: net.HardwareAddr{2, 0, 0, 0, 1, 1}, Addr: netip.MustParsePrefix("10.78.0.2/30")},
	}
	got, err := ParseBootConfig("console=ttyS0 " + want.CommandLine() + " quiet\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	if _, err := ParseBootConfig("console=ttyS0 glidepath.name=a"); err == nil {
		t.Error("a command line without interfaces was accepted")
	}
}
