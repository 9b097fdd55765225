package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"glidepath": main})
}

// Where a script keeps its fleet, what is closed when somebody watches a migration, and the commands that were interrupted.
type (
	fleetKey       struct{}
	watchedKey     struct{}
	interruptedKey struct{}
	awayKey        struct{}
)

// TestScripts runs the command against the API of a small fleet, over TLS. The scripts are in testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			f := apitest.New(t)
			f.Config.Forecast = demand
			f.Config.CallAgent = readBack(f)
			f.Config.Above = above
			f.Config.Scores, f.Config.AllScores, f.Config.HostTasks = scores, allScores, hostTasks
			gone := &sync.Map{}
			env.Values[awayKey{}] = gone
			present := f.Config.Presence
			f.Config.Presence = func(ctx context.Context) map[string]proto.Presence {
				out := present(ctx)
				gone.Range(func(host, since any) bool {
					out[host.(string)] = proto.Presence{Host: host.(string), Since: since.(timeline.Time)}
					return true
				})
				return out
			}
			watched := make(chan struct{})
			var once sync.Once
			env.Values[watchedKey{}] = watched
			env.Values[interruptedKey{}] = new([]*exec.Cmd)
			f.Config.MigrationProgress = func(context.Context, string) any {
				once.Do(func() { close(watched) })
				return proto.MigrationProgress{Stage: "copying", Round: 1, Bytes: 30 << 20, Total: 60 << 20}
			}
			pin := f.CA.Pin()
			env.Values[fleetKey{}] = f
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("GLIDEPATH_ADDR", f.Start())
			env.Setenv("GLIDEPATH_TOKEN", f.Tokens[proto.RoleAdmin])
			env.Setenv("GLIDEPATH_CA_PIN", hex.EncodeToString(pin[:]))
			here, err := os.Getwd()
			if err != nil {
				return err
			}
			env.Setenv("GOLDEN", filepath.Join(here, "testdata", "golden"))
			env.Setenv("EXAMPLES", filepath.Join(here, "..", "..", "..", "docs", "examples"))
			env.Setenv("VIEWER", f.Tokens[proto.RoleViewer])
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			return os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), f.CA.CertPEM(), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"golden": golden, "drive": drive, "exits": exits, "latest": latest, "fence": fence, "plan": newestPlan, "watched": untilWatched, "interrupt": interrupts, "left": left, "away": away,
			"restored": restored, "series": series, "waits": waits,
		},
	})
}

// What differs from run to run.
var (
	times  = regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ`)
	clocks = regexp.MustCompile(`\d\d-\d\d \d\d:\d\d\b`)
	ulids  = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`)
	tokens = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	fleets = regexp.MustCompile(`Fleet [a-z2-7]{16}`)
	holds  = regexp.MustCompile(`(/host-[a-c]/)\d{13}`)
	fences = regexp.MustCompile(`(?m)^(fence +)\d+`)
)

