package agent

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// MayPurge returns why this host's records must not be deleted now, one error for each reason; nil if they may. It goes by what lies
// in the data directory, so it asks nobody and works while the agent is down.
func MayPurge(cfg Config) error {
	records, err := fence.Read(durable.OS{}, cfg.FenceDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var reasons []error
	because := func(migration, format string, args ...any) {
		reasons = append(reasons, fmt.Errorf(format+": wait until migration %s has ended, or abort it with `glidepath migration abort %s`", append(args, migration, migration)...))
	}
	known := map[string]bool{}
	for _, r := range records {
		known[r.Migration] = true
		switch r.State {
		case proto.FenceFrozen:
			because(r.Migration, "instance %s is frozen here while it is handed over, and only this host's record says so", r.Instance)
		case proto.FenceStarting:
			because(r.Migration, "instance %s is starting here under a permit", r.Instance)
		case proto.FenceTarget:
			because(r.Migration, "this host is being prepared as the target of instance %s", r.Instance)
		default:
			known[r.Migration] = false
		}
	}
	sent, err := transfer.Outgoing(cfg.path(transferDir))
	for _, migration := range sent {
		if !known[migration] {
			because(migration, "an instance's data are being copied from here")
		}
	}
	return errors.Join(append(reasons, err)...)
}
