package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/agent/transfer/frame"
)

// script is what a hostile sender says.
type script struct{ bytes.Buffer }

func (s *script) frame(kind byte, p []byte) *script {
	s.Write(frame.Append(nil, kind, p))
	return s
}

func (s *script) entry(e Entry) *script {
	if e.Owner == "" && e.Kind != Hardlink {
		e.Owner, e.Group = "root", "root"
	}
	return s.frame(frameEntry, e.append(nil))
}

func (s *script) block(i uint64, data []byte) *script {
	return s.frame(frameData, append(binary.AppendUvarint(nil, i), data...))
}

// applyTo applies s to a target with a directory d and a file f in it, and reports whether anything beside the target was touched.
func applyTo(t testing.TB, s *script, policy Policy) error {
	t.Helper()
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	sh(t, dir, `mkdir -p target/d outside; printf old > target/d/f; printf safe > outside/file; ln -s ../outside target/link; mkfifo target/pipe`)
	var index bytes.Buffer
	if _, err := Index(t.Context(), target, &index); err != nil {
		t.Fatal(err)
	}
	_, err := Apply(t.Context(), ApplyJob{Root: target, Index: &index, Policy: policy}, s)
	list, readErr := os.ReadDir(dir)
	if readErr != nil || len(list) > 2 {
		t.Errorf("beside the target: %v, %v", list, readErr)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "outside/file")); err != nil || string(got) != "safe" {
		t.Errorf("outside/file: %q, %v", got, err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, "outside")); err != nil || len(list) != 1 {
		t.Errorf("outside: %v, %v", list, err)
	}
	return err
}

