package tasks

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const monday timeline.Time = 1_767_571_200_000 // 2026-01-05T00:00:00Z

func after(d time.Duration) timeline.Time { return monday.Add(d) }

func utc(name string) *time.Location {
	if name == "" || name == "UTC" {
		return time.UTC
	}
	return nil
}

// shape makes demand of so many days.
type shape func(r *rand.Rand, days int) []float64

// shapes are demands that a task has nothing to do with.
var shapes = map[string]shape{
	"season and noise": func(r *rand.Rand, days int) []float64 {
		out := make([]float64, days*perDay)
		for i := range out {
			out[i] = 300 + 150*math.Sin(2*math.Pi*float64(i)/float64(perDay)) + 15*r.NormFloat64()
		}
		return out
	},
	"drift": func(r *rand.Rand, days int) []float64 {
		out, level := make([]float64, days*perDay), 0.0
		for i := range out {
			level = .98*level + 10*r.NormFloat64()
			out[i] = 300 + level + 5*r.NormFloat64()
		}
		return out
	},
	"bursts": func(r *rand.Rand, days int) []float64 {
		out := make([]float64, days*perDay)
		for i := range out {
			out[i] += 50 + 5*r.NormFloat64()
			if r.Float64() < .01 {
				height := 40 * math.Pow(r.Float64(), -.8)
				for j := i; j < min(i+1+r.IntN(12), len(out)); j++ {
					out[j] += height
				}
			}
		}
		return out
	},
	"working hours": func(r *rand.Rand, days int) []float64 {
		out := make([]float64, days*perDay)
		for i := range out {
			out[i] = 20 + 2*r.NormFloat64()
			if hour := i % perDay / perHour; hour >= 8 && hour < 18 && i/perDay%7 < 5 {
				out[i] = 400 * math.Exp(.5*r.NormFloat64())
			}
		}
		return out
	},
	"levels": func(r *rand.Rand, days int) []float64 {
		out, level := make([]float64, days*perDay), 200.0
		for i := range out {
			if r.Float64() < .004 {
				level = 50 + 500*r.Float64()
			}
			out[i] = level + 5*r.NormFloat64()
		}
		return out
	},
	"hourly jobs": func(r *rand.Rand, days int) []float64 {
		out := make([]float64, days*perDay)
		for i := range out {
			out[i] = 100 + 10*r.NormFloat64()
			if i%perHour < 2 {
				out[i] += 200
			}
		}
		return out
	},
}

// schedules are those of a host with much on it, as cron has them, and distances of timers that count from their last run.
var (
	schedules = []string{"20 3 * * *", "0 4 */2 * *", "0 */5 * * *", "0 1 */3 * *", "30 2 * * 1,4", "0 9-17 * * 1-5", "0 8 * * 1-5", "0 8 1,4,9,12,17,20,25,28 * *",
		"45 13 */5 * *", "0 10 2-30/4 * *", "33 22 1-28/3 * *", "0 0 * * 0", "*/20 * * * *"}
	distances = []time.Duration{5 * time.Hour, 9 * time.Hour, 7 * time.Hour, 11 * time.Hour, 90 * time.Minute, 47 * time.Minute, 13*time.Hour + 17*time.Minute}
)

// every returns the runs of a timer that counts from its last one.
func every(distance time.Duration, span timeline.Span) (runs []timeline.Time) {
	for t := span.Start.Add(distance / 3); t < span.End; t = t.Add(distance) {
		runs = append(runs, t)
	}
	return runs
}

// entry returns the runs of an entry of a crontab.
func entry(schedule string, span timeline.Span) []timeline.Time {
	return Runs(proto.Task{Source: proto.TaskCron, Schedule: []string{schedule}}, "", utc, span, span.End)
}

// candidates are tasks by those, the distances first, and by chance.
func candidates(r *rand.Rand, days int) []Candidate {
	span := timeline.Span{Start: monday, End: after(time.Duration(days) * day)}
	var out []Candidate
	for _, d := range distances {
		out = append(out, Candidate{Name: d.String(), Runs: every(d, span)})
	}
	for _, s := range schedules {
		out = append(out, Candidate{Name: s, Runs: entry(s, span)})
	}
	for i := range 8 { // as timers with a random delay are
		var runs []timeline.Time
		for d := range days {
			runs = append(runs, after(time.Duration(d)*day+time.Duration(r.Int64N(int64(day)))))
		}
		slices.Sort(runs)
		out = append(out, Candidate{Name: fmt.Sprint("chance-", i), Own: i == 0, Runs: runs})
	}
	return out
}

// find returns a candidate by its name.
func find(all []Candidate, name string) Candidate {
	return all[slices.IndexFunc(all, func(c Candidate) bool { return c.Name == name })]
}

func history(kinds map[resource.Kind][]float64) forecast.History {
	var h forecast.History
	for k, v := range kinds {
		h[k] = forecast.Series{Start: monday, Step: step, Values: v, Fold: forecast.Max}
	}
	return h
}

