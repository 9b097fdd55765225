// Package archtest holds the rules of the house, which its tests check against the source: who may import whom, what stays pure, how long a file may be.
package archtest

// pure lists the packages that only compute: time, identifiers and seeds come in as arguments. What they do is the same
// on every coordinator and in every test.
var pure = []string{
	"internal/resource", "internal/timeline",
	"agent/demand", "agent/pilot", "agent/enforce/limit",
	"coordinator/forecast", "coordinator/forecast/common", "coordinator/forecast/pattern", "coordinator/forecast/pool", "coordinator/forecast/scorecard", "coordinator/ledger", "coordinator/lesson", "coordinator/planner", "coordinator/replan", "coordinator/state", "coordinator/tasks",
}

// impureImports are packages that a pure package must not import, with the reason.
var impureImports = map[string]string{
	"os": "reads the world", "net": "reads the world", "log/slog": "pure code returns reasons, the shell logs them",
	"sync": "pure code has one caller at a time", "sync/atomic": "pure code has one caller at a time",
	"math/rand": "not the same everywhere", "math/rand/v2": "not the same everywhere", "crypto/rand": "not the same everywhere",
	"os/exec": "changes the world", "syscall": "changes the world", "context": "pure code does not wait",
	"github.com/hashicorp/raft": "belongs to coordinator/consensus", "github.com/hashicorp/memberlist": "belongs to coordinator/gossip",
}

// impureCalls are functions that a pure package must not call, by import path, with the reason.
var impureCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
}

// soleImporters says which packages alone may import a module, so that it can be replaced in one place.
var soleImporters = []struct {
	module string
	by     []string
	reason string
}{
	{"github.com/hashicorp/raft", []string{"coordinator/consensus"}, "Raft can be tested and replaced in one place"},
	{"github.com/hashicorp/memberlist", []string{"coordinator/gossip"}, "gossip is never a source of truth, and stays in one place"},
	{"github.com/vmihailenco/msgpack/v5", []string{"proto"}, "bytes from the network are bounded before they are decoded"},
	{"github.com/shirou/gopsutil/v4", []string{"agent/collect"}, "the host is measured in one place"},
	{"github.com/containerd/cgroups/v3", []string{"agent/enforce"}, "limits are set in one place"},
	{"github.com/cilium/ebpf", []string{"agent/enforce"}, "programs are loaded in one place"},
	{"github.com/coreos/go-systemd/v22/dbus", []string{"agent/enforce"}, "systemd is driven in one place"},
	{"github.com/teambition/rrule-go", []string{"coordinator/calendar"}, "recurrence is expanded, and bounded, in one place"},
	{"github.com/prometheus/prometheus", []string{"coordinator/history"}, "the history's engine can be replaced"},
}

// layers says what a folder must never import. The most specific prefix of the importer counts, with all that are more general.
var layers = []struct {
	from, never, reason string
}{
	{"agent", "coordinator", "the two speak through proto only"},
	{"coordinator", "agent", "the two speak through proto only"},
	{"proto", "agent", "proto is below both"},
	{"proto", "coordinator", "proto is below both"},
	{"internal", "agent", "internal is below everything"},
	{"internal", "coordinator", "internal is below everything"},
	{"internal", "proto", "internal is below everything"},
	{"agent", "testenv", "what ships does not depend on its tests"},
	{"coordinator", "testenv", "what ships does not depend on its tests"},
	{"proto", "testenv", "what ships does not depend on its tests"},
	{"internal", "testenv", "what ships does not depend on its tests"},
}

// zoned are the programs that reckon in time zones by their names. They bring the zones along: a machine need not have them, and answers must be alike on all.
var zoned = []string{"coordinator/cmd/glidepath", "coordinator/cmd/glidepathd"}

// maxLines is how long a file may be; past about 400 it usually has a second job.
const maxLines = 600
