package auth

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheAuditGoesOnInANewFileWhenTheOldOneWasMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := NewAudit(slog.NewJSONHandler(f, nil))
	a.Write(t.Context(), Record{Actor: "ann/1", ID: "one"})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	a.Write(t.Context(), Record{Actor: "ann/1", ID: "two"})
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() { a.Write(t.Context(), Record{Actor: "ann/1", ID: fmt.Sprint("later-", i)}) })
	}
	all.Wait()
	old, _ := os.ReadFile(path + ".1")
	if text := string(old); !strings.HasPrefix(text, "before\n") || !strings.Contains(text, `"one"`) || !strings.Contains(text, `"two"`) || strings.Contains(text, "later") {
		t.Errorf("the old file: %s", text)
	}
	next, _ := os.ReadFile(path)
	if n := strings.Count(string(next), "\n"); n != 50 || strings.Contains(string(next), `"two"`) {
		t.Errorf("the new file has %d lines: %s", n, next)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestStrangersCanNotFillTheAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		a := NewAudit(slog.NewJSONHandler(&out, nil))
		for range 1000 {
			a.Write(t.Context(), Record{Code: "unauthorised"})
		}
		a.Write(t.Context(), Record{Actor: "ann/1", Code: "ok"})
		if n := strings.Count(out.String(), `"unauthorised"`); n != strangers || !strings.Contains(out.String(), "ann/1") {
			t.Errorf("%d records of strangers", n)
		}
		time.Sleep(time.Second)
		a.Write(t.Context(), Record{Code: "unauthorised"})
		if want := fmt.Sprintf(`"result":"skipped","records":%d`, 1000-strangers); !strings.Contains(out.String(), want) {
			t.Errorf("it does not say how many were left out: %s", out.String())
		}
	})
}
