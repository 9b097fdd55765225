package resource

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestJSONNamesEveryAmountWithItsUnit(t *testing.T) {
	v := Vector{500, Unlimited, 1, 2, 3, 4, 5, 0}
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"cpu_millicores":500,"memory_bytes":null,"read_iops":1,"write_iops":2,"read_bytes_s":3,"write_bytes_s":4,"net_tx_bits_s":5,"net_rx_bits_s":0}`
	if string(got) != want {
		t.Fatalf("%s\nwant %s", got, want)
	}
}

func TestJSONComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v, back Vector
		for i := range v {
			v[i] = rapid.Int64Range(0, Unlimited).Draw(t, "amount")
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &back); err != nil || back != v {
			t.Fatalf("%v %v, want %v", back, err, v)
		}
	})
}

func TestJSONIsReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		`{"cpu":1}`:                             `"cpu" is no resource`,
		`{"cpu_millicores":-1}`:                 "negative",
		`{"cpu_millicores":1.5}`:                "whole numbers",
		`[1,2,3,4,5,6,7,8]`:                     "want an object",
		`{"memory_bytes":9000000000000000}`:     "too large",
		`{"memory_bytes":99999999999999999999}`: "whole numbers",
	} {
		v := Uniform(7)
		if err := json.Unmarshal([]byte(text), &v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if v != Uniform(7) {
			t.Errorf("%s changed the value to %v", text, v)
		}
	}
	v := Uniform(7)
	if err := json.Unmarshal([]byte(`{"memory_bytes":null,"read_iops":3}`), &v); err != nil || v != (Vector{Memory: Unlimited, ReadIOPS: 3}) {
		t.Errorf("%v %v", v, err)
	}
}
