package ledger

import (
	"math"
	"math/bits"
)

// wide is an unsigned integer of 128 bits: a sum of squares of amounts does not fit in 64.
type wide struct{ hi, lo uint64 }

func square(n uint64) wide {
	hi, lo := bits.Mul64(n, n)
	return wide{hi, lo}
}

func (a wide) add(b wide) wide {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, carry)
	return wide{hi, lo}
}

func (a wide) sub(b wide) wide {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return wide{hi, lo}
}

func (a wide) less(b wide) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// sqrtUp returns ⌈√a⌉ for a below 2^126. The floating-point root is a first guess only: what comes out is exact, and so
// the same on every processor.
func (a wide) sqrtUp() uint64 {
	if a.hi == 0 && a.lo == 0 {
		return 0
	}
	r := uint64(math.Sqrt(float64(a.hi)*(1<<32)*(1<<32) + float64(a.lo)))
	r = max(r, 1)
	if a.hi < r { // one step of Newton's method: the guess is good to 53 bits
		q, _ := bits.Div64(a.hi, a.lo, r)
		half, carry := bits.Add64(r, q, 0)
		r = half>>1 | carry<<63
	}
	for square(r).less(a) {
		r++
	}
	for r > 0 && !square(r-1).less(a) {
		r--
	}
	return r
}

// maxMargin bounds the margin so that sums with it stay in 64 bits.
const maxMargin = 1 << 61

// margin returns ⌈z·√(own + common²) ÷ 1000⌉: what pooled demand is held with above its mean. z is in thousandths.
func margin(z int64, own wide, common uint64) int64 {
	root := own.add(square(common)).sqrtUp()
	hi, lo := bits.Mul64(root, uint64(z))
	lo, carry := bits.Add64(lo, 999, 0)
	hi += carry
	if hi >= 1000 {
		return maxMargin
	}
	q, _ := bits.Div64(hi, lo, 1000)
	return int64(min(q, maxMargin))
}

// atMost reports whether sum + margin ≤ limit. Most steps are far from their limit: a power of two that is surely above
// the root decides for them.
func atMost(limit, sum, z int64, own wide, common uint64) bool {
	if sum > limit {
		return false
	}
	v := own.add(square(common))
	length := bits.Len64(v.lo)
	if v.hi != 0 {
		length = 64 + bits.Len64(v.hi)
	}
	if length <= 90 { // then z·2^45 ÷ 1000 fits
		above := int64(1) << ((length + 1) / 2)
		if sum+(above*z)/1000+1 <= limit {
			return true
		}
	}
	return sum+margin(z, own, common) <= limit
}
