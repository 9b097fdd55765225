package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
)

const packageQueryTime = 20 * time.Second

// packageDatabases are the files, below the root, that a package manager writes whenever what it has installed changes.
var packageDatabases = []string{
	"var/lib/dpkg/status",
	"var/lib/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite-wal", "var/lib/rpm/Packages",
	"usr/lib/sysimage/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
}

// packages remembers which packages files are from: a plan and its move ask the same within moments, and a package manager takes seconds to
// answer on a small host.
type packages struct {
	mu    sync.Mutex
	known map[string]origin // by path
}

// origin is what was answered about a file, as long as neither it nor the package manager's database is another.
type origin struct{ stamp, name, version string }

// stamp tells one state of a file and of the package databases from another. It is empty where that can't be told.
func stamp(root, path string) string {
	var b strings.Builder
	add := func(path string) bool {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok {
			fmt.Fprintln(&b, path, st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim)
		}
		return ok
	}
	if !add(path) {
		return ""
	}
	found := false
	for _, database := range packageDatabases {
		found = add(filepath.Join(root, database)) || found
	}
	if !found {
		return ""
	}
	return b.String()
}

// packageOf returns the package that a file belongs to and its version, by whatever package manager the host has. A file of no package
// has neither.
func (d *Driver) packageOf(ctx context.Context, path string) (name, version string, err error) {
	now := stamp(d.Root, path) // before it is asked: what changes meanwhile makes the answer one for once
	d.packages.mu.Lock()
	o := d.packages.known[path]
	d.packages.mu.Unlock()
	if now != "" && o.stamp == now {
		return o.name, o.version, nil
	}
	if name, version, err = d.askPackage(ctx, path); err == nil && now != "" {
		d.packages.mu.Lock()
		d.packages.known[path] = origin{now, name, version}
		d.packages.mu.Unlock()
	}
	return name, version, err
}

// askDpkg prints the name and the version of the package that the first of the given paths belongs to, and ends with 1 where there is none. It is one
// script because a unit takes a second to start on a small host.
const askDpkg = `for path; do
	owner=$(/usr/bin/dpkg-query -S "$path" 2>&1)
	case $? in
	0) ;;
	1) continue ;;
	*) echo "$owner"; exit 2 ;;
	esac
	owner=${owner%%: *}
	name=${owner%%,*} # of several packages that share it
	printf '%s ' "$name"
	exec /usr/bin/dpkg-query -W -f '${Version}' "$name"
done
exit 1
`

// askPackage asks the package manager.
func (d *Driver) askPackage(ctx context.Context, path string) (name, version string, err error) {
	var command []string
	switch {
	case exists(filepath.Join(d.Root, "usr/bin/dpkg-query")):
		// Before /bin and /lib became links to /usr, packages listed their files without it, and some still do.
		command = []string{"/bin/sh", "-c", askDpkg, "sh", path, strings.TrimPrefix(path, "/usr"), "/usr" + path}
	case exists(filepath.Join(d.Root, "usr/bin/rpm")):
		command = []string{"/usr/bin/rpm", "-qf", "--qf", "%{NAME} %{VERSION}-%{RELEASE}", path}
	default:
		return "", "", nil
	}
	out, ok, err := d.query(ctx, command...)
	if err != nil || !ok {
		return "", "", err
	}
	name, version, _ = strings.Cut(strings.TrimSpace(out), " ")
	return name, version, nil
}

// query asks the package manager, as nobody.
func (d *Driver) query(ctx context.Context, command ...string) (out string, ok bool, err error) {
	res, err := d.Systemd.RunTransient(ctx, systemd.RunSpec{
		Unit: "glidepath-query-" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".service", Description: "Glidepath: ask which package a program is from",
		Command: literal(command), User: "nobody", NoNetwork: true, Timeout: packageQueryTime,
	})
	if err != nil {
		return "", false, fmt.Errorf("ask the package manager: %w", err)
	}
	// Both package managers end with 1 for a file that no package owns.
	if !res.OK() && (res.Why != "exit-code" || res.ExitStatus != 1) {
		return "", false, fmt.Errorf("ask the package manager: %s ended with %s %d: %s", command[0], res.Why, res.ExitStatus, strings.TrimSpace(res.Output))
	}
	return res.Output, res.OK(), nil
}

// literal keeps systemd from putting variables into a command's arguments.
func literal(command []string) []string {
	out := make([]string, len(command))
	for i, arg := range command {
		out[i] = strings.ReplaceAll(arg, "$", "$$")
	}
	return out
}
