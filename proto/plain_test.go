package proto

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// sameAsReflection holds, for any bytes: what is read as plain is one whole value to Check, and the codec reads the same.
func sameAsReflection[T any](t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte, readPlain func(*T, []byte) bool) (plain bool) {
	t.Helper()
	var got, want T
	if !readPlain(&got, b) {
		return false
	}
	if err := Unmarshal(b, &want); err != nil {
		t.Fatalf("%x is plain, and the codec says %v", b, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%x is not read as by reflection (-reflection +plain):\n%s", b, diff)
	}
	return true
}

func FuzzPlainCommand(f *testing.F) { fuzzPlain(f, (*Command).readPlain) }

func FuzzPlainReservationChange(f *testing.F) { fuzzPlain(f, (*ReservationChange).readPlain) }

func fuzzPlain[T any](f *testing.F, readPlain func(*T, []byte) bool) {
	b, err := Marshal(filled(reflect.TypeFor[T]()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, b := range [][]byte{
		{0x80}, {0xc0}, {0x90}, {0x82, 0xa1, 't', 0xd0, 0xff, 0xa1, 'v', 0xcd, 0x01, 0x00}, {0x82, 0xa1, 'h', 0x91, 0x80, 0xa1, 'h', 0x91, 0x80},
		{0x81, 0xa1, 'h', 0x90}, {0x81, 0xa1, 'd', 0xdc, 0, 1, 0xd9, 0}, {0x81, 0xa1, 'b', 0xc4, 0}, {0x81, 0xa1, 'h', 0xdd, 0x0f, 0xff, 0xff, 0xff},
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { sameAsReflection(t, b, readPlain) })
}

func drawn(t *rapid.T) *ReservationChange {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringN(32, 300, -1))
	number := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-200, 300), rapid.Int64())
	moment := func(name string) timeline.Time { return timeline.Time(number.Draw(t, name)) }
	vector := func(name string) (v resource.Vector) {
		if rapid.Bool().Draw(t, name) {
			for k := range v {
				v[k] = number.Draw(t, name)
			}
		}
		return v
	}
	envelope := func() (e Envelope) {
		for range rapid.IntRange(0, MaxSegments+2).Draw(t, "segments") {
			e = append(e, Segment{timeline.Span{Start: moment("start"), End: moment("end")}, vector("firm"), vector("mean"), vector("own"), vector("common")})
		}
		return e
	}
	c := &ReservationChange{Author: Author(rapid.OneOf(rapid.Just(string(AuthorReplan)), text).Draw(t, "author"))}
	for range rapid.SampledFrom([]int{0, 1, 2, 30}).Draw(t, "holds") {
		c.Hold = append(c.Hold, Reservation{
			ID: text.Draw(t, "id"), Host: text.Draw(t, "host"), Instance: text.Draw(t, "instance"), Migration: text.Draw(t, "migration"),
			Class: rapid.SampledFrom([]Class{"", Critical, BestEffort, "another"}).Draw(t, "class"), Purpose: Purpose(text.Draw(t, "purpose")),
			Envelope: envelope(), Floor: vector("floor"), Until: moment("until"), Forced: rapid.Bool().Draw(t, "forced"),
			Revision: rapid.Uint64Range(0, maxUint).Draw(t, "revision"), CreatedAt: moment("created"), ChangedAt: moment("changed"),
		})
		if rapid.Bool().Draw(t, "squeezed") {
			c.Hold[len(c.Hold)-1].Squeezed = &Squeeze{For: text.Draw(t, "for"), Why: text.Draw(t, "why"), At: moment("since")}
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "revisions") {
		c.Revise = append(c.Revise, Revision{
			ID: text.Draw(t, "id"), From: rapid.Uint64Range(0, maxUint).Draw(t, "from"), Envelope: envelope(), Floor: vector("floor"), Until: moment("until"),
		})
	}
	for range rapid.IntRange(0, 70).Draw(t, "releases") {
		c.Release = append(c.Release, text.Draw(t, "release"))
	}
	return c
}

func TestWhatIsCommittedIsPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, err := NewCommand(rapid.String().Draw(t, "id"), rapid.String().Draw(t, "actor"), drawn(t))
		if err != nil {
			t.Fatal(err)
		}
		c.At = timeline.Time(rapid.Int64().Draw(t, "at"))
		b, err := Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if !sameAsReflection(t, b, (*Command).readPlain) {
			t.Fatalf("a command is not plain: %x", b)
		}
		if !sameAsReflection(t, c.Body, (*ReservationChange).readPlain) {
			t.Fatalf("a change of reservations is not plain: %x", c.Body)
		}
	})
}

func TestAnythingButTheWholeIsNotPlain(t *testing.T) {
	b, err := Marshal(filled(reflect.TypeFor[ReservationChange]()))
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if new(ReservationChange).readPlain(b[:n]) {
			t.Errorf("%d bytes of %d are read", n, len(b))
		}
	}
	if new(ReservationChange).readPlain(append(b, 0x80)) {
		t.Error("bytes that follow are not seen")
	}
}

// TestWhatIsNotPlainIsDecodedAllTheSame holds what another version may write: a field that is not known here, or a null.
func TestWhatIsNotPlainIsDecodedAllTheSame(t *testing.T) {
	later := struct {
		Author Author        `msgpack:"a"`
		Later  int           `msgpack:"b"`
		Hold   []Reservation `msgpack:"h"`
		Revise *int          `msgpack:"r"`
	}{AuthorReplan, 7, []Reservation{{ID: "x"}}, nil}
	c, err := NewCommand("id", "test", &ReservationChange{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Body, err = Marshal(later); err != nil {
		t.Fatal(err)
	}
	got, err := c.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&ReservationChange{Author: AuthorReplan, Hold: []Reservation{{ID: "x"}}}, got); diff != "" {
		t.Error(diff)
	}
	entry, err := Marshal(struct {
		Later int         `msgpack:"0"`
		Type  CommandType `msgpack:"t"`
		Body  []byte      `msgpack:"b"`
	}{7, CmdTick, []byte{0x80}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeCommand(entry); err != nil || got.Type != CmdTick || string(got.Body) != "\x80" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := DecodeCommand(entry[:len(entry)-1]); err == nil {
		t.Error("a cut entry is decoded")
	}
}
