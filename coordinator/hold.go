package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/internal/durable"
)

// noPurgeFile says, for as long as it is there, why the data folder must not be deleted. The package's scripts look at it.
const noPurgeFile = "no-purge"

// hostsNamed is how many hosts it names.
const hostsNamed = 5

// holdPurge notes whether this is the only coordinator of a fleet that has hosts: with its data the fleet would be lost, and with the last copy of
// the CA's key every backup.
func (c *Coordinator) holdPurge(ctx context.Context) error {
	view, path := c.tables.View(), filepath.Join(c.cfg.DataDir, noPurgeFile)
	last := true
	for other := range view.Coordinators() {
		last = last && other.Name == c.cfg.Name
	}
	var hosts []string
	for h := range view.Hosts() {
		hosts = append(hosts, h.Facts.Name)
	}
	have, err := durable.ReadFile(c.fsys, path, maxSmallFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !last || len(hosts) == 0 {
		if err != nil {
			return nil
		}
		// After a start the tables are those of a while ago.
		limited, cancel := context.WithTimeout(ctx, proposeFor)
		defer cancel()
		if err := c.catchUp(limited, caughtUpFor); err != nil {
			return fmt.Errorf("it is kept that it may be, until it is known: %w", err)
		}
		if c.tables.View() != view {
			return nil // it is looked at again
		}
		return durable.Remove(c.fsys, path)
	}
	named := hosts
	if len(hosts) > hostsNamed {
		named = append(append([]string{}, hosts[:hostsNamed]...), fmt.Sprintf("%d more", len(hosts)-hostsNamed))
	}
	text := fmt.Sprintf("it is the last coordinator of fleet %s, which has hosts: %s", view.Fleet().ID, strings.Join(named, ", "))
	if string(have) == text {
		return nil
	}
	return durable.WriteFile(c.fsys, path, []byte(text), 0o600)
}