// golden NAME compares what was printed with testdata/golden/NAME.
func golden(ts *testscript.TestScript, _ bool, args []string) {
	got := ts.ReadFile("stdout")
	for _, r := range []struct {
		what *regexp.Regexp
		by   string
	}{{times, "YYYY-MM-DD HH:MM:SSZ"}, {clocks, "MM-DD HH:MM"}, {ulids, "THE-MIGRATION-OR-EVENT-ULI"}, {tokens, "0123456789abcdef"}, {fleets, "Fleet abcdefghijklmnop"}, {holds, "${1}1234567890123"}, {fences, "${1}1"}} {
		got = r.what.ReplaceAllString(got, r.by)
	}
	name := filepath.Join(ts.Getenv("GOLDEN"), args[0])
	if *update {
		ts.Check(os.WriteFile(name, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(name)
	ts.Check(err)
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		ts.Fatalf("%s:\n%s", args[0], diff)
	}
}

// exits CODE COMMAND… runs a command that must exit with the code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// latest VARIABLE sets it to the identifier of the newest migration.
func latest(ts *testscript.TestScript, _ bool, args []string) {
	for m := range ts.Value(fleetKey{}).(*apitest.Fleet).View().Migrations() {
		ts.Setenv(args[0], m.ID)
	}
}

// plan VARIABLE sets it to the identifier of the newest plan that is stored.
func newestPlan(ts *testscript.TestScript, _ bool, args []string) {
	for p := range ts.Value(fleetKey{}).(*apitest.Fleet).View().Plans() {
		ts.Setenv(args[0], p.ID)
	}
}

// fence NAME puts the fence of cache-1 into the environment.
func fence(ts *testscript.TestScript, _ bool, args []string) {
	i, _ := ts.Value(fleetKey{}).(*apitest.Fleet).View().Instance("cache-1")
	ts.Setenv(args[0], strconv.FormatUint(i.Fence, 10))
}

// away HOST ends the session of its agent, an hour ago.
func away(ts *testscript.TestScript, _ bool, args []string) {
	ts.Value(awayKey{}).(*sync.Map).Store(args[0], timeline.Of(time.Now().Add(-time.Hour)))
}

// restored HOST... is a restore from a backup after which the agents of these hosts alone have reported what they run.
func restored(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value(fleetKey{}).(*apitest.Fleet)
	f.Must(&proto.IncarnationRaise{From: f.View().Fleet().Incarnation, Reason: "restored"})
	for _, name := range args {
		h, _ := f.View().Host(name)
		f.Must(&proto.HostRegister{Facts: h.Facts, Incarnation: f.View().Fleet().Incarnation})
	}
}

// interrupt [now] interrupts what runs in the background, once a migration is watched, or now. Wait for it, then see left.
func interrupts(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		untilWatched(ts, false, nil)
	}
	all := ts.BackgroundCmds()
	for _, cmd := range all {
		ts.Check(cmd.Process.Signal(os.Interrupt))
	}
	*ts.Value(interruptedKey{}).(*[]*exec.Cmd) = all
}

// left CODE checks with which code exited what was interrupted.
func left(ts *testscript.TestScript, _ bool, args []string) {
	for _, cmd := range *ts.Value(interruptedKey{}).(*[]*exec.Cmd) {
		if code := fmt.Sprint(cmd.ProcessState.ExitCode()); code != args[0] {
			ts.Fatalf("exit code %s, want %s", code, args[0])
		}
	}
}

// untilWatched waits until somebody watches a migration.
func untilWatched(ts *testscript.TestScript, _ bool, _ []string) {
	select {
	case <-ts.Value(watchedKey{}).(chan struct{}):
	case <-time.After(time.Minute):
		ts.Fatalf("nobody watches")
	}
}

// drive complete|abort|serve walks migrations of cache-1 to their end, or until the target serves, as an executor does.
func drive(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value(fleetKey{}).(*apitest.Fleet)
	stop, stopped := make(chan struct{}), make(chan struct{})
	ts.Defer(func() {
		close(stop)
		<-stopped
	})
	go func() {
		defer close(stopped)
		for {
			changed := f.Changed()
			if next := step(f, args[0]); next != nil {
				f.Must(next)
				continue
			}
			select {
			case <-changed:
			case <-stop:
				return
			}
		}
	}()
	for args[0] == "serve" {
		changed := f.Changed()
		if i, _ := f.View().Instance("cache-1"); i.Migration != "" {
			if m, _ := f.View().Migration(i.Migration); m.Phase == proto.PhaseSettle {
				return
			}
		}
		<-changed
	}
}

// step returns the next decision on the one migration that is going on.
func step(f *apitest.Fleet, how string) proto.Body {
	view := f.View()
	i, _ := view.Instance("cache-1")
	m, ok := view.Migration(i.Migration)
	if !ok {
		return nil
	}
	switch {
	case i.State == proto.InstanceThawing:
		return &proto.MigrationThaw{Migration: m.ID, Fence: i.Fence}
	case m.Phase == proto.PhaseUndo:
		return &proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted}
	case m.Phase == proto.PhasePrepare:
		return &proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy}
	case m.Phase == proto.PhaseCopy && how == "abort":
		return &proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "the health check did not pass"}
	case m.Phase == proto.PhaseCopy:
		return &proto.MigrationFreeze{Migration: m.ID, Fence: i.Fence}
	case i.State == proto.InstanceFrozen:
		return &proto.MigrationCommit{Migration: m.ID, Fence: i.Fence}
	case i.State == proto.InstanceStarting:
		return &proto.MigrationConfirm{Migration: m.ID, Fence: i.Fence, Until: timeline.Of(time.Now().Add(time.Hour))}
	case m.Phase == proto.PhaseWarm:
		return &proto.MigrationAdvance{Migration: m.ID, From: proto.PhaseWarm, To: proto.PhaseSettle}
	case m.Phase == proto.PhaseSettle && how != "serve":
		return &proto.MigrationComplete{Migration: m.ID, Fence: i.Fence}
	}
	return nil
}

