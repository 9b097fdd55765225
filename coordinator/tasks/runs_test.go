package tasks

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func hours(h ...float64) []timeline.Time {
	var out []timeline.Time
	for _, x := range h {
		out = append(out, after(time.Duration(x*float64(time.Hour))))
	}
	return out
}

func TestRunsAreWhatWasSeenAndWhatIsPlanned(t *testing.T) {
	span := timeline.Span{Start: monday, End: after(2 * day)}
	now := after(24*time.Hour + time.Minute)
	fiveHours := []string{"*-*-* 00/5:00:00"}
	for _, c := range []struct {
		name string
		task proto.Task
		want []timeline.Time
	}{
		{"a timer that nobody has seen run", proto.Task{Source: proto.TaskTimer, Schedule: fiveHours}, hours(0, 5, 10, 15, 20, 24, 29, 34, 39, 44)},
		{"one that was seen, and was late or missed", proto.Task{Source: proto.TaskTimer, Schedule: fiveHours, Runs: hours(10.1, 20.05), Next: hours(29)[0]},
			hours(0, 5, 10.1, 20.05, 29, 34, 39, 44)},
		{"one that comes by chance", proto.Task{Source: proto.TaskTimer, Schedule: []string{"*-*-* 06,18:00:00"}, Delay: (12 * time.Hour).Milliseconds(), Runs: hours(8, 23), Next: hours(33)[0]},
			hours(8, 23, 33)},
		{"one that counts from its last run", proto.Task{Source: proto.TaskTimer, Every: (7 * time.Hour).Milliseconds(), Runs: hours(4, 11, 18), Next: hours(25)[0]}, hours(4, 11, 18, 25, 32, 39, 46)},
		{"one of which only the last run is known", proto.Task{Source: proto.TaskTimer, Last: hours(18)[0]}, hours(18)},
		{"an entry of a crontab", proto.Task{Source: proto.TaskCron, Schedule: []string{"30 */12 * * *"}}, hours(.5, 12.5, 24.5, 36.5)},
		{"one in a zone that is not known", proto.Task{Source: proto.TaskTimer, Schedule: []string{"*-*-* 00:00:00 Mars/Olympus"}}, nil},
		{"one that runs all the time", proto.Task{Source: proto.TaskCron, Schedule: []string{"* * * * *"}}, nil},
		{"one that can't be read", proto.Task{Source: proto.TaskCron, Schedule: []string{"never"}}, nil},
	} {
		got := Runs(c.task, "", utc, span, now)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}
