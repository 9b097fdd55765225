package snapshot_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/snapshot"
)

func written(t *testing.T) (*apitest.Fleet, []byte) {
	t.Helper()
	f := apitest.New(t)
	var out bytes.Buffer
	if err := snapshot.Write(&out, f.View(), snapshot.Header{Index: 7, Coordinator: "c1"}); err != nil {
		t.Fatal(err)
	}
	return f, out.Bytes()
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	f, text := written(t)
	h, s, err := snapshot.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if h.Fleet != f.CA.Fleet() || h.Incarnation != 1 || h.Index != 7 || h.Applied != f.View().Applied() {
		t.Errorf("%+v", h)
	}
	var want, got bytes.Buffer
	if err := errors.Join(f.View().Export(&want), s.View().Export(&got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Bytes(), got.Bytes()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWasCutOrChangedIsRefused(t *testing.T) {
	_, text := written(t)
	for name, bad := range map[string][]byte{
		"empty": nil, "another file": []byte("hello\n"), "another version": append([]byte("glidepath-snapshot 9 "), text[21:]...),
		"cut": text[:len(text)-1], "cut header": text[:40], "longer": append(bytes.Clone(text), 'x'),
	} {
		if _, _, err := snapshot.Read(bytes.NewReader(bad)); !errors.Is(err, snapshot.ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for at := 0; at < len(text); at += max(1, len(text)/97) {
		bad := bytes.Clone(text)
		bad[at] ^= 1
		if _, _, err := snapshot.Read(bytes.NewReader(bad)); err == nil {
			t.Errorf("byte %d was changed, and nobody noticed", at)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("glidepath-snapshot 1\n{}\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _ = snapshot.Read(bytes.NewReader(b))
	})
}
