//go:build linux

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/testenv/vm/guestd"
)

// Command is a command to run in a guest.
type Command = guestd.Command

// ExitError says that a command in a guest ended with another code than 0.
type ExitError = guestd.ExitError

// RemoteProcess is a command that runs in a guest.
type RemoteProcess = guestd.Process

// dialTimeout bounds one attempt to reach a guest that may be off.
const dialTimeout = 5 * time.Second

// dialControl connects to the control server in the guest.
func (g *Guest) dialControl(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	_, guest := g.node.controlAddrs()
	var conn net.Conn
	err := inNamespace(g.fleet.net.switchNamespace(), func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(guest.Addr(), guestd.Port).String())
		return err
	})
	return conn, err
}

// Exec runs a program in the guest as root and returns its stdout. If it fails, the error is
// an *ExitError with its stderr. When ctx ends, it is killed with all that it started.
func (g *Guest) Exec(ctx context.Context, argv ...string) (string, error) {
	return g.output(ctx, Command{Argv: argv})
}

// Shell is Exec of a script for bash, which stops at the first command that fails.
func (g *Guest) Shell(ctx context.Context, script string) (string, error) {
	return g.output(ctx, Command{Argv: []string{"bash", "-euo", "pipefail", "-c", script}})
}

func (g *Guest) output(ctx context.Context, command Command) (string, error) {
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	err := g.Run(ctx, command)
	var exit *ExitError
	if errors.As(err, &exit) {
		exit.Stderr = lastLines(errOut.String(), 30)
	}
	return out.String(), err
}

// Run runs a command in the guest with the streams that it names, and waits for its end.
func (g *Guest) Run(ctx context.Context, command Command) error {
	if err := g.client.Run(ctx, command); err != nil {
		return g.wrap(err)
	}
	return nil
}

// Start starts a command in the guest; its output is delivered as it comes. The caller must Wait.
// The command is killed when ctx ends, and is lost when the guest's state is loaded.
func (g *Guest) Start(ctx context.Context, command Command) (*RemoteProcess, error) {
	process, err := g.client.Start(ctx, command)
	if err != nil {
		return nil, g.wrap(err)
	}
	return process, nil
}

// Spawn starts a command that runs on in the guest by itself, with its output appended to the
// file log there, and returns its process identifier.
func (g *Guest) Spawn(ctx context.Context, log string, argv ...string) (int, error) {
	pid, err := g.client.Spawn(ctx, Command{Argv: argv}, log)
	if err != nil {
		return 0, g.wrap(err)
	}
	return pid, nil
}

// WriteFile makes or replaces a file in the guest, owned by root, and its parent folders.
func (g *Guest) WriteFile(ctx context.Context, name string, mode fs.FileMode, content []byte) error {
	return g.upload(ctx, name, mode, bytes.NewReader(content))
}

func (g *Guest) upload(ctx context.Context, name string, mode fs.FileMode, content io.Reader) error {
	if err := g.client.WriteFile(ctx, name, mode, content); err != nil {
		return g.wrap(fmt.Errorf("write %s: %w", name, err))
	}
	return nil
}

// ReadFile returns a file of the guest.
func (g *Guest) ReadFile(ctx context.Context, name string) ([]byte, error) {
	var content bytes.Buffer
	if err := g.client.ReadFile(ctx, name, &content); err != nil {
		return nil, g.wrap(fmt.Errorf("read %s: %w", name, err))
	}
	return content.Bytes(), nil
}

// CopyTo copies a file of this machine to the file remote in the guest, or the contents of a
// folder into the folder remote, which is made if need be.
func (g *Guest) CopyTo(ctx context.Context, local, remote string) error {
	info, err := os.Stat(local)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		file, err := os.Open(local)
		if err != nil {
			return err
		}
		defer file.Close()
		return g.upload(ctx, remote, info.Mode(), file)
	}
	if _, err := g.Exec(ctx, "mkdir", "-p", remote); err != nil {
		return err
	}
	pack := exec.CommandContext(ctx, "tar", "--create", "--directory="+local, ".")
	archive, err := pack.StdoutPipe()
	if err != nil {
		return err
	}
	if err := pack.Start(); err != nil {
		return err
	}
	failed := g.Run(ctx, Command{Argv: []string{"tar", "--extract", "--no-same-owner", "--directory=" + remote}, Stdin: archive})
	archive.Close() // so that tar ends if the guest did not read to the end
	if err := pack.Wait(); err != nil && failed == nil {
		failed = fmt.Errorf("pack %s: %w", local, err)
	}
	return failed
}

// CopyFrom copies a file of the guest to the file local, or the contents of a folder into the
// folder local, which is made if need be.
func (g *Guest) CopyFrom(ctx context.Context, remote, local string) error {
	if _, err := g.Exec(ctx, "test", "-d", remote); err != nil {
		var exit *ExitError
		if !errors.As(err, &exit) {
			return err
		}
		return g.download(ctx, remote, local)
	}
	if err := os.MkdirAll(local, 0o755); err != nil {
		return err
	}
	unpack := exec.CommandContext(ctx, "tar", "--extract", "--no-same-owner", "--directory="+local)
	archive, err := unpack.StdinPipe()
	if err != nil {
		return err
	}
	if err := unpack.Start(); err != nil {
		return err
	}
	failed := g.Run(ctx, Command{Argv: []string{"tar", "--create", "--directory=" + remote, "."}, Stdout: archive})
	archive.Close()
	return errors.Join(failed, unpack.Wait())
}

func (g *Guest) download(ctx context.Context, remote, local string) error {
	file, err := os.Create(local)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := g.client.ReadFile(ctx, remote, file); err != nil {
		return g.wrap(fmt.Errorf("read %s: %w", remote, err))
	}
	return file.Close()
}

// InstallDebs installs .deb files of this machine with dpkg, all at once. What they depend on must be
// in the image.
func (g *Guest) InstallDebs(ctx context.Context, debs ...string) error {
	const folder = "/var/cache/glidepath-vm"
	script := []string{"DEBIAN_FRONTEND=noninteractive dpkg --install"}
	for _, deb := range debs {
		remote := path.Join(folder, filepath.Base(deb))
		if err := g.CopyTo(ctx, deb, remote); err != nil {
			return err
		}
		script = append(script, "'"+strings.ReplaceAll(remote, "'", `'\''`)+"'")
	}
	output, err := g.Shell(ctx, strings.Join(script, " ")+" 2>&1; rm -r "+folder)
	if err != nil {
		return fmt.Errorf("install packages: %w: %s", err, lastLines(output, 30))
	}
	return nil
}

// hostsFile lets guests resolve the names of the fleet.
func (f *Fleet) hostsFile() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "127.0.0.1 localhost\n::1 localhost")
	for _, n := range f.net.nodes {
		fmt.Fprintln(&b, n.Addr.Addr(), n.Name)
	}
	return b.Bytes()
}
