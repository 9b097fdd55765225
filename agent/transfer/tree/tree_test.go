package tree

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// round indexes target, sends the difference and applies it.
func round(t testing.TB, source, target string, policy Policy) (sent, applied Result, err error) {
	t.Helper()
	var index, changes bytes.Buffer
	if _, err := Index(t.Context(), target, &index); err != nil {
		return Result{}, Result{}, fmt.Errorf("index: %w", err)
	}
	return send(t, source, target, index.Bytes(), &changes, policy)
}

func send(t testing.TB, source, target string, index []byte, changes *bytes.Buffer, policy Policy) (sent, applied Result, err error) {
	t.Helper()
	sent, err = Send(t.Context(), SendJob{Root: source, Index: bytes.NewReader(index), Policy: policy, Final: true}, changes)
	if err != nil {
		return Result{}, Result{}, fmt.Errorf("send: %w", err)
	}
	applied, err = Apply(t.Context(), ApplyJob{Root: target, Index: bytes.NewReader(index), Policy: policy}, changes)
	if err != nil {
		return sent, Result{}, fmt.Errorf("apply: %w", err)
	}
	return sent, applied, nil
}

// mustRound is a round that has to succeed and to leave equal trees.
func mustRound(t testing.TB, source, target string) Result {
	t.Helper()
	sent, applied, err := round(t, source, target, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent.Digest, applied.Digest) {
		t.Fatalf("digests %x and %x", sent.Digest, applied.Digest)
	}
	sameTrees(t, source, target)
	return sent
}

// sameTrees compares two trees by other people's programs.
func sameTrees(t testing.TB, a, b string) {
	t.Helper()
	if got, want := describe(t, b), describe(t, a); got != want {
		t.Fatalf("the trees differ\n--- source\n%s\n--- target\n%s", want, got)
	}
}

func describe(t testing.TB, root string) string {
	t.Helper()
	if _, err := os.Lstat(root); errors.Is(err, os.ErrNotExist) {
		return "nothing"
	}
	run := func(script string) string {
		cmd := exec.Command("sh", "-c", script, "sh", root)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("describe %s: %v\n%s", root, err, out)
		}
		return string(out)
	}
	// Sockets stay behind on purpose.
	names := run(`cd "$1" && find . ! -type s -printf '%p %y %m %u %g %T@ %l %n\n' | sort && find . -type f -print0 | sort -z | xargs -0r cksum`)
	// These two go through a directory as the file system has it.
	sections := strings.Split(run(`cd "$1" && getfattr -Rhd -m - -e hex . && getfacl -Rpn .`), "\n\n")
	slices.Sort(sections)
	return names + strings.Join(sections, "\n")
}

func sh(t testing.TB, dir, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func twoRoots(t testing.TB) (source, target string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("owners and attributes of others can be set by root only")
	}
	for _, tool := range []string{"setfacl", "getfacl", "getfattr", "setfattr"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v: install acl and attr", err)
		}
	}
	dir := t.TempDir()
	source, target = filepath.Join(dir, "source"), filepath.Join(dir, "target")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	return source, target
}

// menagerie makes one of everything that a data directory may have.
const menagerie = `
	head -c 300000 /dev/urandom > plain; head -c 32768 /dev/urandom > block; : > empty
	truncate -s 5M sparse; printf x | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none
	truncate -s 100000 hole; head -c 100000 /dev/zero > written-zeros
	ln plain 'hard link'; mkdir -p sub/deep; ln plain sub/deep/linked
	ln -s nowhere dangling; ln -s sub/deep dir-link; ln -s /etc/passwd absolute
	mkfifo -m 640 fifo
	chown nobody:daemon plain; chown 54321:54322 block; chmod 2750 sub; chmod 1777 sub/deep; chmod 000 empty
	setfattr -n user.note -v 'some value' plain; setfattr -n user.bin -v 0x00ff00 sub; setfattr -n trusted.t -v 1 block
	setfacl -m u:daemon:rwx,g:bin:r-x,u:54321:r-- block; setfacl -d -m u:daemon:rwx sub
	printf bad > "$(printf 'b\377\376ad')"; printf nl > "$(printf 'new\nline')"; printf d > ./-dash; printf q > '*?"'
	mkdir a a.b 'a b'; printf 1 > a/z; printf 2 > a.b/z; printf 3 > a0
	touch -h -d '1969-12-31 23:59:58.5 UTC' dangling; touch -d '1960-01-01' hole; touch -d '2001-02-03 04:05:06.123456789' sub
`

func TestEverythingArrivesInAnEmptyPlace(t *testing.T) {
	source, target := twoRoots(t)
	sh(t, source, menagerie)
	mustRound(t, source, target)
	if got := mustRound(t, source, target); got.Changed != 0 {
		t.Errorf("a second round changed %d bytes", got.Changed)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(target, "sparse"), &st); err != nil {
		t.Fatal(err)
	}
	if used := st.Blocks * 512; used > 1<<20 {
		t.Errorf("a sparse file of one byte takes %d bytes", used)
	}
}