// demand is a forecast that rises from 2 to 3 hours after its start.
func demand(_ context.Context, r proto.ForecastRequest) (proto.ForecastReply, error) {
	if r.From == 0 {
		r.From = timeline.Of(time.Now()).Floor(time.Hour)
	}
	base := resource.Vector{resource.CPU: 100, resource.Memory: 64 << 20, resource.NetTx: 1e6}
	high := base
	high[resource.CPU] = 680
	at := func(d time.Duration) timeline.Time { return r.From.Add(d) }
	end := time.Duration(r.Steps) * time.Duration(r.Step) * time.Millisecond
	p := timeline.Profile{
		{Span: timeline.Span{Start: r.From, End: at(2 * time.Hour)}, Amount: base},
		{Span: timeline.Span{Start: at(2 * time.Hour), End: at(3 * time.Hour)}, Amount: high},
		{Span: timeline.Span{Start: at(3 * time.Hour), End: at(end)}, Amount: base},
	}
	half := p.Map(func(v resource.Vector) resource.Vector { return v.Scale(1, 2) })
	return proto.ForecastReply{
		Instance: r.Instance, Start: r.From, Step: r.Step, Quantiles: []int{500, 990}, Profiles: []timeline.Profile{half, p},
		Reasons: []string{"campaign: +580m cpu at its peak, from 3 earlier occurrences"}, TrainedAt: r.From, Observed: 14 * 24 * 3600,
		Patterns: []proto.DemandPattern{{Resource: resource.CPU, Pattern: "periodic", Confidence: 974}},
	}, nil
}

// readBack answers for the agents, which lift what is paused or only observed; the one of stubborn-1 does not.
func readBack(f *apitest.Fleet) func(context.Context, string, string, []byte) ([]byte, error) {
	return func(_ context.Context, host, method string, body []byte) ([]byte, error) {
		if method == proto.MethodRetained {
			day := 24 * time.Hour
			return proto.Marshal(proto.Retention{Items: []proto.Retained{
				{Instance: "old-1", Migration: "m-1", At: timeline.Of(time.Now().Add(-9 * day)), Paths: []string{"/var/lib/glidepath/retained/old"}, Bytes: 3 << 30, Files: 4},
				{Instance: "new-1", Migration: "m-2", At: timeline.Of(time.Now().Add(-day)), Paths: []string{"/var/lib/glidepath/retained/new"}, Bytes: 1 << 30, Files: 2, Partial: true},
			}})
		}
		var ref proto.InstanceRef
		if err := proto.Unmarshal(body, &ref); err != nil {
			return nil, err
		}
		scheduled := resource.Vector{resource.CPU: 250, resource.Memory: 128 << 20}
		granted, held := scheduled, scheduled
		held[resource.Memory] = 127 << 20
		files := []proto.LimitFile{{Name: "cpu.max", Value: "25000 100000"}, {Name: "memory.high", Value: "133169152"}}
		view := f.View()
		i, _ := view.Instance(ref.Instance)
		if free := i.Spec.Mode == proto.Observe || len(view.PausedBy(i, host)) > 0; free && ref.Instance != "stubborn-1" {
			granted, held = resource.Uniform(resource.Unlimited), resource.Uniform(resource.Unlimited)
			files = []proto.LimitFile{{Name: "cpu.max", Value: "max 100000"}, {Name: "memory.high", Value: "max"}}
		}
		return proto.Marshal(proto.ReadBack{
			Instance: ref.Instance, Document: proto.DocumentVersion{Incarnation: 1, Revision: 7}, Scheduled: scheduled, Granted: granted, Held: held,
			Measured: true, Demand: resource.Vector{resource.CPU: 280, resource.Memory: 60 << 20}, Throttled: 300, Files: files,
		})
	}
}

// above says of every instance that it asked for more CPU than scheduled in a part of the time.
func above(_ context.Context, r proto.AboveRequest) (proto.Above, error) {
	out := proto.Above{Span: r.Span, Of: []proto.AboveOf{
		{Resource: resource.CPU, Windows: 8640, Above: 432, Most: 90}, {Resource: resource.Memory, Windows: 8640},
	}}
	if r.Instance == "young-1" {
		out.StandsIn = []proto.StandsIn{{Resource: resource.Memory, Since: r.Span.Start.Floor(time.Hour)}}
	}
	return out, nil
}

