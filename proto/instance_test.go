package proto

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesOfAnInstanceAreOneList(t *testing.T) {
	for name, c := range map[string]struct {
		spec InstanceSpec
		want []string
	}{
		"none":    {InstanceSpec{}, nil},
		"one":     {InstanceSpec{Address: "10.77.0.60/24"}, []string{"10.77.0.60/24"}},
		"a list":  {InstanceSpec{Addresses: []string{"10.77.0.61/24", "fd77::60/64"}}, []string{"10.77.0.61/24", "fd77::60/64"}},
		"both":    {InstanceSpec{Address: "10.77.0.60/24", Addresses: []string{"10.77.0.61/24"}}, []string{"10.77.0.60/24", "10.77.0.61/24"}},
		"no such": {InstanceSpec{Address: "10.77.0.60", Addresses: []string{"10.77.0.61/24"}}, []string{"10.77.0.61/24"}},
	} {
		var got []string
		for _, p := range c.spec.Floating() {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestAnInstanceOfOneAddressIsEncodedAsEver holds the bytes of before an instance could have several addresses.
func TestAnInstanceOfOneAddressIsEncodedAsEver(t *testing.T) {
	spec := InstanceSpec{Name: "cache-1", Driver: "service", Service: &ServiceSpec{Unit: "x.service"}, Host: "a", Address: "10.77.0.60/24", Type: "t", Class: Critical, Mode: Observe}
	old, err := hex.DecodeString("88a16ea763616368652d31a164a773657276696365a2737681a175a9782e73657276696365a168a161a161ad31302e37372e302e36302f3234a174a174a163a8637269746963616ca16da76f627365727665")
	if err != nil {
		t.Fatal(err)
	}
	now, err := Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(old, now) {
		t.Errorf("it is %x, and was %x", now, old)
	}
	var read InstanceSpec
	if err := Unmarshal(old, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, read); diff != "" {
		t.Error(diff)
	}
}
