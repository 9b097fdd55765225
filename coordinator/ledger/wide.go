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

// atMost reports whether sum + margin ≤ limit, for limits up to resource.Unlimited. No root is taken: the margin is within the room that is left if the root,
// rounded up, is at most ⌊1000·room ÷ z⌋, and so if the square of that is not less than what the root is of.
func atMost(limit, sum, z int64, own wide, common uint64) bool {
	room := limit - sum
	if room < 0 || z == 0 {
		return room >= 0
	}
	return !square(uint64(room) * 1000 / uint64(z)).less(own.add(square(common)))
}
