package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestASourceThatPutItsDataAwayInPartTakesThemBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.hosts[0]
		l.must(os.MkdirAll(a.path("lib/more"), 0o755))
		l.must(os.WriteFile(a.path("lib/more/log"), []byte("precious, too"), 0o600))
		l.done(0, proto.OpAdopt, 1, "", nil)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.stuck = a.path("lib/more")
		refusedFor(t, l.do(0, proto.OpRetire, 3, m1, nil), proto.FaultFailed, "input/output error")
		if exists(a.path("lib/redis")) || !exists(a.path("lib/more")) {
			t.Fatal("it is not put away in part")
		}

		// Where something else lies meanwhile nothing is put back, and nothing granted.
		l.must(os.MkdirAll(a.path("lib/redis"), 0o755))
		l.must(os.WriteFile(a.path("lib/redis/new"), nil, 0o600))
		before := a.tree()
		refusedFor(t, l.do(0, proto.OpThaw, 4, m1, nil), proto.FaultRefused, "something else lies at "+a.path("lib/redis"))
		if d := cmp.Diff(before, a.tree()); d != "" {
			t.Errorf("it was touched: %s", d)
		}
		if r := a.driver.Fence.Get(name); r.State != proto.FenceRetired {
			t.Errorf("it is %s", r.State)
		}

		l.must(os.Remove(a.path("lib/redis/new")))
		l.done(0, proto.OpThaw, 4, m1, nil)
		l.expectRunning(a)
		if data, err := os.ReadFile(a.path("lib/more/log")); err != nil || string(data) != "precious, too" {
			t.Errorf("%q, %v", data, err)
		}
		if kept, err := a.driver.Retention(context.Background()); err != nil || len(kept.Items) > 0 {
			t.Errorf("what is retained: %+v, %v", kept, err)
		}
		// And it can move on.
		l.stuck = ""
		l.done(0, proto.OpFreeze, 5, m2, nil)
		l.done(0, proto.OpRetire, 6, m2, nil)
	})
}

func TestASourceWhoseRetainedDataWereRemovedIsNotThawed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.done(0, proto.OpAdopt, 1, "", nil)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		l.done(0, proto.OpRetire, 3, m1, nil)
		kept, err := l.hosts[0].driver.Retention(context.Background())
		l.must(err)
		l.must(os.RemoveAll(kept.Items[0].Paths[0]))
		refusedFor(t, l.do(0, proto.OpThaw, 4, m1, nil), proto.FaultRefused, "is gone")
	})
}

func TestWhatIsRetainedIsListedAndForgottenWhenItIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.hosts[0]
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		began := timeline.Of(time.Now())
		l.done(0, proto.OpRetire, 3, m1, nil)
		for _, read := range []func() (proto.Retention, error){
			func() (proto.Retention, error) { return ReadRetention(context.Background(), a.path("keep")) },
			func() (proto.Retention, error) { return a.driver.Retention(context.Background()) },
			func() (proto.Retention, error) { return a.driver.Retention(context.Background()) }, // measured before
		} {
			kept, err := read()
			l.must(err)
			if len(kept.Items) != 1 {
				t.Fatalf("%+v", kept)
			}
			i := kept.Items[0]
			if i.Instance != name || i.Migration != m1 || i.At < began || i.Files != 1 || i.Partial || len(i.Paths) != 1 || !strings.HasSuffix(i.Paths[0], a.path("lib/redis")) {
				t.Errorf("%+v", i)
			}
		}
		n, err := readNote(durable.OS{}, notePath(a.path("keep"), name, m1))
		if err != nil || !n.Measured {
			t.Errorf("what was measured is not remembered: %+v, %v", n, err)
		}
		kept, err := a.driver.Retention(context.Background())
		l.must(err)
		l.must(os.RemoveAll(kept.Items[0].Paths[0]))
		if kept, err = a.driver.Retention(context.Background()); err != nil || len(kept.Items) > 0 || exists(notePath(a.path("keep"), name, m1)) {
			t.Errorf("%+v, %v", kept, err)
		}
	})
}

func TestWhatTakesLongToMeasureIsGivenInPart(t *testing.T) {
	keep := t.TempDir()
	data := filepath.Join(keep, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	d := New(Config{KeepDir: keep, Files: durable.OS{}})
	if err := d.saveNote(retained{Instance: name, Migration: m1, At: 1, Moves: []move{{From: "/gone", To: data}}}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if kept, err := d.Retention(ended); err != nil || len(kept.Items) != 1 || !kept.Items[0].Partial {
		t.Errorf("%+v, %v", kept, err)
	}
	if kept, err := d.Retention(context.Background()); err != nil || len(kept.Items) != 1 || kept.Items[0].Partial {
		t.Errorf("%+v, %v", kept, err)
	}
}
