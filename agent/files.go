package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
)

// What lies where in the data directory. may-run and packages rely on the first.
const (
	fenceDir         = "fence"
	pkiDir           = "pki"
	bufferDir        = "buffer"
	driverDir        = "instances"
	transferDir      = "transfer"
	admittedDir      = "admitted"
	documentFile     = "document"
	operationsFile   = "operations"
	tasksFile        = "tasks"
	coordinatorsFile = "coordinators"
)

// maxCoordinators bounds the list of coordinators, in bytes.
const maxCoordinators = 64 << 10

func (c Config) path(name string) string { return filepath.Join(c.DataDir, name) }

// FenceDir returns where the ownership records are.
func (c Config) FenceDir() string { return c.path(fenceDir) }

// keepDir is where data are set aside and retained: beside the agent's own state, which may be removed with it.
func (c Config) keepDir() string { return filepath.Dir(c.DataDir) }

// makeDirs makes the directories that the agent's parts expect.
func (c Config) makeDirs() error {
	dirs := []string{filepath.Join(c.keepDir(), "aside"), filepath.Join(c.keepDir(), "retained")}
	for _, dir := range []string{fenceDir, pkiDir, bufferDir, driverDir, transferDir, admittedDir} {
		dirs = append(dirs, c.path(dir))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	if err := os.MkdirAll(c.RunDir, 0o755); err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	return nil
}

// knownCoordinators returns the coordinators' addresses: those learned last before those of the configuration.
func (c Config) knownCoordinators() ([]string, error) {
	b, err := durable.ReadFile(durable.OS{}, c.path(coordinatorsFile), maxCoordinators)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("known coordinators: %w", err)
	}
	var all []string
	for _, addr := range slices.Concat(strings.Fields(string(b)), c.Coordinators) {
		if config.IsDial(addr) && !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all, nil
}

// learnCoordinators makes the coordinators' addresses durable.
func (c Config) learnCoordinators(addrs []string) error {
	text := strings.Join(addrs, "\n") + "\n"
	if err := durable.WriteFile(durable.OS{}, c.path(coordinatorsFile), []byte(text), 0o600); err != nil {
		return fmt.Errorf("remember the coordinators: %w", err)
	}
	return nil
}

// ErrNotJoined is told by errors.Is of a host that belongs to no fleet yet.
var ErrNotJoined = errors.New("this host has not joined a fleet: run glidepath-agent join --token TOKEN (glidepath token create --role agent makes one)")

// credentials loads who this host is.
func credentials(dir pki.Dir) (*pki.Credentials, error) {
	node, err := dir.LoadNode()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotJoined
	}
	if err != nil {
		return nil, fmt.Errorf("who this host is: %w", err)
	}
	creds, err := node.Credentials()
	if err != nil {
		return nil, fmt.Errorf("who this host is: %w", err)
	}
	return creds, nil
}

// refused is the exit code by which may-run says no.
const refused = 3

// mayRun is the command that a unit's drop-in asks: the small program of the package, or this one where there is none.
func mayRun(self string, cfg Config) []string {
	if small := helper(self, "may-run"); small != self {
		return []string{small, cfg.FenceDir()}
	}
	return ownCommand(self, "may-run", cfg)
}

// helper is a small program of the package, which begins faster than this one, or this one where there is none: the package of another version may be
// on its way in.
func helper(self, name string) string {
	small := filepath.Join(filepath.Dir(self), "../libexec/glidepath", name)
	if st, err := os.Stat(small); err == nil && st.Mode().IsRegular() {
		return small
	}
	return self
}

// asks returns what asks as systemd does before it starts a unit.
func asks(command []string) func(ctx context.Context, unit string) (bool, error) {
	return func(ctx context.Context, unit string) (bool, error) {
		words := append(slices.Clone(command[1:]), unit)
		said, err := exec.CommandContext(ctx, command[0], words...).CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return true, nil
		case errors.As(err, &exit) && exit.ExitCode() == refused:
			return false, nil
		}
		return false, fmt.Errorf("%s %s: %w: %s", command[0], strings.Join(words, " "), err, bytes.TrimSpace(said))
	}
}

// ownCommand is a command of this program that needs no configuration: may-run and guard. It names the directory.
func ownCommand(self, name string, cfg Config) []string {
	if cfg.DataDir == DefaultDataDir {
		return []string{self, name}
	}
	return []string{self, name, "--data-dir", cfg.DataDir}
}
