package coordinator

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

// The package's scripts, which can't ask anybody, refuse to delete what only the last coordinator has.
func TestTheLastCoordinatorOfAFleetWithHostsNotesThatItIs(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	cfg, _, m, c := alone(t)
	path, ctx := filepath.Join(cfg.DataDir, noPurgeFile), context.Background()
	gone := func() error {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(errors.New("it is noted"), err)
		}
		return nil
	}
	noted := func() error {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), "the last coordinator of fleet "+m.ca.Fleet()+", which has hosts: a") {
			err = errors.New(string(text))
		}
		return err
	}
	eventually(t, "it answers", func() error { _, err := status(c); return err })
	if err := gone(); err != nil {
		t.Errorf("without a host: %v", err)
	}
	if _, err := hello(t, m, "a", 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is noted", noted)
	second := config3(t, "c2")
	if err := Join(ctx, second, joinToken(t, c, proto.RoleCoordinator), nil); err != nil {
		t.Fatal(err)
	}
	start(t, second)
	voters(t, c, 2)
	eventually(t, "another one is there", gone)
	eventually(t, "the other one is taken out", func() error { return c.Call(ctx, "DELETE", "/v1/raft/c2", nil, nil) })
	eventually(t, "it is the last one again", noted)
	if err := m.do(ctx, "test", &proto.HostForget{Host: "a"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no host is left", gone)
}
