package service

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
)

// Host is systemd as the driver needs it: the bus, and what is only done by systemctl.
type Host struct{ *systemd.Bus }

const systemctlTime = 30 * time.Second

// Enable makes a unit start at boot.
func (h Host) Enable(ctx context.Context, unit string) error { return h.systemctl(ctx, "enable", unit) }

// Disable makes a unit not start at boot. One that is another's name or is started by others only stays as it is.
func (h Host) Disable(ctx context.Context, unit string) error {
	return h.systemctl(ctx, "disable", unit)
}

func (h Host) systemctl(ctx context.Context, verb, unit string) error {
	res, err := h.RunTransient(ctx, systemd.RunSpec{
		Unit: "glidepath-" + verb + "-" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".service", Description: "Glidepath: " + verb + " " + unit,
		// Neither reloading nor the links of init scripts matter to what starts at the next boot, and both take seconds.
		Command: []string{"/usr/bin/systemctl", "--quiet", "--no-reload", verb, "--", unit}, User: "root", Timeout: systemctlTime,
		Env: []string{"SYSTEMCTL_SKIP_SYSV=1"}, Writable: []string{"/etc/systemd/system"},
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, unit, err)
	}
	if !res.OK() {
		return fmt.Errorf("%s %s: %s %d: %s", verb, unit, res.Why, res.ExitStatus, strings.TrimSpace(res.Output))
	}
	return nil
}
