package systemd

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	godbus "github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestUnitReadsWhatTheBusAnswers(t *testing.T) {
	got := unitOf(map[string]any{
		"Id": "redis-server.service", "LoadState": "loaded", "ActiveState": "active", "SubState": "running",
		"FragmentPath": "/lib/systemd/system/redis-server.service", "DropInPaths": []string{"/etc/a.conf"},
		"ControlGroup": "/system.slice/redis-server.service", "MainPID": uint32(41), "User": "redis", "Group": "redis",
		"ExecStart":   [][]any{{"/usr/bin/redis-server", []string{"redis-server", "/etc/redis.conf"}, false}},
		"TriggeredBy": []string{"redis.socket"}, "ExecMainStatus": int32(3), "InvocationID": []byte{0xab, 0x01},
		"NRestarts": uint32(7), // not ours
	})
	want := Unit{
		Name: "redis-server.service", LoadState: "loaded", ActiveState: "active", SubState: "running",
		FragmentPath: "/lib/systemd/system/redis-server.service", DropInPaths: []string{"/etc/a.conf"},
		ControlGroup: "/system.slice/redis-server.service", MainPID: 41, User: "redis", Group: "redis",
		ExecStart: [][]string{{"/usr/bin/redis-server", "/etc/redis.conf"}}, TriggeredBy: []string{"redis.socket"},
		ExitStatus: 3, InvocationID: "ab01",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestCompanionsAreAllThatBelongsToTheUnit(t *testing.T) {
	got := companions(Unit{
		Name: "web@blue.service", TriggeredBy: []string{"web.socket", "web.timer"}, Triggers: []string{"web@blue.service"},
		ConsistsOf: []string{"web-log.service", "web.socket"},
	})
	if want := []string{"web-log.service", "web.socket", "web.timer", "web@.service"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTemplateOfAnInstance(t *testing.T) {
	for name, want := range map[string]string{
		"web@blue.service": "web@.service", "web@a.b.service": "web@.service", "web.service": "", "web@.service": "", "web@x": "",
	} {
		if got := (Unit{Name: name}).Template(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestRunSpecIsRefusedWithoutAUserOrAnAbsolutePath(t *testing.T) {
	good := RunSpec{Unit: "x.service", Command: []string{"/bin/true"}, User: "nobody"}
	if err := good.valid(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*RunSpec){
		".service": func(s *RunSpec) { s.Unit = "x" },
		"absolute": func(s *RunSpec) { s.Command = []string{"true"} },
		"user":     func(s *RunSpec) { s.User = "" },
	} {
		s := good
		spoil(&s)
		if err := s.valid(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestACommandKeepsOnlyTheCapabilitiesThatAreNamed(t *testing.T) {
	find := func(s RunSpec, name string) any {
		t.Helper()
		for _, p := range s.properties() {
			if p.Name == name {
				return p.Value.Value()
			}
		}
		t.Fatalf("no %s", name)
		return nil
	}
	s := RunSpec{Unit: "x.service", Command: []string{"/bin/true"}, User: "root", Timeout: 2 * time.Second, Stdin: os.Stdin}
	if got := find(s, "CapabilityBoundingSet"); got != uint64(0) {
		t.Errorf("capabilities %v, want none", got)
	}
	s.Caps = []uintptr{unix.CAP_CHOWN, unix.CAP_FOWNER}
	if got := find(s, "CapabilityBoundingSet"); got != uint64(1<<unix.CAP_CHOWN|1<<unix.CAP_FOWNER) {
		t.Errorf("capabilities %b", got)
	}
	if got := find(s, "TimeoutStartUSec"); got != uint64(2_000_000) {
		t.Errorf("timeout %v µs", got)
	}
	if got := find(s, "StandardInputFileDescriptor"); got != godbus.UnixFD(0) {
		t.Errorf("stdin %v", got)
	}
}

func TestOutputKeepsTheEnd(t *testing.T) {
	got := readTail(strings.NewReader(strings.Repeat("x", 3*maxOutput) + "the end"))
	if len(got) != maxOutput || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes, ends in %q", len(got), got[max(0, len(got)-10):])
	}
}

func TestATimerReadsWhatTheBusAnswers(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	last, next := now.Add(-2*time.Hour), now.Add(3*time.Hour)
	for _, c := range []struct {
		p    map[string]any
		want Timer
	}{
		{map[string]any{
			"Unit": "backup.service", "TimersCalendar": [][]any{{"OnCalendar", "*-*-* 00/5:00:00", uint64(next.UnixMicro())}, {"OnCalendar", "Sun *-*-* 03:00:00 Europe/Berlin", uint64(0)}},
			"TimersMonotonic": [][]any{}, "NextElapseUSecRealtime": uint64(next.UnixMicro()), "NextElapseUSecMonotonic": uint64(infinity), "LastTriggerUSec": uint64(last.UnixMicro()),
			"RandomizedDelayUSec": uint64(90_000_000),
		}, Timer{Name: "x.timer", Activates: "backup.service", Calendar: []string{"*-*-* 00/5:00:00", "Sun *-*-* 03:00:00 Europe/Berlin"}, Delay: 90 * time.Second, Next: next, Last: last}},
		{map[string]any{
			"Unit": "clean.service", "TimersMonotonic": [][]any{{"OnBootUSec", uint64(900_000_000), uint64(0)}, {"OnUnitActiveUSec", uint64(25_200_000_000), uint64(32_400_000_000)}},
			"NextElapseUSecRealtime": uint64(infinity), "NextElapseUSecMonotonic": uint64(32_400_000_000), "LastTriggerUSec": uint64(0),
		}, Timer{Name: "x.timer", Activates: "clean.service", Every: 7 * time.Hour, Next: now.Add(5 * time.Hour)}},
		{map[string]any{"Unit": 7, "TimersCalendar": [][]any{{}, {"OnCalendar", 3}}, "TimersMonotonic": "no"}, Timer{Name: "x.timer"}}, // what is not as it should be is left out
	} {
		got := timerOf("x.timer", c.p, now, 4*time.Hour) // four hours after the boot
		if d := cmp.Diff(c.want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); d != "" {
			t.Error(d)
		}
	}
}