func TestHostileChangesAreRefusedAndStayInside(t *testing.T) {
	long := strings.Repeat("x", 256)
	file := Entry{Path: "new", Kind: File, Mode: 0o600, Size: 10}
	for name, c := range map[string]struct {
		s    *script
		want error
	}{
		"dot-dot":              {new(script).entry(Entry{Path: "../outside/file", Kind: File}), ErrProtocol},
		"dot-dot inside":       {new(script).entry(Entry{Path: "d/../../x", Kind: Dir}), ErrProtocol},
		"absolute":             {new(script).entry(Entry{Path: "/etc/x", Kind: File}), ErrProtocol},
		"dot":                  {new(script).entry(Entry{Path: "./x", Kind: File}), ErrProtocol},
		"empty component":      {new(script).entry(Entry{Path: "d//x", Kind: File}), ErrProtocol},
		"zero byte":            {new(script).entry(Entry{Path: "d\x00x", Kind: File}), ErrProtocol},
		"long name":            {new(script).entry(Entry{Path: long, Kind: File}), ErrProtocol},
		"through a link":       {new(script).entry(Entry{Path: "link/file", Kind: File}), ErrProtocol},
		"into a new link":      {new(script).entry(Entry{Path: "a", Kind: Symlink, Target: "../outside"}).entry(Entry{Path: "a/x", Kind: File}), ErrProtocol},
		"delete outside":       {new(script).frame(frameDelete, []byte("../outside")), ErrProtocol},
		"delete the root":      {new(script).frame(frameDelete, nil), ErrProtocol},
		"delete unknown":       {new(script).frame(frameDelete, []byte("nothing")), ErrProtocol},
		"delete through link":  {new(script).frame(frameDelete, []byte("link/file")), ErrProtocol},
		"no directory":         {new(script).entry(Entry{Path: "no/x", Kind: File}), ErrProtocol},
		"backwards":            {new(script).entry(Entry{Path: "d", Kind: Dir}).entry(Entry{Path: "b", Kind: Dir}), ErrProtocol},
		"twice":                {new(script).entry(Entry{Path: "d", Kind: Dir}).entry(Entry{Path: "d", Kind: Dir}), ErrProtocol},
		"link outside":         {new(script).entry(Entry{Path: "h", Kind: Hardlink, Target: "../outside/file"}), ErrProtocol},
		"link through link":    {new(script).entry(Entry{Path: "z", Kind: Hardlink, Target: "link/file"}), unix.ELOOP},
		"link to a directory":  {new(script).entry(Entry{Path: "h", Kind: Hardlink, Target: "d"}), ErrProtocol},
		"link forwards":        {new(script).entry(Entry{Path: "c", Kind: Hardlink, Target: "d/f"}), ErrProtocol},
		"socket":               {new(script).entry(Entry{Path: "s", Kind: Socket}), ErrProtocol},
		"device":               {new(script).entry(Entry{Path: "n", Kind: Char, Rdev: 259}), ErrPolicy},
		"set-user-ID":          {new(script).entry(Entry{Path: "n", Kind: File, Mode: 0o4755}), ErrPolicy},
		"capability":           {new(script).entry(Entry{Path: "n", Kind: File, Xattrs: []Xattr{{capability, "x"}}}), ErrPolicy},
		"foreign attribute":    {new(script).entry(Entry{Path: "n", Kind: File, Xattrs: []Xattr{{"security.selinux", "x"}}}), ErrProtocol},
		"broken ACL":           {new(script).entry(Entry{Path: "n", Kind: Dir, Xattrs: []Xattr{{aclAccess, "\xff\xff"}}}).entry(Entry{Path: "o", Kind: Dir}), ErrProtocol},
		"unknown owner":        {new(script).entry(Entry{Path: "n", Kind: Symlink, Target: "x", Owner: "no-such-user", Group: "root"}), ErrNoName},
		"owner -1":             {new(script).entry(Entry{Path: "n", Kind: Symlink, Target: "x", Owner: "#4294967295", Group: "root"}), ErrProtocol},
		"block before a file":  {new(script).block(0, []byte("x")), ErrProtocol},
		"block beyond the end": {new(script).entry(file).block(1, []byte("0123456789")), ErrProtocol},
		"block too long":       {new(script).entry(file).block(0, []byte("0123456789a")), ErrProtocol},
		"block too short":      {new(script).entry(file).block(0, []byte("012")), ErrProtocol},
		"block missing":        {new(script).entry(file).entry(Entry{Path: "newer", Kind: Dir}), ErrProtocol},
		"block twice":          {new(script).entry(file).block(0, []byte("0123456789")).block(0, []byte("0123456789")), ErrProtocol},
		"zeros beyond the end": {new(script).entry(file).frame(frameZeros, []byte{0, 2}), ErrProtocol},
		"zeros without end":    {new(script).entry(file).frame(frameZeros, append([]byte{0}, binary.AppendUvarint(nil, 1<<63)...)), ErrProtocol},
		"huge file":            {new(script).frame(frameEntry, (&Entry{Path: "n", Kind: File, Owner: "root", Group: "root", Size: 1 << 45}).append(nil)), ErrProtocol},
		"many attributes":      {new(script).frame(frameEntry, []byte("f\x01n\x00\x01r\x01r\x00\x00\x00\x00\xff\xff\xff\xff\x0f")), ErrProtocol},
		"unknown frame":        {new(script).frame('?', nil), ErrProtocol},
		"oversize frame":       {&script{*bytes.NewBuffer([]byte{frameEntry, 0xff, 0xff, 0xff, 0xff})}, frame.ErrMalformed},
		"truncated":            {&script{*bytes.NewBuffer(new(script).entry(file).block(0, []byte("0123456789")).Bytes()[:40])}, io.ErrUnexpectedEOF},
		"no end":               {new(script).entry(file).block(0, []byte("0123456789")), io.ErrUnexpectedEOF},
		"wrong digest":         {new(script).frame(frameDone, make([]byte, 32)), ErrDigest},
		"too many bytes":       {new(script).entry(Entry{Path: "n", Kind: File, Size: 2 * BlockSize}).block(0, random(BlockSize)).block(1, random(BlockSize)), ErrQuota},
		"too many files":       {new(script).entry(Entry{Path: "n", Kind: Dir}).entry(Entry{Path: "n/a", Kind: Dir}).entry(Entry{Path: "n/b", Kind: Dir}), ErrQuota},
	} {
		t.Run(name, func(t *testing.T) {
			twoRoots(t)
			if err := applyTo(t, c.s, Policy{MaxBytes: BlockSize + 100, MaxFiles: 6}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// A local user who owns the target's data plays the oldest trick: the directory becomes a link between check and use.
func TestALinkPlantedMeanwhileIsNotFollowed(t *testing.T) {
	_, target := twoRoots(t)
	outside := t.TempDir()
	sh(t, filepath.Dir(target), `mkdir -p target/d`)
	var index bytes.Buffer
	if _, err := Index(t.Context(), target, &index); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		d, spare := filepath.Join(target, "d"), filepath.Join(target, "spare")
		if err := os.Symlink(outside, spare); err != nil {
			t.Error(err)
		}
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, d, unix.AT_FDCWD, spare, unix.RENAME_EXCHANGE)
			}
		}
	})
	for range 300 {
		s := new(script).entry(Entry{Path: "d/x", Kind: File, Mode: 0o600, Size: 3}).block(0, []byte("bad")).entry(Entry{Path: "d/y", Kind: Fifo, Mode: 0o600})
		_, _ = Apply(t.Context(), ApplyJob{Root: target, Index: bytes.NewReader(index.Bytes())}, s)
	}
	close(stop)
	swapping.Wait()
	if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
		t.Errorf("outside: %v, %v", list, err)
	}
}

func TestPathsSortAsAWalkMeetsThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`[a.\-0]{1,2}(/[a.\-0]{1,2}){0,2}`)
		a, b := path.Draw(t, "a"), path.Draw(t, "b")
		// The dumb twin: compare component by component.
		x, y := strings.Split(a, "/"), strings.Split(b, "/")
		want := 0
		for i := 0; want == 0 && (i < len(x) || i < len(y)); i++ {
			switch {
			case i >= len(x):
				want = -1
			case i >= len(y):
				want = 1
			default:
				want = strings.Compare(x[i], y[i])
			}
		}
		if got := comparePaths(a, b); got < 0 != (want < 0) || got > 0 != (want > 0) {
			t.Fatalf("compare %q %q: %d, want %d", a, b, got, want)
		}
	})
}

func TestEntriesKeepTheirBytes(t *testing.T) {
	e := Entry{
		Path: "d/f", Kind: File, Mode: 0o640, Owner: "redis", Group: "#1000", MTime: -1, Size: 70_000,
		Xattrs: []Xattr{{"user.a", "1"}},
	}
	const golden = "f\x03d/f\xa0\x03\x05redis\x05#1000\x01\xf0\xa2\x04\x00\x00\x01\x06user.a\x011"
	if got := string(e.append(nil)); got != golden {
		t.Errorf("got %q", got)
	}
	back, err := parseEntry([]byte(golden))
	if err != nil || back.Path != e.Path || !back.equal(&e) {
		t.Errorf("got %+v, %v", back, err)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("f\x03d/f\xa0\x03\x05redis\x05#1000\x01\xf0\xa2\x04\x00\x00\x01\x06user.a\x011"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		if back, err := parseEntry(e.append(nil)); err != nil || back.Path != e.Path || !back.equal(&e) {
			t.Errorf("%+v came back as %+v, %v", e, back, err)
		}
	})
}

func FuzzApply(f *testing.F) {
	f.Add(new(script).entry(Entry{Path: "n", Kind: File, Size: 3}).block(0, []byte("abc")).frame(frameDelete, []byte("o")).frame(frameDone, make([]byte, 32)).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		target := filepath.Join(dir, "target")
		if err := os.Mkdir(target, 0o700); err != nil {
			t.Fatal(err)
		}
		var index bytes.Buffer
		if _, err := Index(t.Context(), target, &index); err != nil {
			t.Fatal(err)
		}
		_, _ = Apply(t.Context(), ApplyJob{Root: target, Index: &index, Policy: Policy{MaxBytes: 1 << 20, MaxFiles: 100}}, bytes.NewReader(b))
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("beside the target: %v, %v", list, err)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(frame.Append(nil, frameHeader, append([]byte{indexVersion}, make([]byte, 32)...)))
	f.Fuzz(func(_ *testing.T, b []byte) {
		x, err := readIndex(bytes.NewReader(b))
		for err == nil && x.cur != nil {
			err = x.next()
		}
	})
}
