package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
)

const journalPath = "/d/journal"

func open(t *testing.T, fsys durable.FS, opts durable.JournalOptions) (*durable.Journal, []string) {
	t.Helper()
	j, records, err := tryOpen(fsys, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, records
}

func tryOpen(fsys durable.FS, opts durable.JournalOptions) (*durable.Journal, []string, error) {
	var records []string
	j, err := durable.OpenJournal(fsys, journalPath, opts, func(r []byte) error {
		records = append(records, string(r))
		return nil
	})
	return j, records, err
}

func mustAppend(t *testing.T, j *durable.Journal, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := j.Append([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournalReplaysWhatWasAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	var want []string
	for round := range 3 {
		var got []string
		j, err := durable.OpenJournal(durable.OS{}, path, durable.JournalOptions{}, func(r []byte) error {
			got = append(got, string(r))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) || j.Len() != len(want) || j.Torn() != 0 {
			t.Fatalf("round %d: replayed %q, want %q", round, got, want)
		}
		for i := range 5 {
			r := fmt.Sprint("record ", round, i)
			mustAppend(t, j, r)
			want = append(want, r)
		}
		if info, _ := os.Stat(path); info.Size() != j.Size() {
			t.Errorf("Size() = %d, the file has %d", j.Size(), info.Size())
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A random run of appends and compactions, cut off at every step, in many outcomes: every record whose Append returned
// is there, in order, at most one more follows, and the journal takes new records.
func TestJournalKeepsEveryAcknowledgedRecordAtEveryCrash(t *testing.T) {
	for seed := range uint64(15) {
		for step := 1; ; step++ {
			rnd := rand.New(rand.NewPCG(seed, 1))
			disk := crashfs.New()
			disk.LosePowerAt(step)
			acked, inFlight, err := work(disk, rnd)
			up := disk.Restart(rand.New(rand.NewPCG(seed, uint64(step))))
			j, got, openErr := tryOpen(up, durable.JournalOptions{})
			if openErr != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, openErr)
			}
			ok := false
			for _, may := range append([][]string{acked}, inFlight...) {
				ok = ok || reflect.DeepEqual(got, may) || len(got)+len(may) == 0
			}
			if !ok {
				t.Fatalf("seed %d step %d: found %d records, %d were acknowledged, may be %d other states", seed, step, len(got), len(acked), len(inFlight))
			}
			mustAppend(t, j, "after")
			j.Close()
			if _, again, err := tryOpen(up, durable.JournalOptions{}); err != nil || len(again) != len(got)+1 {
				t.Fatalf("seed %d step %d: reopened with %d records, %v", seed, step, len(again), err)
			}
			if err == nil {
				break
			}
		}
	}
}

// work appends and compacts until the power goes. It returns the acknowledged records and the other states that the call in flight may leave.
func work(disk durable.FS, rnd *rand.Rand) (acked []string, inFlight [][]string, err error) {
	j, _, err := tryOpen(disk, durable.JournalOptions{})
	if err != nil {
		return nil, nil, err
	}
	for i := range 12 {
		if i%5 == 4 {
			kept := acked[len(acked)/2:]
			var raw [][]byte
			for _, r := range kept {
				raw = append(raw, []byte(r))
			}
			if err := j.Compact(raw); err != nil {
				return acked, [][]string{kept}, err
			}
			acked = append([]string(nil), kept...)
			continue
		}
		record := make([]byte, 1+rnd.IntN(2000))
		for k := range record {
			record[k] = byte(rnd.Uint32())
		}
		if err := j.Append(record); err != nil {
			return acked, [][]string{append(acked[:len(acked):len(acked)], string(record))}, err
		}
		acked = append(acked, string(record))
	}
	return acked, nil, nil
}

func TestJournalCutsOffATornTailOfEveryLength(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "whole")
	j, err := durable.OpenJournal(durable.OS{}, path, durable.JournalOptions{}, func([]byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, "first")
	keep := j.Size()
	mustAppend(t, j, "the last record")
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := int(keep); n < len(whole); n++ {
		for name, tail := range map[string][]byte{
			"short":  whole[keep:n],
			"zeroed": append(bytes.Clone(whole[keep:n]), make([]byte, len(whole)-n)...),
		} {
			path := filepath.Join(dir, fmt.Sprint(name, n))
			if err := os.WriteFile(path, append(bytes.Clone(whole[:keep]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			j, err := durable.OpenJournal(durable.OS{}, path, durable.JournalOptions{}, func(r []byte) error { got = append(got, string(r)); return nil })
			if err != nil {
				t.Fatalf("%s tail of %d bytes: %v", name, len(tail), err)
			}
			if len(got) != 1 || got[0] != "first" || j.Torn() != int64(len(tail)) || j.Size() != keep {
				t.Errorf("%s tail of %d bytes: %q, torn %d", name, len(tail), got, j.Torn())
			}
			j.Close()
		}
	}
}

func TestJournalRefusesDamageBeforeItsEndAndNamesThePlace(t *testing.T) {
	build := func() (*crashfs.FS, []int64, int64) {
		disk := crashfs.New()
		j, _ := open(t, disk, durable.JournalOptions{})
		var starts []int64
		for i := range 4 {
			starts = append(starts, j.Size())
			mustAppend(t, j, fmt.Sprint("record number ", i))
		}
		return disk, starts, j.Size()
	}
	_, starts, size := build()
	for at := int64(0); at < size; at++ {
		disk, _, _ := build()
		disk.Flip(journalPath, int(at))
		_, got, err := tryOpen(disk, durable.JournalOptions{})
		if at >= starts[3] { // a damaged last record can't be told from an unfinished one
			if err != nil || len(got) != 3 {
				t.Errorf("byte %d: %d records, %v; want 3", at, len(got), err)
			}
			continue
		}
		var corrupt *durable.CorruptError
		if !errors.As(err, &corrupt) {
			t.Fatalf("byte %d: %v, want a CorruptError", at, err)
		}
		var want int64
		for _, s := range starts {
			if s <= at {
				want = s
			}
		}
		if corrupt.Offset != want {
			t.Errorf("byte %d: named %d, want %d", at, corrupt.Offset, want)
		}
	}
}

func TestJournalStaysUsableAfterAFullDisk(t *testing.T) {
	disk := crashfs.New()
	j, _ := open(t, disk, durable.JournalOptions{})
	mustAppend(t, j, "one")
	disk.SetSpace(5)
	if err := j.Append([]byte("does not fit")); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, durable.ErrJournalBroken) {
		t.Fatalf("full disk: %v", err)
	}
	if err := j.Compact([][]byte{[]byte("nor this")}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("full disk: %v", err)
	}
	disk.SetSpace(-1)
	mustAppend(t, j, "two")
	if _, got := open(t, disk, durable.JournalOptions{}); !reflect.DeepEqual(got, []string{"one", "two"}) {
		t.Errorf("found %q", got)
	}
}

func TestJournalTrustsNothingAfterAFailedSync(t *testing.T) {
	disk := crashfs.New()
	j, _ := open(t, disk, durable.JournalOptions{})
	disk.FailSync(syscall.EIO)
	if err := j.Append([]byte("x")); !errors.Is(err, durable.ErrJournalBroken) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("failed sync: %v", err)
	}
	disk.FailSync(nil)
	if err := j.Append([]byte("y")); !errors.Is(err, durable.ErrJournalBroken) {
		t.Errorf("append after a failed sync: %v", err)
	}
}

func TestJournalKeepsItsBounds(t *testing.T) {
	disk := crashfs.New()
	j, _ := open(t, disk, durable.JournalOptions{MaxSize: 100, MaxRecord: 20})
	if err := j.Append(make([]byte, 21)); err == nil {
		t.Error("a record above the limit was taken")
	}
	if err := j.Append(nil); err == nil {
		t.Error("an empty record was taken")
	}
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = j.Append([]byte("12345678"))
	}
	if !errors.Is(err, durable.ErrJournalFull) || n != 5 { // 8 + 4×20 ≤ 100
		t.Fatalf("full after %d: %v", n, err)
	}
	if err := j.Compact([][]byte{[]byte("kept")}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, "new")
	if _, got := open(t, disk, durable.JournalOptions{}); !reflect.DeepEqual(got, []string{"kept", "new"}) {
		t.Errorf("found %q", got)
	}
}

func TestJournalTakesRecordsFromManyGoroutines(t *testing.T) {
	disk := crashfs.New()
	j, _ := open(t, disk, durable.JournalOptions{})
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 20 {
				if err := j.Append(fmt.Appendf(nil, "%d/%d", g, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if _, got := open(t, disk, durable.JournalOptions{}); len(got) != 160 {
		t.Errorf("found %d records, want 160", len(got))
	}
}

func FuzzJournalOpenNeverPanicsOrLosesAPrefix(f *testing.F) {
	disk := crashfs.New()
	j, _, err := tryOpen(disk, durable.JournalOptions{})
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range []string{"a", "bb", "ccc"} {
		if err := j.Append([]byte(r)); err != nil {
			f.Fatal(err)
		}
	}
	good, err := durable.ReadFile(disk, journalPath, 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte("GPJRNL1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		disk := crashfs.New()
		if err := durable.WriteFile(disk, journalPath, append(bytes.Clone(good), data...), 0o600); err != nil {
			t.Fatal(err)
		}
		j, got, err := tryOpen(disk, durable.JournalOptions{MaxRecord: 1 << 16})
		if err != nil {
			return // damage, told
		}
		if len(got) < 3 || got[0] != "a" || got[1] != "bb" || got[2] != "ccc" {
			t.Fatalf("lost records: %q", got)
		}
		if err := j.Append([]byte("more")); err != nil {
			t.Fatal(err)
		}
		if _, again, err := tryOpen(disk, durable.JournalOptions{MaxRecord: 1 << 16}); err != nil || len(again) != len(got)+1 {
			t.Fatalf("reopened with %d records, %v; want %d", len(again), err, len(got)+1)
		}
	})
}
