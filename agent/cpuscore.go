package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// ScoreCommand is the name under which this program measures the CPU that it runs on.
const ScoreCommand = "cpu-score"

const (
	scoreFile = "cpu-score"
	maxScore  = 4 << 10         // bytes of the file
	scoreFor  = 2 * time.Minute // that the benchmark is waited for on a host that is busy: others come first
)

// scored is what a CPU was measured to do, with when that is to be measured again.
type scored struct {
	Boot  string `json:"boot_id"`
	Model string `json:"cpu_model"`
	Score int64  `json:"score"`
}

// cpuScore knows what a core of this host does. It is measured once in a boot, by a process of its own: one of so low a priority must have no part in the agent's
// own memory, which waits for all its threads.
type cpuScore struct {
	path    string
	files   durable.FS
	measure func(ctx context.Context) (int64, error)
	known   atomic.Int64
}

// measuring returns what runs a program to measure the CPU.
func measuring(self string) func(ctx context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, scoreFor)
		defer cancel()
		out, err := exec.CommandContext(ctx, self, ScoreCommand).Output()
		if err != nil {
			return 0, fmt.Errorf("run %s %s: %w", self, ScoreCommand, err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil || n <= 0 || n > proto.MaxScore {
			return 0, fmt.Errorf("%s %s says %.100q, which is no score", self, ScoreCommand, out)
		}
		return n, nil
	}
}

// find looks the score up, or measures it where that has not been done in this boot.
func (c *cpuScore) find(ctx context.Context, f *proto.HostFacts) error {
	was := scored{Boot: f.BootID, Model: f.CPUModel}
	if data, err := durable.ReadFile(c.files, c.path, maxScore); err == nil {
		var kept scored
		if json.Unmarshal(data, &kept) == nil && kept.Boot == was.Boot && kept.Model == was.Model && kept.Score > 0 && kept.Score <= proto.MaxScore {
			c.known.Store(kept.Score)
			return nil
		}
	}
	n, err := c.measure(ctx)
	if err != nil {
		return err
	}
	c.known.Store(n)
	was.Score = n
	data, err := json.Marshal(was)
	if err != nil {
		return err
	}
	return durable.WriteFile(c.files, c.path, append(data, '\n'), 0o600)
}
