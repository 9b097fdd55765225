package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// unreported returns the hosts whose agents have not told this incarnation what they run, sorted. Those whose reports contradict the tables have.
func unreported(v *state.View) []string {
	var out []string
	for h := range v.Hosts() {
		if h.Incarnation != v.Fleet().Incarnation && len(h.Conflicts) == 0 {
			out = append(out, h.Facts.Name)
		}
	}
	slices.Sort(out)
	return out
}

// elsewhere refuses a decision that gives up what is on a host, while it is not known what runs where: tables from a backup don't know what was decided after it, so
// that the host may own what they don't name, and another one what they say is there. That can be asked before the command is decided on, as a host that has reported has
// done so for good.
func (c *call) elsewhere(host string, instances []string, anyway bool) error {
	for h := range c.view.Hosts() {
		if h.Incarnation == c.view.Fleet().Incarnation {
			continue // what it has told blocks nothing, and may be long past
		}
		for _, conflict := range h.Conflicts {
			if h.Facts.Name != host && slices.Contains(instances, conflict.Instance) {
				return &v1.Error{
					Code: v1.CodeRefused, Message: fmt.Sprintf("%s reports otherwise of instance %s: %s", h.Facts.Name, conflict.Instance, conflict.What),
					Remedy: "see `glidepath host show " + h.Facts.Name + "`; where the agents are right, see docs/operations.md for `glidepathd restore --forget`",
				}
			}
		}
	}
	hosts := unreported(c.view)
	if len(hosts) == 0 || len(instances) == 0 && !slices.Contains(hosts, host) {
		return nil
	}
	if anyway {
		c.note = strings.TrimSpace(fmt.Sprintf("although not reported: [%s]; %s", strings.Join(hosts, " "), c.note))
		return nil
	}
	return &v1.Error{
		Code: v1.CodeRefused, Message: unknownThere(hosts, host, instances),
		Remedy: "see that their agents reach a coordinator, and wait; if they are off and stay off, and nothing of it runs on a host that joined since, decide it with --unreported",
	}
}

// unknownThere says what may be where since the backup.
func unknownThere(hosts []string, host string, instances []string) string {
	what := "what runs there may be more than the tables know"
	if len(instances) > 0 {
		what = proto.Names(instances) + " may run elsewhere than on " + host
	}
	return fmt.Sprintf("what runs on %s has not been reported since the fleet was restored: by what was decided after the backup %s", proto.Names(hosts), what)
}
