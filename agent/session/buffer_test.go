package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func window(i int) proto.Window {
	return proto.Window{Instance: "cache-1", Start: timeline.Time(i) * proto.WindowLength, Samples: 10}
}

func openBuffer(t *testing.T, dir string, bytes int64) *Buffer {
	t.Helper()
	b, err := OpenBuffer(durable.OS{}, dir, bytes, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// drain takes everything, as a sender does, and returns the windows' numbers.
func drain(t *testing.T, b *Buffer) (got []int) {
	t.Helper()
	for {
		w, stored, err := b.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(w) == 0 {
			return got
		}
		for _, x := range w {
			got = append(got, int(x.Start/proto.WindowLength))
		}
		if err := stored(); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(from, to int) (n []int) {
	for i := from; i < to; i++ {
		n = append(n, i)
	}
	return n
}

func put(t *testing.T, b *Buffer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := b.Put(timeline.Time(i+1)*proto.WindowLength, []proto.Window{window(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWindowsLeaveInOrderAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b := openBuffer(t, dir, 1<<20)
	put(t, b, 0, 100)
	if err := b.Flush(timeline.Time(100) * proto.WindowLength); err != nil {
		t.Fatal(err)
	}
	b = openBuffer(t, dir, 1<<20)
	put(t, b, 100, 102)
	if diff := cmp.Diff(numbers(0, 102), drain(t, b)); diff != "" {
		t.Fatal(diff)
	}
	if got := drain(t, openBuffer(t, dir, 1<<20)); got != nil {
		t.Fatalf("delivered again after a restart: %v", got)
	}
}

func TestWhatIsNotStoredIsOfferedAgain(t *testing.T) {
	b := openBuffer(t, t.TempDir(), 1<<20)
	put(t, b, 0, 1)
	for range 2 {
		if w, _, err := b.Next(); err != nil || len(w) != 1 {
			t.Fatalf("%d windows, %v", len(w), err)
		}
	}
	_, stored, err := b.Next()
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, 1, 2) // comes while the others are on their way
	if err := stored(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(numbers(1, 2), drain(t, b)); diff != "" {
		t.Fatal(diff)
	}
}

func TestTheOldestGoWhenTheBufferIsFullOrTooOld(t *testing.T) {
	b := openBuffer(t, t.TempDir(), 2000)
	put(t, b, 0, 400)
	got := drain(t, b)
	if len(got) == 0 || len(got) > 300 || got[len(got)-1] != 399 || b.Dropped() == 0 {
		t.Fatalf("%d windows, dropped %d", len(got), b.Dropped())
	}
	if diff := cmp.Diff(numbers(got[0], 400), got); diff != "" {
		t.Fatal(diff)
	}
	b = openBuffer(t, t.TempDir(), 1<<20)
	put(t, b, 0, 10)
	day := int(25 * time.Hour / (10 * time.Second))
	put(t, b, day, day+10)
	if got := drain(t, b); got[0] < 9 {
		t.Fatalf("windows of yesterday are still there: %v", got)
	}
}

func TestABufferTellsHowMuchWaits(t *testing.T) {
	b, err := OpenBuffer(durable.OS{}, t.TempDir(), 1<<20, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	three := make([]proto.Window, 3)
	if err := b.Put(0, three); err != nil || b.Waiting() != 3 {
		t.Fatalf("%d windows wait, %v", b.Waiting(), err)
	}
	if err := b.Flush(0); err != nil || b.Waiting() != batchWindows {
		t.Fatalf("%d windows wait in a file, %v", b.Waiting(), err)
	}
	_, stored, err := b.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := stored(); err != nil || b.Waiting() != 0 {
		t.Fatalf("%d windows wait after they were stored, %v", b.Waiting(), err)
	}
}
