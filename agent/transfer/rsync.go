package transfer

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/agent/transfer/tree"
)

// Exit statuses of rsync (its manual, EXIT VALUES) that an early round can live with: the final round finds what was missed.
const (
	rsyncPartial  = 23 // some files could not be transferred: they changed their kind, or shrank, under its hands
	rsyncVanished = 24
)

// rsyncShared are the options that both ends must agree on. See DESIGN.md for why each.
//
//	-l -p -t -g -o -r  links, modes, times, owners (by name: there is no --numeric-ids), directories
//	-H -A -X -S        hard links, ACLs, attributes, sparse files
//	no -D              devices and fifos are left to the round by content; sockets are the service's to make
const rsyncShared = "-lHogtpAXrS"

// rsyncSource returns the arguments of the side that reads root.
func rsyncSource(root, remoteShell string) []string {
	return []string{
		rsyncShared, "--delete", "--inplace", "--no-whole-file", "--filter=-x security.*", "--stats", "--no-human-readable",
		"-e", remoteShell, "--", strings.TrimRight(root, "/") + "/", "target:" + "/", // the target knows better where
	}
}

// rsyncTarget returns the arguments of the side that writes root. They come from nothing that the source said.
func rsyncTarget(root string, policy tree.Policy) []string {
	args := []string{"--server", rsyncShared + "e.iLsfxCIvu", "--delete", "--inplace", "--no-W"}
	if !policy.SetID {
		args = append(args, "--chmod=Fug-s")
	}
	return append(args, ".", root)
}

// rsyncEnv makes rsync's words the same everywhere.
func rsyncEnv() []string { return []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"} }

// rsyncError judges an exit status by what was said on stderr. It returns nil where the round did its part.
func rsyncError(status int, stderr []byte) error {
	if status == 0 || status == rsyncVanished {
		return nil
	}
	// rsync gives the number of the system's error in brackets, and the role of the process that met it.
	if full := regexp.MustCompile(`(?m)\[(?i:receiver|generator)\b.*\((28|122)\)( at |$)`); full.Match(stderr) {
		return fmt.Errorf("%w: rsync: %s", ErrNoSpace, lastLine(stderr))
	}
	if status == rsyncPartial {
		return nil
	}
	return fmt.Errorf("rsync ended with status %d: %s", status, lastLine(stderr))
}

// lastLine returns what rsync complained of first in its last words, without its closing summary.
func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := lines[len(lines)-1]
	if len(lines) > 1 && strings.HasPrefix(last, "rsync error:") {
		last = lines[len(lines)-2]
	}
	return fmt.Sprintf("%.500s", last)
}

// rsyncStats reads the figures of --stats.
func rsyncStats(out []byte) (res tree.Result) {
	figures := map[string]*int64{"Number of files": &res.Files, "Total file size": &res.Total, "Literal data": &res.Changed}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		name, value, found := strings.Cut(s.Text(), ": ")
		if to := figures[name]; found && to != nil {
			digits, _, _ := strings.Cut(value, " ")
			n, err := strconv.ParseInt(digits, 10, 64)
			if err == nil {
				*to = n
			}
		}
	}
	return res
}
