package resource

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func amount() *rapid.Generator[int64] { return rapid.Int64Range(0, Unlimited) }

func vector() *rapid.Generator[Vector] {
	return rapid.Custom(func(t *rapid.T) (v Vector) {
		for i := range v {
			v[i] = amount().Draw(t, "amount")
		}
		return v
	})
}

func TestArithmeticStaysValidAndOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, w := vector().Draw(t, "v"), vector().Draw(t, "w")
		for name, r := range map[string]Vector{"add": v.Add(w), "sub": v.Sub(w), "max": v.Max(w), "min": v.Min(w)} {
			if err := r.Valid(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !v.Fits(v.Add(w)) || !v.Sub(w).Fits(v) || !v.Min(w).Fits(v) || !v.Fits(v.Max(w)) {
			t.Fatal("order broken")
		}
		if c := v.Clamp(w, w); c != w {
			t.Fatalf("clamp to one point: %v, want %v", c, w)
		}
	})
}

func TestScaleIsTheExactCeiling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, Unlimited-1).Draw(t, "n")
		num := rapid.Int64Range(0, 100000).Draw(t, "num")
		den := rapid.Int64Range(1, 100000).Draw(t, "den")
		got := Uniform(n).Scale(num, den)[CPU]
		want := new(big.Int).Mul(big.NewInt(n), big.NewInt(num))
		want.Add(want, big.NewInt(den-1)).Div(want, big.NewInt(den))
		if want.Cmp(big.NewInt(Unlimited)) > 0 {
			want.SetInt64(Unlimited)
		}
		if big.NewInt(got).Cmp(want) != 0 {
			t.Fatalf("%d × %d/%d = %d, want %s", n, num, den, got, want)
		}
	})
}

func TestParseReadsTheUnitsOfEachResource(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		text string
		want int64
	}{
		{CPU, "500m", 500}, {CPU, "1.5", 1500}, {CPU, "2", 2000}, {CPU, " 0 ", 0}, {CPU, "0.0001", 1},
		{Memory, "256MiB", 256 << 20}, {Memory, "1.5GiB", 3 << 29}, {Memory, "100MB", 100e6}, {Memory, "77", 77},
		{WriteBytes, "10MiB/s", 10 << 20}, {NetTx, "100Mbit", 100e6}, {NetRx, "2.5Gbit/s", 2.5e9}, {ReadIOPS, "200", 200},
		{NetRx, "unlimited", Unlimited},
	} {
		got, err := Parse(c.kind, c.text)
		if err != nil || got != c.want {
			t.Errorf("Parse(%s, %q) = %d, %v; want %d", c.kind, c.text, got, err, c.want)
		}
	}
}

func TestParseRefusesWithTheReason(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		text string
		want string
	}{
		{CPU, "", "empty"}, {CPU, "-1", "negative"}, {CPU, "NaN", "unknown unit"}, {CPU, "1e999", "too large"},
		{CPU, "1.5.2", "not a number"}, {CPU, "2GiB", "unknown unit"}, {Memory, "100Mbit", "unknown unit"},
		{NetTx, "100MiB", "unknown unit"}, {ReadIOPS, "200k", "unknown unit"}, {Memory, "9999999TiB", "too large"},
		{Memory, "MiB", "not a number"}, {CPU, "0x10", "not a number"}, {CPU, "1_0", "not a number"},
	} {
		_, err := Parse(c.kind, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%s, %q): %v; want an error with %q", c.kind, c.text, err, c.want)
		}
	}
}

func TestWhatFormatPrintsParseReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Kind(rapid.IntRange(0, Kinds-1).Draw(t, "kind"))
		n := amount().Draw(t, "n")
		text := Format(k, n)
		got, err := Parse(k, text)
		if err != nil {
			t.Fatalf("Parse(%s, %q): %v", k, text, err)
		}
		if diff := got - n; diff > n/1000+1 || diff < -n/1000-1 {
			t.Fatalf("%s: %d printed as %q, read as %d", k, n, text, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(uint8(0), "500m")
	f.Add(uint8(1), "256MiB")
	f.Add(uint8(6), "100Mbit/s")
	f.Fuzz(func(t *testing.T, k uint8, s string) {
		n, err := Parse(Kind(k%Kinds), s)
		if err == nil && (n < 0 || n > Unlimited) {
			t.Fatalf("Parse(%q) = %d", s, n)
		}
	})
}

func TestKindsAreNamedInJSON(t *testing.T) {
	for _, k := range All() {
		b, err := json.Marshal(k)
		if err != nil || string(b) != `"`+k.String()+`"` {
			t.Fatalf("%s: %s %v", k, b, err)
		}
		var got Kind
		if err := json.Unmarshal(b, &got); err != nil || got != k {
			t.Fatalf("%s: read back %s, %v", k, got, err)
		}
	}
	var k Kind
	if json.Unmarshal([]byte(`"disk"`), &k) == nil || json.Unmarshal([]byte(`3`), &k) == nil {
		t.Fatal("took what is no resource")
	}
}
