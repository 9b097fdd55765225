// Package resource is the arithmetic of the eight resources that Glidepath forecasts, reserves and limits.
package resource

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Kind names one of the eight resources. Its value is the index into a Vector.
type Kind uint8

// The eight resources, in the order in which they are stored and sent.
const (
	CPU        Kind = iota // thousandths of a core
	Memory                 // bytes
	ReadIOPS               // operations per second
	WriteIOPS              // operations per second
	ReadBytes              // bytes per second
	WriteBytes             // bytes per second
	NetTx                  // bits per second
	NetRx                  // bits per second

	Kinds = 8 // how many there are
)

var kindNames = [Kinds]string{"cpu", "memory", "read_iops", "write_iops", "read_bytes", "write_bytes", "net_tx", "net_rx"}

// String returns the name that files, flags and screens use: cpu, memory, read_iops, …
func (k Kind) String() string {
	if int(k) < Kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("resource(%d)", uint8(k))
}

// MarshalJSON writes the name.
func (k Kind) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, k.String()), nil }

// UnmarshalJSON reads a name that MarshalJSON wrote.
func (k *Kind) UnmarshalJSON(b []byte) error {
	name, err := strconv.Unquote(string(b))
	if i := slices.Index(kindNames[:], name); err == nil && i >= 0 {
		*k = Kind(i)
		return nil
	}
	return fmt.Errorf("%s is no resource: use one of %s", b, strings.Join(kindNames[:], ", "))
}

// All returns the eight kinds in their order.
func All() [Kinds]Kind {
	return [Kinds]Kind{CPU, Memory, ReadIOPS, WriteIOPS, ReadBytes, WriteBytes, NetTx, NetRx}
}

// Poolable reports whether demand for the resource may be pooled over instances.
// Memory may not: it cannot be taken back within a step.
func (k Kind) Poolable() bool { return k != Memory }

// Unlimited as an amount means that no limit is set. It is far above any real amount and far enough below
// the largest int64 that sums over a host's instances do not overflow.
const Unlimited int64 = 1 << 50

// Vector holds an amount of each resource, indexed by Kind, in the unit beside each Kind.
// Amounts are never negative; they are integers so that every coordinator computes the same bytes.
type Vector [Kinds]int64

// Uniform returns a vector that has the amount n in every resource.
func Uniform(n int64) Vector {
	var v Vector
	for i := range v {
		v[i] = n
	}
	return v
}

// Add returns v + w. A sum that reaches Unlimited stays Unlimited.
func (v Vector) Add(w Vector) Vector {
	for i := range v {
		v[i] = saturate(v[i] + w[i])
	}
	return v
}

// Sub returns v − w, at least 0. Unlimited minus anything finite stays Unlimited.
func (v Vector) Sub(w Vector) Vector {
	for i := range v {
		if v[i] >= Unlimited && w[i] < Unlimited {
			continue
		}
		v[i] = max(0, v[i]-w[i])
	}
	return v
}

// Max returns the larger amount of each resource.
func (v Vector) Max(w Vector) Vector {
	for i := range v {
		v[i] = max(v[i], w[i])
	}
	return v
}

// Min returns the smaller amount of each resource.
func (v Vector) Min(w Vector) Vector {
	for i := range v {
		v[i] = min(v[i], w[i])
	}
	return v
}

// Clamp returns v held between lo and hi; where lo is above hi, hi wins.
func (v Vector) Clamp(lo, hi Vector) Vector { return v.Max(lo).Min(hi) }

// Scale returns v × num ÷ den, rounded up, so that a scaled reservation is never smaller than meant.
// Unlimited stays Unlimited. It panics when den is not positive or num is negative: both are programming errors.
func (v Vector) Scale(num, den int64) Vector {
	if den <= 0 || num < 0 {
		panic(fmt.Sprintf("resource: scale by %d/%d", num, den))
	}
	for i := range v {
		if v[i] < Unlimited {
			v[i] = saturate(mulDivUp(v[i], num, den))
		}
	}
	return v
}

// Fits reports whether every amount of v is at most that of w.
func (v Vector) Fits(w Vector) bool {
	for i := range v {
		if v[i] > w[i] {
			return false
		}
	}
	return true
}

// IsZero reports whether every amount is 0.
func (v Vector) IsZero() bool { return v == Vector{} }

// Valid returns an error that names the first amount which is negative or above Unlimited.
func (v Vector) Valid() error {
	for i, n := range v {
		if n < 0 {
			return fmt.Errorf("%s is negative: %d", Kind(i), n)
		}
		if n > Unlimited {
			return fmt.Errorf("%s is too large: %d (at most %d)", Kind(i), n, Unlimited)
		}
	}
	return nil
}

// String prints the amounts that are not 0, each in the form that Parse reads.
func (v Vector) String() string {
	s := ""
	for i, n := range v {
		if n == 0 {
			continue
		}
		if s != "" {
			s += " "
		}
		s += Kind(i).String() + "=" + Format(Kind(i), n)
	}
	if s == "" {
		return "none"
	}
	return s
}

func saturate(n int64) int64 { return min(n, Unlimited) }

// mulDivUp returns ⌈a·b/c⌉, at most Unlimited, by way of a 128-bit product.
func mulDivUp(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, carry := bits.Add64(lo, uint64(c-1), 0)
	hi += carry
	if hi >= uint64(c) {
		return Unlimited
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, uint64(Unlimited)))
}
