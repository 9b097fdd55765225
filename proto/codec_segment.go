package proto

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Envelopes are most of what is committed, and every coordinator decodes each. What follows writes and reads the same
// bytes as the codec does by reflection, in a third of the time; a test compares the two.

var (
	_ msgpack.CustomEncoder = (*Segment)(nil)
	_ msgpack.CustomDecoder = (*Segment)(nil)
	_ msgpack.CustomDecoder = (*Envelope)(nil)
)

// DecodeMsgpack implements msgpack.CustomDecoder. What an envelope may have is made at once; one that has more is read, to be refused by name.
func (e *Envelope) DecodeMsgpack(dec *msgpack.Decoder) error {
	n, err := dec.DecodeArrayLen()
	if err != nil {
		return err
	}
	*e = nil
	if n < 0 {
		return nil
	}
	out := make(Envelope, 0, min(n, MaxSegments))
	for range n {
		out = append(out, Segment{})
		if err := out[len(out)-1].DecodeMsgpack(dec); err != nil {
			return err
		}
	}
	*e = out
	return nil
}

// EncodeMsgpack implements msgpack.CustomEncoder.
func (s *Segment) EncodeMsgpack(enc *msgpack.Encoder) error {
	times := [...]struct {
		key string
		at  timeline.Time
	}{{"s", s.Start}, {"e", s.End}}
	parts := [...]struct {
		key    string
		amount *resource.Vector
	}{{"f", &s.Firm}, {"m", &s.Mean}, {"o", &s.Own}, {"c", &s.Common}}
	fields := 0
	for _, t := range times {
		if t.at != 0 {
			fields++
		}
	}
	for _, p := range parts {
		if !p.amount.IsZero() {
			fields++
		}
	}
	if err := enc.EncodeMapLen(fields); err != nil {
		return err
	}
	for _, t := range times {
		if t.at == 0 {
			continue
		}
		if err := encodePair(enc, t.key, int64(t.at)); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if p.amount.IsZero() {
			continue
		}
		if err := enc.EncodeString(p.key); err != nil {
			return err
		}
		if err := encodeVector(enc, p.amount); err != nil {
			return err
		}
	}
	return nil
}

func encodePair(enc *msgpack.Encoder, key string, n int64) error {
	if err := enc.EncodeString(key); err != nil {
		return err
	}
	return enc.EncodeInt(n)
}

func encodeVector(enc *msgpack.Encoder, v *resource.Vector) error {
	if err := enc.EncodeArrayLen(len(v)); err != nil {
		return err
	}
	for _, n := range v {
		if err := enc.EncodeInt(n); err != nil {
			return err
		}
	}
	return nil
}

// DecodeMsgpack implements msgpack.CustomDecoder. Fields that it does not know are skipped.
func (s *Segment) DecodeMsgpack(dec *msgpack.Decoder) error {
	*s = Segment{}
	fields, err := dec.DecodeMapLen()
	if err != nil {
		return err
	}
	for range max(0, fields) {
		key, err := dec.DecodeString()
		if err != nil {
			return err
		}
		switch key {
		case "s":
			err = decodeTime(dec, &s.Start)
		case "e":
			err = decodeTime(dec, &s.End)
		case "f":
			err = decodeVector(dec, &s.Firm)
		case "m":
			err = decodeVector(dec, &s.Mean)
		case "o":
			err = decodeVector(dec, &s.Own)
		case "c":
			err = decodeVector(dec, &s.Common)
		default:
			err = dec.Skip()
		}
		if err != nil {
			return fmt.Errorf("segment, field %q: %w", key, err)
		}
	}
	return nil
}

func decodeTime(dec *msgpack.Decoder, t *timeline.Time) error {
	n, err := dec.DecodeInt64()
	*t = timeline.Time(n)
	return err
}

func decodeVector(dec *msgpack.Decoder, v *resource.Vector) error {
	n, err := dec.DecodeArrayLen()
	if err != nil {
		return err
	}
	if n > len(v) {
		return fmt.Errorf("%d amounts: there are %d resources", n, len(v))
	}
	for i := range max(0, n) {
		if v[i], err = dec.DecodeInt64(); err != nil {
			return err
		}
	}
	return nil
}
