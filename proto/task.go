package proto

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// TaskSource says what starts a scheduled task.
type TaskSource string

// What starts tasks.
const (
	TaskTimer TaskSource = "timer" // a systemd timer
	TaskCron  TaskSource = "cron"  // an entry of a crontab
)

// Task is something that runs by schedule on a host. Of what it runs there is a name only: command lines may hold secrets, and never leave the host.
type Task struct {
	Name      string          `msgpack:"n" json:"name"`                   // of a timer its unit; of an entry its file and command. Unique on the host
	Source    TaskSource      `msgpack:"s" json:"source"`                 // what starts it
	Activates string          `msgpack:"a" json:"activates,omitzero"`     // the unit that a timer starts
	User      string          `msgpack:"u" json:"user,omitzero"`          // who an entry of a crontab runs as
	Command   string          `msgpack:"c" json:"command,omitzero"`       // base name of the program that an entry runs
	Schedule  []string        `msgpack:"sc" json:"schedule,omitempty"`    // systemd's calendar expressions, or one of cron
	Every     int64           `msgpack:"e" json:"every_ms,omitzero"`      // milliseconds between runs of a timer that counts from its last one; 0: it does not
	Delay     int64           `msgpack:"d" json:"delay_most_ms,omitzero"` // by chance a run comes up to so many milliseconds later
	Next      timeline.Time   `msgpack:"nx" json:"next,omitzero"`         // 0: not known
	Last      timeline.Time   `msgpack:"l" json:"last,omitzero"`          // 0: not known
	Runs      []timeline.Time `msgpack:"r" json:"runs,omitempty"`         // that the agent has seen in the last four weeks, the newest MaxRuns, ascending
}

// HostTasks is what runs by schedule on a host, as its agent found it.
type HostTasks struct {
	Zone   string   `msgpack:"z" json:"zone,omitzero"`    // time zone of the host's clock, like Europe/Berlin; "": not known, UTC is taken
	Tasks  TaskList `msgpack:"t" json:"tasks"`            // sorted by name
	More   int      `msgpack:"m" json:"more,omitzero"`    // that are left out
	Unread []string `msgpack:"x" json:"unread,omitempty"` // what could not be read, and why, in words
}

// TaskList is tasks of a host, at most MaxTasks.
type TaskList []Task

// DecodeMsgpack implements msgpack.CustomDecoder.
func (l *TaskList) DecodeMsgpack(dec *msgpack.Decoder) (err error) {
	*l, err = decodeList[Task](dec, MaxTasks)
	return err
}

// What a host's tasks may be at most.
const (
	MaxTasks    = 128 // on a host
	MaxRuns     = 160 // of a task
	MaxUnread   = 16
	maxTaskText = 256 // bytes
	maxSchedule = 8   // expressions of a task
)

// Valid returns nil for tasks that are within bounds, and that an agent of ours can have reported.
func (h HostTasks) Valid() error {
	if len(h.Tasks) > MaxTasks || h.More < 0 {
		return fmt.Errorf("%d tasks: a host reports at most %d", len(h.Tasks), MaxTasks)
	}
	if len(h.Unread) > MaxUnread || !printable(append([]string{h.Zone}, h.Unread...)...) {
		return errors.New("the time zone, or what could not be read, is no short line of text")
	}
	for i, t := range h.Tasks {
		switch {
		case t.Name == "" || !printable(t.Name, t.Activates, t.User, t.Command) || !printable(t.Schedule...):
			return fmt.Errorf("task %d: its name or schedule is no short line of text", i+1)
		case i > 0 && h.Tasks[i-1].Name >= t.Name:
			return fmt.Errorf("task %q is not in order, or there twice", t.Name)
		case t.Source != TaskTimer && t.Source != TaskCron:
			return fmt.Errorf("task %q: %q starts no tasks", t.Name, t.Source)
		case len(t.Schedule) > maxSchedule || len(t.Runs) > MaxRuns:
			return fmt.Errorf("task %q has too many schedules or runs", t.Name)
		case t.Every < 0 || t.Every > longestTask || t.Delay < 0 || t.Delay > longestTask || t.Next < 0 || t.Last < 0:
			return fmt.Errorf("task %q has times out of range", t.Name)
		case !slices.IsSorted(t.Runs) || len(t.Runs) > 0 && t.Runs[0] <= 0:
			return fmt.Errorf("task %q: its runs are not in order", t.Name)
		}
	}
	return nil
}

// longestTask is the longest time between two runs, in milliseconds.
const longestTask = 366 * 24 * 3600 * 1000

func printable(texts ...string) bool {
	for _, s := range texts {
		if len(s) > maxTaskText || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return false
		}
	}
	return true
}

// TasksRequest asks an agent for its host's tasks, unless they are what the home has.
type TasksRequest struct {
	Have string `msgpack:"h" json:"have"` // the digest of what the home has; "": nothing
}

// TasksReply is a host's tasks.
type TasksReply struct {
	Digest string    `msgpack:"d" json:"digest"`
	Tasks  HostTasks `msgpack:"t" json:"tasks"` // empty where the digest is what the home has
}

// HostTasksRequest asks the home of a host for its tasks.
type HostTasksRequest struct {
	Host string `msgpack:"h" json:"host"`
}

// HostTasksReply is a host's tasks as its home has them, and what they do to its instances.
type HostTasksReply struct {
	Host      string        `msgpack:"h" json:"host"`
	Heard     timeline.Time `msgpack:"at" json:"heard,omitzero"` // when the agent said so last; 0: it has said nothing, or is of a version that does not know how
	HostTasks `msgpack:",inline"`
	Effects   []TaskEffect `msgpack:"e" json:"effects,omitempty"` // that forecasts go by, sorted by task, instance and resource
}

// TaskEffect is what a task does to an instance, as its forecast has learned.
type TaskEffect struct {
	Task        string        `msgpack:"t" json:"task"`
	Instance    string        `msgpack:"i" json:"instance"`
	Resource    resource.Kind `msgpack:"r" json:"resource"`
	Rise        int64         `msgpack:"x" json:"rise"`      // of demand, at its peak, in the resource's unit
	Length      int64         `msgpack:"l" json:"length_ms"` // milliseconds that it lasts
	Occurrences int           `msgpack:"n" json:"occurrences"`
}
