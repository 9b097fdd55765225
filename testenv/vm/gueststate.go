//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/glidepath/glidepath/testenv/vm/qmp"
)

// fillName is the file that FillDisk makes.
const fillName = ".glidepath-vm-fill"

// Save keeps the guest's whole state, memory and disk, under a tag, in place of what was kept
// under it before. The guest stands still meanwhile. Let no Exec run across it.
func (g *Guest) Save(ctx context.Context, tag string) error {
	return g.snapshot(ctx, "savevm", tag)
}

// Load puts the guest back to a state that was kept, but for its clocks: the wall clock is set to
// the true time, and the monotonic clock goes on from where it was before the load, so that to
// programs in the guest it looks as if they had been suspended. Commands that run through Exec are
// lost.
func (g *Guest) Load(ctx context.Context, tag string) error {
	if err := g.snapshot(ctx, "loadvm", tag); err != nil {
		return err
	}
	if err := g.StepClock(ctx, 0); err != nil {
		return err
	}
	if _, err := g.client.Hello(ctx); err != nil {
		return g.wrap(err)
	}
	return nil
}

func (g *Guest) snapshot(ctx context.Context, verb, tag string) error {
	if err := checkName("state", tag); err != nil {
		return err
	}
	return g.monitor(ctx, func(c *qmp.Client) error {
		var before struct{ Running bool }
		if err := c.Execute(ctx, "query-status", nil, &before); err != nil {
			return err
		}
		answer, err := c.Monitor(ctx, verb+" "+tag)
		if err != nil || answer == "" {
			return err
		}
		err = fmt.Errorf("%s %s: %s", verb, tag, answer)
		if before.Running {
			// QEMU leaves a guest stopped that it could not load.
			err = errors.Join(err, c.Execute(ctx, "cont", nil, nil))
		}
		return err
	})
}

// StepClock sets the guest's wall clock to the true time plus offset, at once. A reboot sets it right.
func (g *Guest) StepClock(ctx context.Context, offset time.Duration) error {
	if err := g.client.SetTime(ctx, time.Now().Add(offset)); err != nil {
		return g.wrap(err)
	}
	return nil
}

// Clock returns the guest's wall clock.
func (g *Guest) Clock(ctx context.Context) (time.Time, error) {
	hello, err := g.client.Hello(ctx)
	if err != nil {
		return time.Time{}, g.wrap(err)
	}
	return time.Unix(0, hello.UnixNano), nil
}

// FillDisk fills the file system of a folder in the guest, but for so many bytes, to the block of 4096. See FreeDisk.
func (g *Guest) FillDisk(ctx context.Context, folder string, leave int64) error {
	if leave < 0 {
		return g.wrap(errors.New("fill the disk: bytes to leave are negative"))
	}
	// fallocate takes up blocks without writing them. What it rounds up to is taken off.
	_, err := g.Exec(ctx, "bash", "-euc", `
		free=$(( $(stat -f -c '%a * %S' "$1") ))
		size=$(( free - $3 - 1048576 ))
		if (( size > 0 )); then fallocate -l "$size" "$1/$2"; fi
		# The metadata of the file took some of it, too: give or take the rest in small steps.
		while free=$(( $(stat -f -c '%a * %S' "$1") )); (( free - $3 >= 4096 )); do
			head -c "$(( free - $3 < 65536 ? free - $3 : 65536 ))" /dev/zero >> "$1/$2" || break
		done
		sync -f "$1"`, "fill", folder, fillName, fmt.Sprint(leave))
	return err
}

// FreeDisk undoes FillDisk.
func (g *Guest) FreeDisk(ctx context.Context, folder string) error {
	_, err := g.Exec(ctx, "rm", "-f", path.Join(folder, fillName))
	return err
}