// TestFalseAlarmsAreAsRareAsIsSaid generates instances of every shape that no task moves, on hosts with 28 of them.
func TestFalseAlarmsAreAsRareAsIsSaid(t *testing.T) {
	alarms, of := 0, 0
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		here := 0
		for seed := range uint64(60) {
			r := rand.New(rand.NewPCG(seed, 1))
			days := []int{7, 14, 28}[seed%3]
			h := history(map[resource.Kind][]float64{resource.CPU: shapes[name](r, days), resource.NetTx: shapes[name](r, days), resource.Memory: shapes["drift"](r, days)})
			of++
			for _, f := range Correlate(h, candidates(r, days), time.UTC) {
				t.Logf("%s, seed %d, %d days: %+v", name, seed, days, f)
				here++
			}
		}
		t.Logf("%s: %d false findings", name, here)
		alarms += here
	}
	// At one in a thousand 360 instances have 0.4 of them; three or more have a probability of less than one in a hundred.
	if alarms > 2 {
		t.Errorf("%d false findings in %d instances", alarms, of)
	}
}

// raise adds to the values for a length from each run on.
func raise(values []float64, runs []timeline.Time, amount float64, length time.Duration, r *rand.Rand) {
	for _, run := range runs {
		for i := int(run.Sub(monday) / step); i < min(int(run.Add(length).Sub(monday)/step), len(values)); i++ {
			values[i] += amount * (1 + .1*r.NormFloat64())
		}
	}
}

func TestATaskOffTheSeasonIsFound(t *testing.T) {
	for _, c := range []struct {
		shape, task string
		amount      float64
	}{
		{"season and noise", "5h0m0s", 60}, {"drift", "5h0m0s", 60}, {"bursts", "5h0m0s", 60}, {"levels", "5h0m0s", 60}, {"season and noise", "0 4 */2 * *", 120}, {"drift", "33 22 1-28/3 * *", 200},
		{"working hours", "chance-3", 300}, {"season and noise", "47m0s", 60},
	} {
		r := rand.New(rand.NewPCG(7, 2))
		all := candidates(r, 28)
		length := 20 * time.Minute
		if c.task == "47m0s" {
			length = 10 * time.Minute
		}
		values := shapes[c.shape](r, 28)
		raise(values, find(all, c.task).Runs, c.amount, length, r)
		got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values, resource.Memory: shapes["drift"](r, 28)}), all, time.UTC)
		if len(got) != 1 || got[0].Name != c.task || !got[0].Moves[resource.CPU] || got[0].Moves[resource.Memory] {
			t.Errorf("%s: %+v, want %s alone", c.shape, got, c.task)
			continue
		}
		if got[0].Length < length/2 || got[0].Length > 2*length || got[0].Runs < leastRuns {
			t.Errorf("%s, %s: it lasts %s after %d runs, want %s", c.shape, c.task, got[0].Length, got[0].Runs, length)
		}
	}
}

func TestATaskThatTheSeasonHasIsNotFound(t *testing.T) {
	for _, text := range []string{"20 3 * * *", "0 */5 * * *", "0 2 * * 6", "0 7 * * 1-5"} {
		r := rand.New(rand.NewPCG(3, 3))
		runs := entry(text, timeline.Span{Start: monday, End: after(28 * day)})
		values := shapes["season and noise"](r, 28)
		raise(values, runs, 300, 30*time.Minute, r)
		if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values}), []Candidate{{Name: "x", Own: true, Runs: runs}}, time.UTC); len(got) != 0 {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestOneBurstIsNoTask(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	all := candidates(r, 28)
	values := shapes["season and noise"](r, 28)
	raise(values, find(all, "0 1 */3 * *").Runs[3:4], 50_000, 20*time.Minute, r)
	if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values}), all, time.UTC); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestATaskThatSeldomRaisesDemandIsNotFound(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 5))
	all := candidates(r, 28)
	runs := find(all, "5h0m0s").Runs
	var some []timeline.Time
	for i := 0; i < len(runs); i += 4 {
		some = append(some, runs[i])
	}
	values := shapes["season and noise"](r, 28)
	raise(values, some, 500, 20*time.Minute, r)
	if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values}), []Candidate{{Name: "x", Runs: runs}}, time.UTC); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTheSeasonHasWhatRunsAtTheSameTimes(t *testing.T) {
	for _, c := range []struct {
		runs func(timeline.Span) []timeline.Time
		days int
		want bool
	}{
		{func(s timeline.Span) []timeline.Time { return entry("20 3 * * *", s) }, 28, true},
		{func(s timeline.Span) []timeline.Time { return entry("20 3 * * *", s) }, 7, true},
		{func(s timeline.Span) []timeline.Time { return entry("0 8 * * 1-5", s) }, 28, true},
		{func(s timeline.Span) []timeline.Time { return entry("0 8 * * 1-5", s) }, 10, true}, // told from a season of the week by nothing yet
		{func(s timeline.Span) []timeline.Time { return entry("0 4 */2 * *", s) }, 10, true},
		{func(s timeline.Span) []timeline.Time { return entry("0 4 */2 * *", s) }, 28, false},
		{func(s timeline.Span) []timeline.Time { return every(7*time.Hour, s) }, 28, true}, // 24 times a week
		{func(s timeline.Span) []timeline.Time { return every(5*time.Hour, s) }, 28, false},
		{func(s timeline.Span) []timeline.Time { return every(13*time.Hour+17*time.Minute, s) }, 7, false},
	} {
		span := timeline.Span{Start: monday, End: after(time.Duration(c.days) * day)}
		if got := seasonal(c.runs(span), span, time.UTC); got != c.want {
			t.Errorf("%v of %d days: %v", c.runs(span)[:3], c.days, got)
		}
	}
}

