// Package tasks finds what runs by schedule on the host, timers of systemd and entries of crontabs, and remembers when timers ran.
package tasks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/glidepath/glidepath/proto"
)

// What is read of crontabs. Users write some of them: nothing in them is trusted, and nothing but schedule, user and a program's name leaves them.
const (
	maxCrontab  = 64 << 10 // bytes of a file
	maxCrontabs = 64       // files of a folder
	maxEntries  = 64       // of a file
	maxLine     = 1000     // bytes, as in cron itself
	maxWord     = 40       // bytes of a program's or a user's name
)

// crontab is a place where crontabs lie, below the root of the file system.
type crontab struct {
	path   string
	folder bool
	short  string // for names: "cron.d", "crontabs"
	user   bool   // its entries name the user; otherwise the file's name is it
	spool  bool   // its files' names are users'
}

// crontabs are those of Debian's cron and of cronie.
var crontabs = []crontab{
	{path: "etc/crontab", short: "crontab", user: true},
	{path: "etc/cron.d", folder: true, short: "cron.d", user: true},
	{path: "var/spool/cron/crontabs", folder: true, short: "crontabs", spool: true},
	{path: "var/spool/cron", folder: true, short: "crontabs", spool: true},
}

// fileName is what a file of /etc/cron.d is called; cron leaves others alone, what editors and packages left behind.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// userName is what a user may be called here.
var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]{0,39}$`)

// readCrontabs returns the entries of the host's crontabs, and what could not be read.
func readCrontabs(root string) (out []proto.Task, unread []string) {
	for _, place := range crontabs {
		path := filepath.Join(root, place.path)
		files, more, err := place.files(path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				unread = append(unread, fmt.Sprintf("/%s: %s", place.path, reason(err)))
			}
			continue
		}
		if more > 0 {
			unread = append(unread, fmt.Sprintf("/%s: it has %d files more than the %d that are read", place.path, more, maxCrontabs))
		}
		for _, name := range files {
			tasks, err := place.read(filepath.Join(path, name), name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				unread = append(unread, fmt.Sprintf("/%s: %s", filepath.Join(place.path, name), reason(err)))
			}
			out = append(out, tasks...)
		}
	}
	return out, unread
}

// reason takes the path out of an error: the line names it already.
func reason(err error) string {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// files returns the names of the files at the place, sorted; "" for the place itself where it is a file.
func (c crontab) files(path string) (names []string, more int, err error) {
	if !c.folder {
		return []string{""}, 0, nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	for {
		some, err := dir.ReadDir(maxCrontabs)
		for _, f := range some {
			switch {
			case !f.Type().IsRegular(), c.spool && !userName.MatchString(f.Name()), !c.spool && !fileName.MatchString(f.Name()):
			case len(names) >= maxCrontabs:
				more++
			default:
				names = append(names, f.Name())
			}
		}
		if errors.Is(err, io.EOF) || more > maxCrontabs {
			slices.Sort(names)
			return names, more, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// read returns the entries of one file. Links, pipes and the like are refused: a user must not have the agent read another file, or wait.
func (c crontab) read(path, name string) ([]proto.Task, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, syscall.ELOOP) {
			return nil, errors.New("it is a symbolic link, which is not followed")
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file")
	case info.Size() > maxCrontab:
		return nil, fmt.Errorf("it has more than %d KiB", maxCrontab>>10)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCrontab+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxCrontab:
		return nil, fmt.Errorf("it has more than %d KiB", maxCrontab>>10)
	}
	return c.parse(b, name)
}

// assigned is a line that sets a variable.
var assigned = regexp.MustCompile(`^[A-Za-z_"'][A-Za-z0-9_"']*\s*=`)

// parse returns the entries of a crontab. A file that is not text is refused, a line that is no entry left out. After a line that sets the
// time zone nothing more is read: cron and cronie do not agree on what it means.
func (c crontab) parse(b []byte, name string) (out []proto.Task, err error) {
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, errors.New("it is no text")
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxCrontab+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#' || len(line) > maxLine:
			continue
		case assigned.MatchString(line):
			if strings.HasPrefix(strings.TrimLeft(line, `"'`), "CRON_TZ") {
				return out, errors.New("entries after CRON_TZ= are left out")
			}
			continue
		}
		t, ok := c.entry(line, name)
		if !ok {
			continue
		}
		if len(out) == maxEntries {
			return out, fmt.Errorf("it has more than the %d entries that are read", maxEntries)
		}
		out = append(out, t)
	}
	return out, lines.Err()
}

// schedules is what a schedule's fields may be made of.
var schedules = regexp.MustCompile(`^[A-Za-z0-9*,/-]{1,60}$`)

// entry reads one line: the schedule, the user where the line names one, and of the command the name of the program.
func (c crontab) entry(line, name string) (proto.Task, bool) {
	words := strings.Fields(strings.TrimPrefix(line, "-")) // SUSE's: do not log
	if len(words) == 0 {
		return proto.Task{}, false
	}
	fields := 5
	if words[0][0] == '@' {
		fields = 1
	}
	user := name
	if c.user {
		fields++
	}
	if len(words) <= fields {
		return proto.Task{}, false
	}
	schedule := words[:fields]
	if c.user {
		user, schedule = words[fields-1], words[:fields-1]
	}
	for _, s := range schedule {
		if !schedules.MatchString(strings.TrimPrefix(s, "@")) {
			return proto.Task{}, false
		}
	}
	if !userName.MatchString(user) || strings.HasPrefix(schedule[0], "@reboot") {
		return proto.Task{}, false
	}
	t := proto.Task{Source: proto.TaskCron, User: user, Command: program(words[fields:]), Schedule: []string{strings.Join(schedule, " ")}}
	t.Name = c.short
	if name != "" {
		t.Name += "/" + name
	}
	t.Name += "/" + t.Command
	return t, true
}

// programWord is a word that can be a program's: its path, from the root or a home, with the name that is told of. No shell makes more of it.
var programWord = regexp.MustCompile(`^(~[a-z0-9_-]*/|\$[A-Za-z_][A-Za-z0-9_]*/|\$\{[A-Za-z_][A-Za-z0-9_]*\}/)?[A-Za-z0-9._+/-]*$`)

// programName is what a program may be called to be told of.
var programName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)

// plainValue is an assignment that ends with its word, whichever shell reads it.
var plainValue = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9._+/:,@=-]*$`)

// program returns the base name of the program that a command runs; "command" where the first word, after variables that it sets, is none. Nothing else
// of a command is told: it may hold secrets.
func program(words []string) string {
	for _, w := range words {
		if plainValue.MatchString(w) {
			continue
		}
		base := w[strings.LastIndexByte(w, '/')+1:]
		if len(base) <= maxWord && programWord.MatchString(w) && programName.MatchString(base) {
			return base
		}
		break
	}
	return "command"
}
