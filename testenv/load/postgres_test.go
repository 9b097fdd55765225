package load

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// realPostgres starts a PostgreSQL on a socket of its own, and returns how to reach it and how to stop and start it.
func realPostgres(t *testing.T) (d Dialer, control func(verb string)) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real PostgreSQL for some seconds: left out in short mode")
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Skip("needs a real PostgreSQL: apt-get install postgresql")
	}
	// Its socket's path is short, and its folder not root's, whom PostgreSQL refuses to run as.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	attributes := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("needs the user postgres: ", err)
		}
		uid, err := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err, err2, os.Chown(dir, uid, gid)); err != nil {
			t.Fatal(err)
		}
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	run := func(program string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(filepath.Dir(found[0]), program), args...) // not the test's context: it also stops the server
		cmd.Dir, cmd.SysProcAttr = dir, attributes
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s %s: %v", program, args, err)
		}
	}
	data := filepath.Join(dir, "data")
	run("initdb", "--username=postgres", "--auth=trust", "--no-sync", data)
	up := false
	control = func(verb string) {
		t.Helper()
		run("pg_ctl", verb, "--pgdata="+data, "--wait", "--mode=fast", "--log="+dir+"/log", "--options=-c listen_addresses= -k "+dir)
		up = verb == "start"
	}
	control("start")
	t.Cleanup(func() {
		if up {
			control("stop")
		}
	})
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, ".s.PGSQL.5432"))
	}, control
}

func TestARealPostgresKeepsEachRowOnceWhenItStopsAndStarts(t *testing.T) {
	dial, control := realPostgres(t)
	server := Postgres{}
	if err := server.MakeTable(t.Context(), dial); err != nil {
		t.Fatal(err)
	}
	clients := &Clients{Dial: dial, Server: server, Rate: 100}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- clients.Run(ctx) }()
	for _, verb := range []string{"stop", "start"} {
		written(t, clients, 50)
		control(verb)
		if verb == "stop" {
			continue
		}
		written(t, clients, 50)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stats := clients.Stats(time.Now())
	read, err := clients.Verify(t.Context())
	if err != nil || read.Lost > 0 || read.Read != stats.Acknowledged || stats.Errors == 0 {
		t.Errorf("%+v, %+v, %v", stats, read, err)
	}
	rows, keys, err := server.Rows(t.Context(), dial)
	if err != nil || rows != keys || rows < stats.Acknowledged || rows > stats.Acknowledged+int64(clients.Count) {
		t.Errorf("%d rows of %d keys, %d acknowledged: %v", rows, keys, stats.Acknowledged, err)
	}
	one, err := server.Connect(t.Context(), dial, readTimeout, readTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := one.Put(t.Context(), "rec:0:0", "what is there is not written over"); err != nil {
		t.Errorf("a row that is there: %v", err)
	}
	if got, err := one.Get(t.Context(), []string{"rec:0:0", "rec:9:9"}); err != nil || len(got) != 1 || got["rec:0:0"] != record(0, 0, clients.Size) {
		t.Errorf("%d rows, %v", len(got), err)
	}
}

// written waits until the clients have had so many more records acknowledged, or the server is down.
func written(t *testing.T, clients *Clients, more int64) {
	t.Helper()
	look, late := time.NewTicker(10*time.Millisecond), time.After(time.Minute)
	defer look.Stop()
	for from := clients.Stats(time.Now()); ; {
		now := clients.Stats(time.Now())
		if now.Acknowledged >= from.Acknowledged+more || now.Errors >= from.Errors+more {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("waited a minute for %d records: %+v", more, now)
		}
	}
}
