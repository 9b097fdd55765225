package tree

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"
)

// The part of a final round that nothing but the source can do: reading and comparing 60 MB that have not changed.
func BenchmarkSendNothingChanged(b *testing.B) {
	source := b.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(b, filepath.Join(source, name), random(20<<20))
	}
	var index bytes.Buffer
	if _, err := Index(b.Context(), source, &index); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(60 << 20)
	for b.Loop() {
		if _, err := Send(b.Context(), SendJob{Root: source, Index: bytes.NewReader(index.Bytes()), Final: true}, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
