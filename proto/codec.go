package proto

import (
	"bytes"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// MaxDepth is how deep arrays and maps of a message may nest. The deepest message of ours nests nine levels.
const MaxDepth = 24

// Marshal encodes a message or a command. Equal values encode to equal bytes.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	enc.SetOmitEmpty(true)
	enc.SetSortMapKeys(true)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return buf.Bytes(), nil
}

// Unmarshal decodes b, which may come from anybody, into the typed value that v points to. Depth and every declared
// count are checked against the bytes that are there before anything is allocated; bytes after the value are refused.
// Fields that v does not know are skipped.
func Unmarshal(b []byte, v any) error {
	if err := Check(b); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	if err := msgpack.NewDecoder(bytes.NewReader(b)).Decode(v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

// decodeList reads a list of at most most elements. More are refused before there is room for them: a byte can stand for an element that says nothing, and takes as
// much memory as any other.
func decodeList[T any](dec *msgpack.Decoder, most int) ([]T, error) {
	n, err := dec.DecodeArrayLen()
	if err != nil || n < 0 {
		return nil, err
	}
	if n > most {
		return nil, fmt.Errorf("%w: a list of %d, which has at most %d", ErrMalformed, n, most)
	}
	out := make([]T, n)
	for i := range out {
		if err := dec.Decode(&out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
