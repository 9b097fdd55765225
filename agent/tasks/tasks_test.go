package tasks

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// tree makes a file system of paths and contents.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const debians = `# /etc/crontab: system-wide crontab
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

17 *	* * *	root	cd / && run-parts --report /etc/cron.hourly
25 6	* * *	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6	* * 7	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
`

func TestOfCrontabsThereIsScheduleUserAndProgram(t *testing.T) {
	root := tree(t, map[string]string{
		"etc/crontab":                       debians,
		"etc/cron.d/backup":                 "MAILTO=ops\n0 */5 * * * backup PGPASSWORD=hunter2 /usr/bin/pg_dump --password=hunter2 shop\n@reboot root /sbin/never\n",
		"etc/cron.d/backup.dpkg-old":        "1 1 * * * root /bin/old\n",
		"etc/cron.d/.placeholder":           "2 2 * * * root /bin/hidden\n",
		"var/spool/cron/crontabs/alice":     "@daily $HOME/bin/report.sh --token=hunter2\n5 4 * * mon curl https://u:hunter2@example.org\n",
		"var/spool/cron/bob":                "0 3 * * * 'strange thing'\n",
		"var/spool/cron/crontabs/no-a.user": "0 4 * * * x\n",
	})
	got, unread := readCrontabs(root)
	one := func(name, user, command, schedule string) proto.Task {
		return proto.Task{Name: name, Source: proto.TaskCron, User: user, Command: command, Schedule: []string{schedule}}
	}
	want := []proto.Task{
		one("crontab/cd", "root", "cd", "17 * * * *"), one("crontab/test", "root", "test", "25 6 * * *"), one("crontab/test", "root", "test", "47 6 * * 7"),
		one("cron.d/backup/pg_dump", "backup", "pg_dump", "0 */5 * * *"),
		one("crontabs/alice/report.sh", "alice", "report.sh", "@daily"), one("crontabs/alice/curl", "alice", "curl", "5 4 * * mon"),
		one("crontabs/no-a.user/x", "no-a.user", "x", "0 4 * * *"),
		one("crontabs/bob/command", "bob", "command", "0 3 * * *"),
	}
	if d := cmp.Diff(want, got); d != "" || len(unread) > 0 {
		t.Errorf("%v\n%s", unread, d)
	}
}

func TestNothingOfACommandLeavesTheHostButAName(t *testing.T) {
	for command, want := range map[string]string{
		"/usr/bin/backup --key hunter2": "backup", "A=hunter2 B=1 /x/y z": "y", `PW="hunter2 two" run`: "command", "hunter2@example.org": "command",
		"$(hunter2)": "command", "/opt/" + strings.Repeat("hunter2", 10): "command", "`hunter2`": "command", "/": "command", "X=hunter2": "command", "'hunter2 x'": "command",
		`PW=hunter2\ two run`: "command", "PW=(hunter2 two) run": "command", "PW=x%y hunter2": "command", "mail%a/hunter2": "command", ">/tmp/hunter2 x": "command",
		"</etc/hunter2 x": "command", "$(cat</etc/hunter2": "command", `"/opt/hunter2 two"`: "command", "https://u:p@example.org/hunter2": "command", "PW=~/hunter2;two x": "command",
		"A=http://x:1/?b B=c run": "command", "A=a@b.c:1/d,e=f run": "run", "${HOME}/bin/run": "run", "~/bin/run": "run", "~alice/bin/run": "run", "./run": "run", "$RUN": "command",
	} {
		if got := program(strings.Fields(command)); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

func TestCrontabsThatAreNoFilesOrTooLargeAreNotRead(t *testing.T) {
	root := tree(t, map[string]string{
		"etc/shadow":                       "0 3 * * * root:secret\n",
		"etc/cron.d/large":                 strings.Repeat("0 3 * * * root /bin/x\n", 4000),
		"etc/cron.d/binary":                "0 3 * * * root /bin/x\x00\n",
		"etc/cron.d/many":                  strings.Repeat("0 3 * * * root /bin/x\n", 100),
		"etc/cron.d/zone":                  "0 3 * * * root /bin/a\nCRON_TZ=Asia/Tokyo\n0 4 * * * root /bin/b\n",
		"etc/cron.d/zone2":                 "\"CRON_TZ\" = Asia/Tokyo\n0 4 * * * root /bin/b\n",
		"var/spool/cron/crontabs/x":        "bad\n* * * *\n\xff\xff * * * * x\n60000000000000000000000000000000000000000000000000000000000000000000 * * * * x\n-\n0 1 * * * ok\n",
		"var/spool/cron/crontabs/longline": "0 3 * * * " + strings.Repeat("y", 2000) + "\n",
	})
	for _, err := range []error{
		os.Symlink(filepath.Join(root, "etc/shadow"), filepath.Join(root, "etc/cron.d/link")),
		syscall.Mkfifo(filepath.Join(root, "var/spool/cron/crontabs/pipe"), 0o600),
		os.Symlink(filepath.Join(root, "etc/shadow"), filepath.Join(root, "etc/crontab")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, unread := readCrontabs(root)
	var names []string
	for _, g := range got {
		if len(names) == 0 || names[len(names)-1] != g.Name {
			names = append(names, g.Name)
		}
	}
	if d := cmp.Diff([]string{"cron.d/many/x", "cron.d/zone/a", "crontabs/x/ok"}, names); d != "" || len(got) != maxEntries+2 {
		t.Errorf("%d entries: %s", len(got), d)
	}
	want := []string{
		"/etc/crontab: it is a symbolic link, which is not followed", "/etc/cron.d/binary: it is no text", "/etc/cron.d/large: it has more than 64 KiB",
		"/etc/cron.d/many: it has more than the 64 entries that are read", "/etc/cron.d/zone: entries after CRON_TZ= are left out", "/etc/cron.d/zone2: entries after CRON_TZ= are left out",
	}
	if d := cmp.Diff(want, unread); d != "" {
		t.Error(d)
	}
}

// manager is a systemd with timers.
type manager struct {
	mu     sync.Mutex
	timers []systemd.Timer
	more   int
	err    error
}

func (m *manager) Timers(context.Context, int) ([]systemd.Timer, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.timers), m.more, m.err
}

// ran makes the first timer run at a time.
func (m *manager) ran(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timers[0].Last = at
}

func keeper(t *testing.T, m *manager, root string) *Keeper {
	t.Helper()
	return Open(Config{Timers: m, Root: root, FS: durable.OS{}, File: filepath.Join(root, "tasks"), Log: slog.New(slog.DiscardHandler)})
}

func TestTheKeeperRemembersWhenTimersRan(t *testing.T) {
	root := tree(t, map[string]string{"etc/crontab": debians})
	if err := os.Symlink("../usr/share/zoneinfo/Europe/Berlin", filepath.Join(root, "etc/localtime")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		m := &manager{timers: []systemd.Timer{{Name: "backup.timer", Activates: "backup.service", Calendar: []string{"*-*-* 00/5:00:00"}}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		k := keeper(t, m, root)
		go func() { ended <- k.Run(ctx) }()
		synctest.Wait()
		first := k.Tasks("")
		if first.Tasks.Zone != "Europe/Berlin" || len(first.Tasks.Tasks) != 4 || first.Tasks.Tasks[0].Name != "backup.timer" || first.Tasks.Tasks[3].Name != "crontab/test-2" {
			t.Errorf("%+v", first.Tasks)
		}
		if again := k.Tasks(first.Digest); again.Digest != first.Digest || again.Tasks.Tasks != nil {
			t.Errorf("what the home has is told again: %+v", again)
		}
		time.Sleep(lookEvery)
		synctest.Wait()
		if k.Tasks(first.Digest).Tasks.Tasks != nil {
			t.Error("what has not changed is told again")
		}
		var want []timeline.Time
		for range 3 {
			m.ran(time.Now())
			want = append(want, timeline.Of(time.Now()))
			time.Sleep(2 * lookEvery)
			synctest.Wait()
		}
		if d := cmp.Diff(want, k.Tasks(first.Digest).Tasks.Tasks[0].Runs); d != "" {
			t.Error(d)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// The next life knows them, and forgets those that are more than four weeks old.
		next := keeper(t, m, root)
		next.look(t.Context(), time.Now())
		if d := cmp.Diff(want, next.Tasks("").Tasks.Tasks[0].Runs); d != "" {
			t.Error(d)
		}
		m.ran(began.Add(remember + 15*time.Minute))
		next.look(t.Context(), began.Add(remember+16*time.Minute))
		if got := next.Tasks("").Tasks.Tasks[0].Runs; len(got) != 2 || got[0] != want[2] {
			t.Errorf("after four weeks %v", got)
		}
	})
}

func TestTheKeeperKeepsNoMoreThanItMay(t *testing.T) {
	root := tree(t, nil)
	m := &manager{timers: []systemd.Timer{{Name: "often.timer"}, {Name: "str\u00e4nge.timer"}, {Name: strings.Repeat("x", 300) + ".timer"}}, more: 3}
	for i := range 150 {
		m.timers = append(m.timers, systemd.Timer{Name: "z" + strings.Repeat("z", i) + ".timer"})
	}
	k := keeper(t, m, root)
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for range 200 {
		now = now.Add(10 * time.Minute)
		m.ran(now)
		k.look(t.Context(), now)
	}
	got := k.Tasks("").Tasks
	if err := got.Valid(); err != nil || len(got.Tasks) != proto.MaxTasks || got.More != 3+2+151-proto.MaxTasks {
		t.Errorf("%d tasks and %d more: %v", len(got.Tasks), got.More, err)
	}
	if runs := got.Tasks[0].Runs; len(runs) != proto.MaxRuns || runs[len(runs)-1] != timeline.Of(now) {
		t.Errorf("%d runs", len(runs))
	}
}

func TestUsersCrontabsCrowdOutNothingOfTheHosts(t *testing.T) {
	files := map[string]string{"etc/crontab": debians}
	for _, user := range []string{"alice", "bob", "carol"} {
		files["var/spool/cron/crontabs/"+user] = strings.Repeat("0 3 * * * /bin/x\n", maxEntries)
	}
	k := keeper(t, &manager{timers: []systemd.Timer{{Name: "zz.timer"}}}, tree(t, files))
	k.look(t.Context(), time.Now())
	got := k.Tasks("").Tasks
	if len(got.Tasks) != proto.MaxTasks || got.More != 1+3+3*maxEntries-proto.MaxTasks || got.Tasks[len(got.Tasks)-1].Name != "zz.timer" || got.Tasks[0].Name != "crontab/cd" {
		t.Errorf("%d tasks and %d more: %+v", len(got.Tasks), got.More, got.Tasks)
	}
}

func TestAClockThatWasAheadDoesNotStopTheMemory(t *testing.T) {
	root, now := tree(t, nil), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	m := &manager{timers: []systemd.Timer{{Name: "backup.timer"}}}
	k := keeper(t, m, root)
	var want []timeline.Time
	for _, clock := range []time.Time{now, now.AddDate(0, 0, 20), now.Add(time.Hour), now.Add(2 * time.Hour)} {
		m.ran(clock)
		k.look(t.Context(), clock.Add(time.Minute))
		if clock.Sub(now) < 24*time.Hour {
			want = append(want, timeline.Of(clock))
		}
	}
	if diff := cmp.Diff(want, k.Tasks("").Tasks.Tasks[0].Runs); diff != "" {
		t.Error(diff)
	}
}

func TestTheZoneIsThatOfTheHostsClock(t *testing.T) {
	link := func(root, target string) string {
		if err := os.Symlink(target, filepath.Join(root, "etc/localtime")); err != nil {
			t.Fatal(err)
		}
		return root
	}
	for name, c := range map[string]struct{ root, want string }{
		"a link":                       {link(tree(t, map[string]string{"etc/timezone": "Asia/Tokyo\n"}), "/usr/share/zoneinfo/Europe/Berlin"), "Europe/Berlin"},
		"a link to something else":     {link(tree(t, map[string]string{"etc/timezone": "Asia/Tokyo\n"}), "/etc/zone"), ""},
		"a copy":                       {tree(t, map[string]string{"etc/localtime": "TZif2", "etc/timezone": "Asia/Tokyo\n"}), "Asia/Tokyo"},
		"a copy of what nobody says":   {tree(t, map[string]string{"etc/localtime": "TZif2"}), ""},
		"a copy of what is too long":   {tree(t, map[string]string{"etc/localtime": "TZif2", "etc/timezone": strings.Repeat("x", maxZone+1)}), ""},
		"nothing, which is UTC's zone": {tree(t, map[string]string{"etc/timezone": "Asia/Tokyo\n"}), ""},
	} {
		if got := zone(c.root); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWithoutSystemdsAnswerThereAreCrontabsAndAWord(t *testing.T) {
	k := keeper(t, &manager{err: errors.New("connect: no\nbus")}, tree(t, map[string]string{"etc/crontab": debians}))
	k.look(t.Context(), time.Now())
	got := k.Tasks("").Tasks
	if len(got.Tasks) != 3 || len(got.Unread) != 1 || got.Unread[0] != "timers: connect: no?bus" {
		t.Errorf("%+v", got)
	}
}

func TestADamagedMemoryIsBegunAnew(t *testing.T) {
	root := tree(t, map[string]string{"tasks": `{"x.timer": "y"`})
	m := &manager{timers: []systemd.Timer{{Name: "x.timer", Last: time.Now().Add(-time.Minute)}}}
	k := keeper(t, m, root)
	k.look(t.Context(), time.Now())
	if got := k.Tasks("").Tasks.Tasks; len(got) != 1 || len(got[0].Runs) != 1 {
		t.Errorf("%+v", got)
	}
}

// FuzzCrontab: whatever users write, what is told is valid, and nothing of it is longer than a name.
func FuzzCrontab(f *testing.F) {
	f.Add([]byte(debians))
	f.Add([]byte("0 */5 * * * backup PW=x /usr/bin/pg_dump\n@daily root y\n-*/5 * * * * z\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range []crontab{crontabs[0], crontabs[2]} {
			found, _ := c.parse(b, "user")
			h := proto.HostTasks{Tasks: found}
			tidy(&h)
			if err := h.Valid(); err != nil {
				t.Fatal(err)
			}
			for _, x := range h.Tasks {
				if len(x.Command) > maxWord || len(x.User) > maxWord {
					t.Fatalf("%+v", x)
				}
			}
		}
	})
}
