package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// unreported returns the hosts but one whose agents have not told this incarnation what they run, sorted.
func unreported(v *state.View, but string) []string {
	var out []string
	for h := range v.Hosts() {
		if h.Incarnation != v.Fleet().Incarnation && h.Facts.Name != but {
			out = append(out, h.Facts.Name)
		}
	}
	slices.Sort(out)
	return out
}

// elsewhere refuses a decision that gives instances up on a host for good, while others have not reported what they run: tables from a backup don't know what was
// decided after it, and one of those may run an instance by now. That can be asked before the command is decided on, as a host that has
// reported has done so for good.
func (c *call) elsewhere(host string, instances []string, anyway bool) error {
	hosts := unreported(c.view, host)
	if len(hosts) == 0 || len(instances) == 0 {
		return nil
	}
	if anyway {
		c.note = strings.TrimSpace(fmt.Sprintf("although not reported: [%s]; %s", strings.Join(hosts, " "), c.note))
		return nil
	}
	return &v1.Error{
		Code: v1.CodeRefused, Message: fmt.Sprintf("%s may run on %s by what was decided after the backup that the fleet was restored from: what runs there has not been reported", proto.Names(instances), proto.Names(hosts)),
		Remedy: "see that their agents reach a coordinator, and wait; if they are off and stay off, decide it with --unreported",
	}
}
