package load

import (
	"bufio"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// realRedis starts Redis on a socket of its own, and returns how to reach it and how to stop it.
func realRedis(t *testing.T) (Dialer, func()) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Redis for some seconds: left out in short mode")
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs a real Redis: apt-get install redis-server")
	}
	socket := filepath.Join(t.TempDir(), "redis.sock")
	cmd := exec.CommandContext(t.Context(), path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(strings.ToLower(lines.Text()), "ready to accept connections") {
	}
	stop := func() {
		cmd.Process.Kill()
		for lines.Scan() {
		}
		cmd.Wait()
	}
	t.Cleanup(stop)
	return func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "unix", socket) }, stop
}

func TestARealRedisKeepsTheRecordsAndBearsTheCampaign(t *testing.T) {
	dial, stop := realRedis(t)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	clients := &Clients{Dial: dial, Rate: 100}
	campaign := &Campaign{Dial: dial, Cores: .2, Bytes: 4 << 20, GrowIn: 3 * time.Second}
	done := make(chan error, 2)
	go func() { done <- clients.Run(ctx) }()
	go func() { done <- campaign.Run(ctx) }()

	connection, err := dialOnce(ctx, dial)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.close()
	if err := wait(ctx, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	before, err := askUsage(ctx, connection)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := wait(ctx, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	after, err := askUsage(ctx, connection)
	if err != nil {
		t.Fatal(err)
	}
	// A machine that is busy with other tests may not get there; far above it is a fault.
	if cores := (after.cpu - before.cpu) / time.Since(began).Seconds(); cores < .02 || cores > .4 {
		t.Errorf("the server used %.2f cores instead of about 0.20", cores)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if v, err := clients.Verify(t.Context()); err != nil || v.Lost != 0 || v.Read == 0 {
		t.Errorf("read back: %+v, %v", v, err)
	}
	if got := campaign.Stats(); got.Served == 0 {
		t.Errorf("the campaign: %+v", got)
	}
	keys, err := connection.do(t.Context(), "DBSIZE")
	if err != nil || keys.n != clients.Stats(time.Now()).Acknowledged {
		t.Errorf("%d keys for %d records: the campaign left some (%v)", keys.n, clients.Stats(time.Now()).Acknowledged, err)
	}
	// It kept its data in memory alone: after its death all is lost, and that must be seen.
	stop()
	dial, _ = realRedis(t)
	clients.Dial = dial
	if v, err := clients.Verify(t.Context()); err != nil || v.Lost != v.Read {
		t.Errorf("of an empty server: %+v, %v", v, err)
	}
}

func dialOnce(ctx context.Context, d Dialer) (*conn, error) {
	return dial(ctx, d, time.Second, 5*time.Second)
}
