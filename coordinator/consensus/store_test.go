package consensus

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

func newStore(t interface {
	Helper()
	Fatal(...any)
}, path string) *Store {
	t.Helper()
	s, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheLogBehavesLikeRaftsInMemoryLog(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, time.Now().Format("150405.000000000")+strings.Repeat("x", n%7))
		s, twin := newStore(t, path), raft.NewInmemStore()
		defer func() { s.Close() }()
		first, next := uint64(1), uint64(1)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				var logs []*raft.Log
				for range rapid.IntRange(1, 4).Draw(t, "entries") {
					logs = append(logs, &raft.Log{
						Index: next, Term: rapid.Uint64Range(1, 9).Draw(t, "term"), Type: raft.LogType(rapid.IntRange(0, 5).Draw(t, "type")),
						Data: rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "data"), Extensions: rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "extensions"),
						AppendedAt: time.Unix(0, rapid.Int64Range(1, 1<<60).Draw(t, "at")),
					})
					next++
				}
				if err := errors.Join(s.StoreLogs(logs), twin.StoreLogs(logs)); err != nil {
					t.Fatal(err)
				}
			},
			"compact": func(t *rapid.T) {
				if first == next {
					t.Skip("empty")
				}
				to := rapid.Uint64Range(first, next-1).Draw(t, "to")
				if err := errors.Join(s.DeleteRange(first, to), twin.DeleteRange(first, to)); err != nil {
					t.Fatal(err)
				}
				first = to + 1
			},
			"reopen": func(t *rapid.T) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = newStore(t, path)
			},
			"": func(t *rapid.T) {
				if first == next {
					return // the in-memory log keeps stale edges when it is emptied
				}
				a, _ := s.FirstIndex()
				b, _ := s.LastIndex()
				if a != first || b != next-1 {
					t.Fatalf("edges %d to %d, want %d to %d", a, b, first, next-1)
				}
				for i := first - 1; i <= next; i++ {
					var got, want raft.Log
					errGot, errWant := s.GetLog(i, &got), twin.GetLog(i, &want)
					if !errors.Is(errGot, errWant) {
						t.Fatalf("entry %d: %v, want %v", i, errGot, errWant)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatal(diff)
					}
				}
			},
		})
	})
}

func TestStableValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := newStore(t, path)
	if _, err := s.Get([]byte("vote")); err == nil || err.Error() != "not found" {
		t.Fatalf("raft knows a missing key by the text %q, got %v", "not found", err)
	}
	if n, err := s.GetUint64([]byte("term")); n != 0 || err != nil {
		t.Fatalf("a number never set: %d, %v", n, err)
	}
	if err := errors.Join(s.SetUint64([]byte("term"), 7), s.Set([]byte("vote"), []byte("c1")), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, path)
	defer s.Close()
	if n, err := s.GetUint64([]byte("term")); n != 7 || err != nil {
		t.Fatalf("after reopening: %d, %v", n, err)
	}
	if v, err := s.Get([]byte("vote")); string(v) != "c1" || err != nil {
		t.Fatalf("after reopening: %q, %v", v, err)
	}
	if _, err := s.GetUint64([]byte("vote")); err == nil {
		t.Fatal("a value that is no number was read as one")
	}
}

func TestASecondCoordinatorOnTheSameFilesIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := newStore(t, path)
	defer s.Close()
	if _, err := OpenStore(path); err == nil || !strings.Contains(err.Error(), "another coordinator uses it") {
		t.Fatal(err)
	}
}

func TestACorruptEntryIsAnError(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, append(make([]byte, 17), 0xff, 0xff, 0xff, 0xff)} {
		if err := decodeLog(1, b, &raft.Log{}); err == nil {
			t.Errorf("% x was read", b)
		}
	}
}
