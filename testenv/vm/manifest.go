//go:build linux

package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	manifestName = "manifest.json"
	lockName     = "lock"
)

// manifest is what a fleet writes down of itself, before it makes anything.
type manifest struct {
	Name string
	// BootID is that of the machine: after a reboot only files are left.
	BootID  string
	Created time.Time
	// Detached fleets are left alone by Sweep.
	Detached bool
	// Namespaces are network namespaces by name.
	Namespaces []string
	Processes  []processRecord
	// Nodes and Image are what Open needs.
	Nodes []node
	Image string
}

// processRecord is a process and the node it belongs to.
type processRecord struct {
	processID
	Node string
}

// StateDir returns the folder that holds a folder for each fleet: $GLIDEPATH_VM_STATE if set,
// otherwise glidepath-vm in the folder for temporary files.
func StateDir() string {
	if dir := os.Getenv("GLIDEPATH_VM_STATE"); dir != "" {
		return dir
	}
	return filepath.Join(os.TempDir(), "glidepath-vm")
}

// makeStateDir makes the folder, and refuses one that somebody else could have prepared.
func makeStateDir() (string, error) {
	dir, err := filepath.Abs(StateDir())
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the folder for fleets: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s is not a folder that only this user can write: remove it, or set GLIDEPATH_VM_STATE to another", dir)
	}
	return dir, nil
}

// write replaces the manifest on disk. There is no need to survive a crash of the machine,
// which ends everything that the manifest speaks of.
func (m manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	path := filepath.Join(dir, manifestName)
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

// readManifest returns an error that wraps fs.ErrNotExist if there is none.
func readManifest(dir string) (manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return manifest{}, fmt.Errorf("read %s: %w", filepath.Join(dir, manifestName), err)
	}
	return m, nil
}
