package transfer

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/glidepath/glidepath/agent/transfer/tree"
)

// Admission opens a target for one migration. It comes from a committed prepare-target operation and the host's allow-list; nothing
// that the source says later can widen it.
type Admission struct {
	Migration, Instance string
	Incarnation, Fence  uint64   // of the operation; rounds with a higher fence raise it, those with a lower one are refused
	Source              string   // the host that may send
	Ticket              string   // what it must know, if not ""
	Data, Config        []string // absolute paths, in the order of the instance's file
	Policy              tree.Policy
	Rate                *Rate // of what is received; nil: unlimited
}

func (a *Admission) validate() error {
	if !validID(a.Migration) || a.Source == "" {
		return fmt.Errorf("open a transfer: %q from %q is no migration with a source", a.Migration, a.Source)
	}
	for _, p := range slices.Concat(a.Data, a.Config) {
		if !filepath.IsAbs(p) || filepath.Clean(p) != p || p == "/" {
			return fmt.Errorf("open a transfer for migration %s: %q is not a clean absolute path below the root directory", a.Migration, p)
		}
	}
	return nil
}