func TestTooFewRunsAreNotJudged(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	values := shapes["season and noise"](r, 28)
	runs := []timeline.Time{after(3*day + 5*time.Hour), after(8*day + 9*time.Hour), after(15*day + 20*time.Hour), after(21 * day)}
	raise(values, runs, 500, 20*time.Minute, r)
	if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values}), []Candidate{{Name: "x", Runs: runs}}, time.UTC); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	runs = append(runs, after(25*day+13*time.Hour))
	raise(values, runs[4:], 500, 20*time.Minute, r)
	if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values}), []Candidate{{Name: "x", Runs: runs}}, time.UTC); len(got) != 1 || got[0].Runs != 5 {
		t.Errorf("%+v", got)
	}
}

func TestRunsInOneStepCountAsOne(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	values := shapes["season and noise"](r, 28)
	first := after(3*day + 5*time.Hour)
	runs := []timeline.Time{first, first.Add(time.Minute), first.Add(2 * time.Minute), after(8*day + 9*time.Hour), after(15*day + 20*time.Hour), after(21 * day)}
	raise(values, runs[2:], 500, 20*time.Minute, r)
	if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values}), []Candidate{{Name: "x", Runs: runs}}, time.UTC); len(got) != 0 {
		t.Errorf("of four: %+v", got)
	}
	if got := (Finding{Length: step}).Events(runs); len(got) != 4 || got[0].Span.Start != first || got[1].Span.Start != runs[3] {
		t.Errorf("they are forecast as %v", got)
	}
}

// What people do by the clock is no task's doing because a task goes by the same clock.
func TestAChangeOfTheClockMakesNoTask(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	r := rand.New(rand.NewPCG(13, 6))
	begin := timeline.Of(time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)) // summer begins on the 29th
	values := make([]float64, 28*perDay)
	for i := range values {
		values[i] = 20 + 2*r.NormFloat64()
		if at := begin.Add(time.Duration(i) * step).Std().In(berlin); at.Hour() >= 8 && at.Hour() < 18 && at.Weekday() != time.Sunday {
			values[i] = 300 + 15*r.NormFloat64()
		}
	}
	var h forecast.History
	h[resource.CPU] = forecast.Series{Start: begin, Step: step, Values: values, Fold: forecast.Max}
	span := timeline.Span{Start: begin, End: h[resource.CPU].End()}
	for text, same := range map[string]bool{"0 8 * * 1-6": true, "0 8 */2 * *": false} {
		runs := Runs(proto.Task{Source: proto.TaskCron, Schedule: []string{text}}, "", func(string) *time.Location { return berlin }, span, span.End)
		if got := seasonal(runs, span, berlin); got != same {
			t.Errorf("%s is at the same times of every week: %v", text, got)
		}
		if got := Correlate(h, []Candidate{{Name: text, Runs: runs}}, berlin); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		if got := Correlate(h, []Candidate{{Name: text, Runs: runs}}, time.UTC); len(got) == 0 {
			t.Errorf("%s: by UTC nothing is found either: this test shows nothing", text)
		}
	}
}

func TestWhatHasGapsOrIsTooShortIsJudgedByWhatIsThere(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	all := candidates(r, 28)
	values := shapes["season and noise"](r, 28)
	raise(values, find(all, "5h0m0s").Runs, 100, 20*time.Minute, r)
	for i := 4 * perDay; i < 9*perDay; i++ {
		values[i] = math.NaN()
	}
	if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values}), all, time.UTC); len(got) != 1 || got[0].Name != "5h0m0s" {
		t.Errorf("with a gap %+v", got)
	}
	if got := Correlate(history(map[resource.Kind][]float64{resource.CPU: values[:3*perDay]}), all, time.UTC); len(got) != 0 {
		t.Errorf("of three days %+v", got)
	}
	if got := Correlate(forecast.History{}, all, time.UTC); len(got) != 0 {
		t.Errorf("of nothing %+v", got)
	}
}

func BenchmarkCorrelate(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	all := candidates(r, 28)
	h := forecast.History{}
	for k := range h {
		h[k] = forecast.Series{Start: monday, Step: step, Values: shapes["bursts"](r, 28), Fold: forecast.Max}
	}
	for b.Loop() {
		Correlate(h, all, time.UTC)
	}
}
