package fence

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// MayRun reports whether the records in dir let a unit run now; if not, why, and what to do about it. It depends on
// nothing but the files, so that it answers while the agent is down. A unit that no record names may run. When the records can't be read
// no unit that asks may: only adopted units ask.
func MayRun(dir, unit string) (bool, string) {
	now, err := Now()
	if err != nil {
		return false, err.Error()
	}
	return MayRunAt(durable.OS{}, dir, unit, now)
}

// MayRunAt is MayRun on a given file system and at a given moment.
func MayRunAt(fsys durable.FS, dir, unit string, now Moment) (bool, string) {
	names, err := fsys.List(dir)
	if err != nil {
		return false, fmt.Sprintf("the ownership records that say whether %s may run here can't be read: %v: mount or restore their directory; if this host no longer belongs to a fleet, remove the unit's drop-in", unit, err)
	}
	var denied string
	for _, name := range names {
		if !isRecord(name) {
			continue
		}
		r, err := read(fsys, filepath.Join(dir, name))
		if err != nil {
			denied = err.Error() // it may be the record of this very unit, unless another one names it
			continue
		}
		if r.State == proto.FenceNone || !slices.Contains(r.Units, unit) {
			continue
		}
		return r.MayRun(now)
	}
	return denied == "", denied
}

// Read returns the records in dir, sorted by instance, and changes nothing there: for commands beside a running agent.
func Read(fsys durable.FS, dir string) ([]Record, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read ownership records: %w", err)
	}
	var out []Record
	for _, name := range names {
		if !isRecord(name) {
			continue
		}
		r, err := read(fsys, filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if r.State != proto.FenceNone {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return strings.Compare(a.Instance, b.Instance) })
	return out, nil
}
