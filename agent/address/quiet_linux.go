package address

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/durable"
)

// quietSettings keep an address on the loopback from being seen on the link: with arp_ignore=1 the interface answers only for addresses
// of its own, with arp_announce=2 it never names another one as the sender of its questions. IPv6 needs neither: the kernel advertises an address
// only on the interface that has it.
var quietSettings = [...]struct{ name, value string }{{"arp_ignore", "1"}, {"arp_announce", "2"}}

// quiet keeps the settings of an interface while any address is held silently, and puts back what was there after the
// last. It remembers both in a file, so that a restart of the agent does not take its own settings for the host's.
type quiet struct {
	iface string
	path  string
}

// quietState is the file's content.
type quietState struct {
	Was     map[string]string `json:"was"`     // setting → value before
	Holding []netip.Addr      `json:"holding"` // sorted
}

func newQuiet(iface, runDir string) *quiet {
	return &quiet{iface: iface, path: filepath.Join(runDir, "quiet-"+strings.ReplaceAll(iface, "/", "-")+".json")}
}

func (q *quiet) add(addr netip.Addr) error {
	if addr.Is6() {
		return nil
	}
	state, err := q.load()
	if err != nil {
		return err
	}
	for _, s := range quietSettings {
		if _, ok := state.Was[s.name]; ok {
			continue
		}
		if state.Was[s.name], err = readSysctl(q.iface, s.name); err != nil {
			return err
		}
	}
	if !slices.Contains(state.Holding, addr) {
		state.Holding = append(state.Holding, addr)
		slices.SortFunc(state.Holding, netip.Addr.Compare)
	}
	// Remembered before anything is changed.
	if err := q.save(state); err != nil {
		return err
	}
	for _, s := range quietSettings {
		// A host that is stricter already stays so.
		if state.Was[s.name] >= s.value {
			continue
		}
		if err := writeSysctl(q.iface, s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

func (q *quiet) remove(addr netip.Addr) error {
	if addr.Is6() {
		return nil
	}
	state, err := q.load()
	if err != nil {
		return err
	}
	if !slices.Contains(state.Holding, addr) {
		return nil
	}
	state.Holding = slices.DeleteFunc(state.Holding, func(a netip.Addr) bool { return a == addr })
	if len(state.Holding) > 0 {
		return q.save(state)
	}
	for name, value := range state.Was {
		if err := writeSysctl(q.iface, name, value); err != nil {
			return err
		}
	}
	return durable.Remove(durable.OS{}, q.path)
}

func (q *quiet) load() (quietState, error) {
	state := quietState{Was: map[string]string{}}
	data, err := durable.ReadFile(durable.OS{}, q.path, 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, fmt.Errorf("read the settings of %s: %w", q.iface, err)
	}
	if err := json.Unmarshal(data, &state); err != nil || state.Was == nil {
		return state, fmt.Errorf("read the settings of %s: %s is damaged (%w): set net.ipv4.conf.%s.arp_ignore and arp_announce as they should be, then remove the file", q.iface, q.path, err, q.iface)
	}
	return state, nil
}

func (q *quiet) save(state quietState) error {
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode the settings of %s: %w", q.iface, err)
	}
	if err := durable.WriteFile(durable.OS{}, q.path, data, 0o600); err != nil {
		return fmt.Errorf("remember the settings of %s: %w", q.iface, err)
	}
	return nil
}

func sysctlPath(iface, name string) string {
	return filepath.Join("/proc/sys/net/ipv4/conf", iface, name)
}

func readSysctl(iface, name string) (string, error) {
	data, err := os.ReadFile(sysctlPath(iface, name))
	if err != nil {
		return "", fmt.Errorf("read setting %s of %s: %w", name, iface, err)
	}
	return strings.TrimSpace(string(data)), nil
}

func writeSysctl(iface, name, value string) error {
	if err := os.WriteFile(sysctlPath(iface, name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s of %s to %s: %w", name, iface, value, err)
	}
	return nil
}
