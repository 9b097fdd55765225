package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// told returns an update of a second of a minute: copying, on host-a, with so much copied and asked for.
func told(second int, copied, demand, granted, throttled int64) v1.MigrationUpdate {
	began := timeline.Time(1_900_000_020_000)
	p, err := json.Marshal(proto.MigrationProgress{Stage: "copying", Round: 2, Bytes: copied << 20, Total: 60 << 20})
	if err != nil {
		panic(err)
	}
	allocated := resource.Uniform(resource.Unlimited)
	allocated[resource.CPU], allocated[resource.Memory] = granted, 128<<20
	return v1.MigrationUpdate{
		At: began + timeline.Time(second*1000), Operation: "sync-round", Progress: p,
		Migration: v1.MigrationStatus{Instance: "cache-1", Source: "host-a", Target: "host-b", Phase: proto.PhaseCopy, CreatedAt: began, Expected: began + 600_000},
		Running:   &v1.Running{Host: "host-a", Allocated: allocated, Demand: &resource.Vector{resource.CPU: demand, resource.Memory: 64 << 20}, Throttled: &throttled},
	}
}

func in(phase proto.Phase, second int) v1.MigrationUpdate {
	u := told(second, 0, 0, 0, 0)
	u.Migration.Phase, u.Operation, u.Progress, u.Running = phase, "", nil, nil
	return u
}

func watched(width int, updates ...v1.MigrationUpdate) string {
	var out bytes.Buffer
	w := &watcher{out: &out, width: func() int { return width }}
	for _, u := range updates {
		w.see(u)
	}
	return out.String()
}

func TestAWatchThatCantRedrawSaysWhatIsWorthALine(t *testing.T) {
	ended := in(proto.PhaseEnded, 200)
	ended.Migration.Outcome = proto.OutcomeCompleted
	undo := in(proto.PhaseUndo, 91)
	undo.Migration.Reason = "the health\ncheck did not pass"
	undo.Migration.HookFailures = []v1.HookFailure{{Hook: proto.HookAfterFreeze, Host: "host-a", Failure: "/bgp ended\nwith exit-code 1"}}
	ended.Migration.HookFailures = undo.Migration.HookFailures // told once
	got := watched(0,
		told(0, 5, 100, 250, 0),
		told(1, 6, 110, 250, 0),  // only numbers, right after
		told(5, 9, 120, 250, 0),  // it goes on
		told(11, 9, 130, 250, 0), // only the demand
		told(12, 9, 130, 400, 0), // another allocation
		told(13, 9, 400, 400, 210),
		told(17, 9, 400, 400, 210), // throttled since a while, which is news
		told(77, 9, 300, 400, 110), // nothing but the minute
		in(proto.PhaseSwitch, 78), undo, ended,
	)
	want := `17:47:00  copy     sync-round  round 2  copying  5MiB of 60MiB  on host-a: cpu 100m of 250m  memory 64MiB of 128MiB  throttled 0%
17:47:05  copy     sync-round  round 2  copying  9MiB of 60MiB  on host-a: cpu 120m of 250m  memory 64MiB of 128MiB  throttled 0%
17:47:12  copy     sync-round  round 2  copying  9MiB of 60MiB  on host-a: cpu 130m of 400m  memory 64MiB of 128MiB  throttled 0%
17:47:17  copy     sync-round  round 2  copying  9MiB of 60MiB  on host-a: cpu 400m of 400m  memory 64MiB of 128MiB  throttled 3%
17:48:17  copy     sync-round  round 2  copying  9MiB of 60MiB  on host-a: cpu 300m of 400m  memory 64MiB of 128MiB  throttled 2%
17:48:18  switch
17:48:31  undo  the health check did not pass
17:48:31  hook     after-freeze on host-a failed: /bgp ended with exit-code 1
17:50:20  ended    completed
`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestAWatchOnATerminalKeepsABlockBelowWhatHasHappened(t *testing.T) {
	silent := in(proto.PhaseSwitch, 62)
	silent.Operation = "freeze"
	ended := in(proto.PhaseEnded, 90)
	ended.Migration.Outcome = proto.OutcomeAborted
	got := watched(70, told(0, 30, 125, 250, 0), told(61, 45, 500, 250, 2500), silent, ended)
	const up7, up3 = "\x1b[7A\x1b[J", "\x1b[3A\x1b[J"
	want := `17:47:00  copy     sync-round  round 2  copying

cache-1 from host-a to host-b, begun 0s ago, by the plan settled at 1…
  round 2            30MiB      60MiB  ████████████░░░░░░░░░░░░
  on host-a         demand allocation
  cpu                 125m       250m  ████████████░░░░░░░░░░░░
  memory             64MiB     128MiB  ████████████░░░░░░░░░░░░
  throttled             0%     of 10s  ░░░░░░░░░░░░░░░░░░░░░░░░
` + up7 + `
cache-1 from host-a to host-b, begun 1m1s ago, by the plan settled at…
  round 2            45MiB      60MiB  ██████████████████░░░░░░
  on host-a         demand allocation
  cpu                 500m       250m  ████████████████████████
  memory             64MiB     128MiB  ████████████░░░░░░░░░░░░
  throttled            25%     of 10s  ██████░░░░░░░░░░░░░░░░░░
` + up7 + `17:48:02  switch   freeze

cache-1 from host-a to host-b, begun 1m2s ago, by the plan settled at…
  it does not run at the moment, or its agent does not answer
` + up3 + `17:48:30  ended    aborted
`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestAWatchShowsTroubleAndWhatIsNotMeasuredYet(t *testing.T) {
	u := told(0, 5, 0, resource.Unlimited, 0)
	u.Progress = json.RawMessage(`{"stage":"sync-round","trouble":"host-b is away","unheard-of":1}`)
	u.Running.Demand, u.Running.Throttled = nil, nil
	u.Running.Allocated[resource.NetTx] = 100e6
	want := "17:47:00  copy     sync-round  trouble: host-b is away  on host-a: cpu ? of unlimited  memory ? of 128MiB  net_tx ? of 100Mbit\n"
	if got := watched(0, u); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}