func TestEveryKindOfChangeArrives(t *testing.T) {
	for _, change := range []string{
		`printf X | dd of=plain bs=1 seek=150000 conv=notrunc status=none`,
		`head -c 10000 /dev/urandom >> plain`, `truncate -s 100 plain`, `truncate -s 40000 plain`, `truncate -s 1M block`,
		`: > plain`, `rm plain`, `rm -r sub`, `mv plain moved`, `mv sub ../tmp-sub; mkdir sub; mv ../tmp-sub sub/inner`,
		`rm 'hard link'; cp plain 'hard link'`, `rm plain; printf other > plain`, `ln -f block 'hard link'`, `ln empty a/empty; ln empty a/another`,
		`rm plain; mkdir plain; printf x > plain/x`, `rm -r sub; printf file > sub`, `rm dangling; mkfifo dangling`, `rm fifo; ln -s x fifo`,
		`ln -sfn elsewhere dangling`, `touch -h -d 2020-01-01 dangling`, `chown -h daemon dangling`, `chmod 700 sub/deep`, `chown daemon:bin empty`,
		`setfattr -x user.note plain`, `setfattr -n user.note -v changed plain`, `setfacl -b block`, `setfacl -k sub`, `setfacl -m u:daemon:r-- block`,
		`fallocate -p -o 32768 -l 98304 plain`, `head -c 65536 /dev/urandom | dd of=sparse bs=64k seek=3 conv=notrunc status=none`,
		`head -c 100000 /dev/urandom | dd of=hole conv=notrunc status=none`, `touch -d '2010-10-10 10:10:10.1' . sub`, `chmod 711 .; chown daemon .`,
		`rm -r a a.b 'a b' a0; mkdir a0; printf 1 > a0/a`, `find . -mindepth 1 -delete`, `touch a/new; rm a/z`, `mv a.b a.c; mv a a.b`,
	} {
		t.Run(change, func(t *testing.T) {
			source, target := twoRoots(t)
			sh(t, source, menagerie)
			// Not compared: that everything arrives in an empty place has a test of its own, and comparing takes most of the time.
			if _, _, err := round(t, source, target, Policy{}); err != nil {
				t.Fatal(err)
			}
			sh(t, source, change)
			mustRound(t, source, target)
		})
	}
}

func TestContentDecidesNotTheClock(t *testing.T) {
	source, target := twoRoots(t)
	path := filepath.Join(source, "data")
	for i := range 20 {
		write(t, path, random(100_000))
		if err := os.Chtimes(path, unixEpoch, unixEpoch); err != nil { // the same size and the same second, to the nanosecond
			t.Fatal(err)
		}
		if sent := mustRound(t, source, target); sent.Changed < 90_000 {
			t.Fatalf("rewrite %d: only %d bytes sent", i, sent.Changed)
		}
	}
}

func TestOnlyBlocksThatDifferAreSent(t *testing.T) {
	source, target := twoRoots(t)
	write(t, filepath.Join(source, "data"), random(100*BlockSize+17))
	mustRound(t, source, target)
	sh(t, source, `head -c 10 /dev/urandom | dd of=data bs=1 seek=1000000 conv=notrunc status=none; printf tail >> data`)
	if sent := mustRound(t, source, target); sent.Changed != BlockSize+21 {
		t.Errorf("%d bytes sent, want one block and the tail", sent.Changed)
	}
}

func TestASingleFileIsATreeToo(t *testing.T) {
	source, target := twoRoots(t)
	source, target = filepath.Join(source, "app.conf"), target+".conf"
	for _, content := range []string{"one", "two", strings.Repeat("long", 50_000)} {
		write(t, source, []byte(content))
		if _, _, err := round(t, source, target, Policy{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(target); err != nil || string(got) != content {
			t.Fatalf("got %.20q, %v", got, err)
		}
	}
}

func TestTenThousandFilesInOneDirectory(t *testing.T) {
	source, target := twoRoots(t)
	for i := range 10_000 {
		write(t, filepath.Join(source, fmt.Sprintf("file-%d", i)), []byte(fmt.Sprint(i)))
	}
	mustRound(t, source, target)
	sh(t, source, `rm file-5* ; printf changed > file-77`)
	mustRound(t, source, target)
}

func TestDeepNamesArrive(t *testing.T) {
	source, target := twoRoots(t)
	name := strings.Repeat("n", 200)
	dir := source
	for range 15 {
		dir = filepath.Join(dir, name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "leaf"), []byte("deep"))
	mustRound(t, source, target)
	if err := os.RemoveAll(filepath.Join(source, name)); err != nil {
		t.Fatal(err)
	}
	mustRound(t, source, target)
}

func TestSocketsStayBehind(t *testing.T) {
	source, target := twoRoots(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(source, "s")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := round(t, source, target, Policy{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(target, "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket: %v", err)
	}
}

func TestSetIDAndDevicesNeedPermission(t *testing.T) {
	source, target := twoRoots(t)
	sh(t, source, `printf x > suid; chmod 6755 suid; mknod -m 600 null c 1 3; mkdir d; chmod 2755 d`)
	sent, _, err := round(t, source, target, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if sent.Dropped != 2 {
		t.Errorf("%d dropped, want 2", sent.Dropped)
	}
	sh(t, target, `test "$(stat -c %a suid)" = 755; test ! -e null; test "$(stat -c %a d)" = 2755`)
	if _, _, err := round(t, source, target, Policy{Devices: true, SetID: true}); err != nil {
		t.Fatal(err)
	}
	sameTrees(t, source, target)
}

var unixEpoch = time.Unix(1_000_000_000, 0)
