package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
)

func TestAFileIsReadWhereNothingCanBeWritten(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "f")
	if err := durable.WriteFile(durable.OS{}, path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := durable.ReadFile(durable.OS{}, path, 10); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWriteFileSetsModeWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "f")
	if err := durable.WriteFile(durable.OS{}, path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o644 {
		t.Errorf("mode %v, want 0644", info.Mode())
	}
}

func TestWriteFileKeepsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65533); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(durable.OS{}, path, []byte("new"), 0o640); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 65534 || st.Gid != 65533 {
		t.Errorf("owner %d:%d, want 65534:65533", st.Uid, st.Gid)
	}
}

func TestWriteFileOnRealDiskLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, content := range []string{"one", "two"} {
		if err := durable.WriteFile(durable.OS{}, path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := durable.ReadFile(durable.OS{}, path, 10)
		if err != nil || string(got) != content {
			t.Fatalf("read %q, %v; want %q", got, err, content)
		}
	}
	if names, _ := (durable.OS{}).List(dir); len(names) != 1 {
		t.Errorf("directory has %v, want f alone", names)
	}
}

// A crash at every step of a replacement, in many outcomes each: the reader finds the old content or the new, whole,
// and the new if WriteFile had returned.
func TestWriteFileIsAllOrNothingAtEveryCrash(t *testing.T) {
	before, after := bytes.Repeat([]byte("a"), 3000), bytes.Repeat([]byte("b"), 5000)
	for step := 1; ; step++ {
		finished := false
		for seed := range uint64(50) {
			disk := crashfs.New()
			if err := durable.WriteFile(disk, "/d/f", before, 0o600); err != nil {
				t.Fatal(err)
			}
			disk.LosePowerAt(step)
			err := durable.WriteFile(disk, "/d/f", after, 0o600)
			finished = err == nil
			up := disk.Restart(rand.New(rand.NewPCG(seed, uint64(step))))
			got, readErr := durable.ReadFile(up, "/d/f", 1<<20)
			if readErr != nil {
				t.Fatalf("step %d seed %d: %v", step, seed, readErr)
			}
			if !bytes.Equal(got, after) && (finished || !bytes.Equal(got, before)) {
				t.Fatalf("step %d seed %d: finished %v, found %d bytes that are neither old nor new", step, seed, finished, len(got))
			}
			if _, err := durable.Sweep(up, "/d"); err != nil {
				t.Fatal(err)
			}
			if names, _ := up.List("/d"); len(names) != 1 {
				t.Fatalf("step %d seed %d: after Sweep there is %v", step, seed, names)
			}
		}
		if finished {
			if step < 6 {
				t.Fatalf("finished after %d steps: the crash points were not met", step)
			}
			return
		}
	}
}

func TestWriteFileOnFullDiskChangesNothingAndSaysSo(t *testing.T) {
	disk := crashfs.New()
	if err := durable.WriteFile(disk, "/d/f", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	disk.SetSpace(2)
	err := durable.WriteFile(disk, "/d/f", []byte("newer"), 0o600)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free space") {
		t.Errorf("error %v, want ENOSPC with a remedy", err)
	}
	if got, err := durable.ReadFile(disk, "/d/f", 10); err != nil || string(got) != "old" {
		t.Errorf("found %q, %v", got, err)
	}
	if names, _ := disk.List("/d"); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestWhatIsWrittenInPartsReplacesTheFileOnlyWhenAllIsWell(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write := func(parts ...string) error {
		return durable.WriteWith(durable.OS{}, path, 0o640, func(f durable.File) error {
			n := 0
			for _, p := range parts {
				if _, err := f.Write([]byte(p)); err != nil {
					return err
				}
				n += len(p)
			}
			back := make([]byte, n)
			if _, err := f.ReadAt(back, 0); err != nil {
				return err
			}
			if string(back) == "bad" {
				return syscall.EBADMSG
			}
			return nil
		})
	}
	if err := write("o", "l", "d"); err != nil {
		t.Fatal(err)
	}
	if err := write("ba", "d"); !errors.Is(err, syscall.EBADMSG) {
		t.Errorf("%v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestReadFileRefusesWhatIsTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.ReadFile(durable.OS{}, path, 10); err == nil {
		t.Error("11 bytes were read with a limit of 10")
	}
	if _, err := durable.ReadFile(durable.OS{}, path+"x", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestRemoveIsDurableAndRepeatable(t *testing.T) {
	for seed := range uint64(20) {
		disk := crashfs.New()
		if err := durable.WriteFile(disk, "/d/f", []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := durable.Remove(disk, "/d/f"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := disk.Restart(rand.New(rand.NewPCG(seed, 0))).Stat("/d/f"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("seed %d: the file came back: %v", seed, err)
		}
	}
}

func TestSweepTakesOnlyItsOwn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".f.gptmp-0011223344556677", ".hidden", "f.gptmp-x", "f"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := durable.Sweep(durable.OS{}, dir)
	if err != nil || n != 1 {
		t.Fatalf("swept %d, %v; want 1", n, err)
	}
	if names, _ := (durable.OS{}).List(dir); fmt.Sprint(names) != "[.hidden f f.gptmp-x]" {
		t.Errorf("left %v", names)
	}
}

func TestLockDirNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	lock, err := durable.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	// flock belongs to the open file, so a second open in this process conflicts like another process.
	_, err = durable.LockDir(dir)
	if !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("second lock: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := durable.LockDir(dir)
	if err != nil {
		t.Fatalf("after Unlock: %v", err)
	}
	again.Unlock()
}

func TestWhatIsNoFileIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(durable.OS{}, path, []byte("x"), 0o600); !errors.Is(err, durable.ErrNotRegular) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("it is %v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
