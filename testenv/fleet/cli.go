//go:build linux

package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// ExitError is a call of the command line that ended with another code than 0.
type ExitError struct {
	Args   []string
	Code   int
	Stderr string
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("glidepath %s: exit code %d: %s", strings.Join(e.Args, " "), e.Code, strings.TrimSpace(e.Stderr))
}

// Command returns the command `glidepath` with args, for the caller to set its streams and run it.
func (f *Fleet) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := f.Clients().Command(ctx, append([]string{f.program("glidepath")}, args...)...)
	cmd.Env = append(cmd.Env, f.environment()...)
	return cmd
}

// environment is what makes the command line speak to this fleet.
func (f *Fleet) environment() []string {
	var addresses []string
	for _, c := range f.coordinators {
		addresses = append(addresses, c.API())
	}
	return []string{
		"GLIDEPATH_ADDR=" + strings.Join(addresses, ","), "GLIDEPATH_TOKEN=" + f.admin.token, "GLIDEPATH_CA_PIN=" + f.admin.pin,
	}
}

// CLI runs `glidepath` with args and returns what it printed. If its exit code is not 0, the error is an *ExitError.
func (f *Fleet) CLI(ctx context.Context, args ...string) (string, error) {
	return f.CLIIn(ctx, "", args...)
}

// CLIIn is CLI in a folder, which names of files are looked up in.
func (f *Fleet) CLIIn(ctx context.Context, folder string, args ...string) (string, error) {
	var out, errOut bytes.Buffer
	cmd := f.Command(ctx, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, &out, &errOut
	err := cmd.Run()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() > 0 {
		return out.String(), &ExitError{Args: args, Code: cmd.ProcessState.ExitCode(), Stderr: errOut.String()}
	}
	if err != nil {
		return out.String(), fmt.Errorf("glidepath %s: %w", strings.Join(args, " "), err)
	}
	return out.String(), nil
}

// Ask runs `glidepath` with args and --json, and decodes what it printed.
func Ask[T any](ctx context.Context, f *Fleet, args ...string) (T, error) {
	var v T
	out, err := f.CLI(ctx, append(args, "--json")...)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return v, fmt.Errorf("glidepath %s --json: %w in %.300s", strings.Join(args, " "), err, out)
	}
	return v, nil
}

// Status returns how the fleet is.
func (f *Fleet) Status(ctx context.Context) (v1.Status, error) {
	return Ask[v1.Status](ctx, f, "status")
}

// Instance returns an instance.
func (f *Fleet) Instance(ctx context.Context, name string) (v1.InstanceDetail, error) {
	return Ask[v1.InstanceDetail](ctx, f, "instance", "show", name)
}

// Migration returns a migration with its plan and all that it did.
func (f *Fleet) Migration(ctx context.Context, id string) (proto.Migration, error) {
	return Ask[proto.Migration](ctx, f, "migration", "show", id)
}

// joinToken makes a token for an agent or a coordinator of a name to join with.
func (f *Fleet) joinToken(ctx context.Context, role, name string) (string, error) {
	t, err := Ask[v1.TokenReply](ctx, f, "token", "create", "--role", role, "--name", name)
	return t.Secret, err
}

// writeEnvironment writes a file for a shell, and returns its path.
func (f *Fleet) writeEnvironment() (string, error) {
	var text strings.Builder
	for _, line := range f.environment() {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(&text, "export %s=%s\n", name, quote(value))
	}
	// The coordinators are only to be reached from within the fleet's network.
	fmt.Fprintf(&text, "glidepath() { nsenter --net=/run/netns/%s -- %s \"$@\"; }\n", f.Clients().NetNS(), quote(f.program("glidepath")))
	path := filepath.Join(f.VM.Dir(), "environment")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("leave the fleet running: %w", err)
	}
	return path, nil
}