// hostTasks are those of host-a; nothing is known of the others'.
func hostTasks(_ context.Context, host string) (proto.HostTasksReply, error) {
	if host != "host-a" {
		return proto.HostTasksReply{Host: host}, nil
	}
	at := timeline.Time(1_767_571_200_000)
	return proto.HostTasksReply{Host: host, Heard: at, HostTasks: proto.HostTasks{
		Zone: "Europe/Berlin", More: 1, Unread: []string{"/etc/cron.d/binary: it is no text"},
		Tasks: []proto.Task{
			{Name: "backup.timer", Source: proto.TaskTimer, Activates: "backup.service", Schedule: []string{"*-*-* 00/5:00:00"}, Delay: 90_000, Last: at.Add(-time.Hour), Next: at.Add(4 * time.Hour)},
			{Name: "cron.d/shop/report", Source: proto.TaskCron, User: "shop", Command: "report", Schedule: []string{"30 4 * * 1"}},
			{Name: "tidy.timer", Source: proto.TaskTimer, Activates: "tidy.service", Every: 25_200_000},
		},
	}, Effects: []proto.TaskEffect{{Task: "backup.timer", Instance: "cache-1", Resource: resource.CPU, Rise: 400, Length: 1_200_000, Occurrences: 9}}}, nil
}

// scores are those of an instance whose CPU the window forecasts.
func scores(_ context.Context, instance string) (proto.Scores, error) {
	at := timeline.Of(time.Now()).Floor(time.Hour)
	if instance == "young-1" {
		return proto.Scores{Instance: instance, Step: 300_000, Quantiles: []int{500, 950}, StandsIn: []proto.StandsIn{}, Periods: []proto.ScorePeriod{}}, nil
	}
	of := func(k resource.Kind, lead time.Duration, steps int, model, naive, window float64) proto.Score {
		fit := func(loss float64) proto.Fit {
			return proto.Fit{Loss: []float64{loss, loss / 2}, Coverage: []float64{.514, .9571}}
		}
		return proto.Score{Resource: k, Lead: lead.Milliseconds(), Steps: steps, Model: fit(model), Naive: fit(naive), Window: fit(window)}
	}
	out := proto.Scores{
		Instance: instance, UpdatedAt: at, Step: 300_000, Quantiles: []int{500, 950},
		StandsIn: []proto.StandsIn{{Resource: resource.CPU, Since: at.Add(-26 * time.Hour)}},
	}
	for _, p := range []struct {
		name string
		days int
	}{{"day", 1}, {"week", 7}, {"month", 30}} {
		out.Periods = append(out.Periods, proto.ScorePeriod{
			Name: p.name, Span: timeline.Span{Start: at.Add(-time.Duration(p.days) * 24 * time.Hour), End: at}, Of: []proto.Score{
				of(resource.CPU, time.Hour, 288*p.days, 24, 20, 16), of(resource.CPU, 24*time.Hour, 288*p.days-150, 30, 20, 16),
				of(resource.Memory, time.Hour, 288*p.days, 1<<20, 1<<21, 1<<23), of(resource.NetTx, time.Hour, 288*p.days, 0, 0, 0),
			},
		})
	}
	return out, nil
}

// allScores are those of the fleet, of which one coordinator does not answer.
func allScores(context.Context) ([]proto.ScoreSummary, []string) {
	at, good, bad := timeline.Of(time.Now()).Floor(time.Hour), .82, 1.31
	of := func(k resource.Kind, ratio *float64) proto.ScoreSummaryOf {
		return proto.ScoreSummaryOf{Resource: k, Scored: 6*24*3600*1000 + 1000, Coverage: []float64{.514, .9571}, Naive: &good, Window: ratio}
	}
	return []proto.ScoreSummary{
		{Instance: "cache-1", UpdatedAt: at, Quantiles: []int{500, 950}, StandsIn: []proto.StandsIn{{Resource: resource.CPU, Since: at}}, Of: []proto.ScoreSummaryOf{of(resource.CPU, &bad), of(resource.Memory, nil)}},
		{Instance: "web-1", UpdatedAt: at, Quantiles: []int{500, 950}, StandsIn: []proto.StandsIn{}, Of: []proto.ScoreSummaryOf{of(resource.CPU, &good), of(resource.NetTx, &good)}},
	}, []string{"c2"}
}
