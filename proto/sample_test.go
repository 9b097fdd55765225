package proto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

func TestAListOfTooManyIsRefusedBeforeThereIsRoomForIt(t *testing.T) {
	list := func(key byte, n int) []byte { // a map with a list of nothing
		return append(binary.BigEndian.AppendUint32([]byte{0x81, 0xa1, key, 0xdd}, uint32(n)), bytes.Repeat([]byte{0xc0}, n)...)
	}
	for most, decode := range map[int]func(n int) (int, error){
		MaxBatch: func(n int) (int, error) {
			var s Samples
			err := Unmarshal(list('w', n), &s)
			return len(s.Windows), err
		},
		MaxTasks: func(n int) (int, error) {
			var h HostTasks
			err := Unmarshal(list('t', n), &h)
			return len(h.Tasks), err
		},
	} {
		for n, fine := range map[int]bool{0: true, 1: true, most: true, most + 1: false, 1 << 20: false} {
			got, err := decode(n)
			if fine && (err != nil || got != n) || !fine && (!errors.Is(err, ErrMalformed) || got != 0) {
				t.Errorf("of at most %d there are %d: %v, %d come", most, n, err, got)
			}
		}
	}
}
