package proto

import "testing"

func TestANumberHasTheFormThatGoesWithIt(t *testing.T) {
	for n, want := range map[int]string{0: "0 hosts are", 1: "1 host is", 2: "2 hosts are"} {
		if got := CountIs(n, "host", "is", "are"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
