//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// killWait is how long a killed process is given to be gone; a guest has much memory to free.
const killWait = 20 * time.Second

// Sweep removes everything that is left of fleets whose program ended without Close: processes,
// network namespaces, files. It leaves fleets alone that a program still holds, and detached
// ones. It returns the names of the fleets removed.
func Sweep(ctx context.Context) ([]string, error) {
	return sweepWhere(ctx, isStale)
}

// isStale is for fleets that no program holds.
func isStale(m manifest) bool { return !m.Detached }

// Destroy removes a fleet that no program holds, detached or not.
func Destroy(ctx context.Context, name string) error {
	removed, err := sweepWhere(ctx, func(m manifest) bool { return m.Name == name })
	if err == nil && len(removed) == 0 {
		err = fmt.Errorf("no fleet %q that could be removed: none has this name, or a program still holds it", name)
	}
	return err
}

// FleetInfo is what is known of a fleet that may belong to another program.
type FleetInfo struct {
	Name    string
	Created time.Time
	// Held means that a program is running it; Detached that it was left running on purpose.
	Held, Detached bool
	Guests         []string
	Namespaces     []string
}

// List returns all fleets on this machine by name.
func List(ctx context.Context) ([]FleetInfo, error) {
	state, release, err := lockState(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	var found []FleetInfo
	err = eachFleet(state, func(_ string, m manifest, held bool) error {
		info := FleetInfo{Name: m.Name, Created: m.Created, Held: held, Detached: m.Detached}
		for _, n := range m.Nodes {
			if n.Guest {
				info.Guests = append(info.Guests, n.Name)
			} else {
				info.Namespaces = append(info.Namespaces, n.Name)
			}
		}
		found = append(found, info)
		return nil
	})
	return found, err
}

func sweepWhere(ctx context.Context, chosen func(manifest) bool) ([]string, error) {
	state, release, err := lockState(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return sweepLocked(ctx, state, chosen)
}

func sweepLocked(ctx context.Context, state string, chosen func(manifest) bool) ([]string, error) {
	var removed []string
	err := eachFleet(state, func(dir string, m manifest, held bool) error {
		if held || !chosen(m) {
			return nil
		}
		if err := dismantle(ctx, dir, m); err != nil {
			return fmt.Errorf("remove fleet %s: %w", m.Name, err)
		}
		removed = append(removed, m.Name)
		return nil
	})
	return removed, err
}

// lockState keeps programs from making and removing fleets until release is called.
func lockState(ctx context.Context) (state string, release func(), err error) {
	state, err = makeStateDir()
	if err != nil {
		return "", nil, err
	}
	lock, err := lockFile(ctx, filepath.Join(state, lockName))
	if err != nil {
		return "", nil, err
	}
	return state, func() { lock.Close() }, nil
}

// eachFleet calls visit for every fleet. Those that no program holds stay locked during the call.
func eachFleet(state string, visit func(dir string, m manifest, held bool) error) error {
	entries, err := os.ReadDir(state)
	if err != nil {
		return err
	}
	var faults []error
	for _, entry := range entries {
		if entry.IsDir() {
			faults = append(faults, visitFleet(filepath.Join(state, entry.Name()), visit))
		}
	}
	return errors.Join(faults...)
}

func visitFleet(dir string, visit func(dir string, m manifest, held bool) error) error {
	lock, err := tryLockFile(filepath.Join(dir, lockName))
	held := errors.Is(err, errLocked)
	if err != nil && !held {
		return err
	}
	if lock != nil {
		defer lock.Close()
	}
	m, err := readManifest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		// The program was killed before it made anything else.
		m, err = manifest{Name: filepath.Base(dir)}, nil
	}
	if err != nil {
		return err
	}
	return visit(dir, m, held)
}

// dismantle removes what a manifest speaks of, and the fleet's folder last.
func dismantle(ctx context.Context, dir string, m manifest) error {
	here, err := bootID()
	if err != nil {
		return err
	}
	if m.BootID == here {
		if err := killAll(dir, m.Processes); err != nil {
			return err
		}
		for _, name := range m.Namespaces {
			if err := removeNamespace(ctx, name); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// killAll ends the recorded processes and all that carry the fleet's mark, until there are
// none: one that is being killed may have started another.
func killAll(dir string, recorded []processRecord) error {
	for _, record := range recorded {
		if err := kill(record.processID, killWait); err != nil {
			return err
		}
	}
	for {
		marked, err := processesOf(dir)
		if err != nil {
			return err
		}
		for _, id := range marked {
			if err := kill(id, killWait); err != nil {
				return err
			}
		}
		if len(marked) == 0 {
			return nil
		}
	}
}

func removeNamespace(ctx context.Context, name string) error {
	if _, err := os.Stat(filepath.Join(netnsDir, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := runTool(ctx, nil, "ip", "netns", "delete", name); err != nil {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}
