package ledger

import (
	"math"
	"math/bits"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
)

// The steps in blocks, so that a look over many hosts reads little of each: what is left of the half hour that coarse steps
// are split in, hours of fine steps, two hours of coarse ones, the tail. (With a base step of 5 minutes.)
const (
	firstBlock   = coarseLength - 1
	fineBlock    = 2 * coarseLength
	coarseBlock  = 4
	fineBlocks   = (numFine - firstBlock) / fineBlock
	coarseBlocks = numCoarse / coarseBlock
	numBlocks    = 1 + fineBlocks + coarseBlocks + 1
)

// blockStart returns the first step of block b; numSteps for the one after the last.
func blockStart(b int) int {
	switch {
	case b == 0:
		return 0
	case b <= fineBlocks:
		return firstBlock + (b-1)*fineBlock
	case b < numBlocks:
		return numFine + (b-1-fineBlocks)*coarseBlock
	default:
		return numSteps
	}
}

// blockOf returns the block of a step.
func blockOf(i int) int {
	switch {
	case i < firstBlock:
		return 0
	case i < numFine:
		return 1 + (i-firstBlock)/fineBlock
	default:
		return 1 + fineBlocks + (i-numFine)/coarseBlock
	}
}

// weight returns how many base steps block b has. The tail counts like the block before it, and what is left of the half hour not at
// all: what is past of it would count, too.
func weight(b int) int64 {
	switch {
	case b == 0:
		return 0
	case b <= fineBlocks:
		return fineBlock
	default:
		return coarseBlock * coarseLength
	}
}

// blockWeights are the weights of all blocks.
var blockWeights = func() (out [numBlocks]int64) {
	for b := range out {
		out[b] = weight(b)
	}
	return out
}()

const weights = fineBlocks*fineBlock + (coarseBlocks+1)*coarseBlock*coarseLength // of all blocks together

// outline is a host's steps in blocks. It follows from what is held and the layout's base alone, not from what was done before.
type outline struct {
	least [resource.Kinds]int64            // of the room, in all blocks
	room  [resource.Kinds][numBlocks]int64 // at least so much is free in every step of the block
	used  [resource.Kinds][numBlocks]int32 // what is expected to be used, firm and mean, on the average: its share of the limit

	square, skew int64 // of what is used: see Fit
}

// Shares of a limit in the outline are in parts of one, and bounded so that sums of their squares fit.
const (
	one      = 1 << 16
	maxShare = one << 4
)

// part returns what everything in the steps of block b needs at most, were the largest of each part to come together, and its
// mean use without margins.
func (s *sums) part(z int64, k, b int) (need, used int64) {
	from, to := blockStart(b), blockStart(b+1)
	total, most := wide{}, int64(0)
	for _, n := range s.sum[k][from:to] {
		total = total.add(wide{lo: uint64(n)})
		most = max(most, n)
	}
	mean, _ := bits.Div64(total.hi, total.lo, uint64(to-from))
	used = int64(mean)
	p := s.pool[k]
	if p == nil {
		return most, used
	}
	own, common := wide{}, uint64(0)
	for i := from; i < to; i++ {
		if n := p.own(i); own.less(n) {
			own = n
		}
		common = max(common, p.common[i])
	}
	return most + margin(z, own, common), used
}

// draw makes the outline of the blocks that the steps [from, to) touch anew.
func (h *host) draw(z int64, from, to int) {
	if from >= to {
		return
	}
	o := &h.outline
	var used, nothing shareLists
	var none [numBlocks]int32
	for k := range resource.Kinds {
		flat := h.flat[k]
		share := shareOf(flat)
		for b := blockOf(from); b <= blockOf(to-1); b++ {
			if flat >= resource.Unlimited {
				o.room[k][b], o.used[k][b] = math.MaxInt64, 0
				continue
			}
			limit := flat
			if h.limits != nil {
				limit = slices.Min(h.limits[k][blockStart(b):blockStart(b+1)])
			}
			need, used := h.part(z, k, b)
			o.room[k][b], o.used[k][b] = limit-need, share.of(used)
		}
		o.least[k] = slices.Min(o.room[k][:])
		if counts(flat) {
			used.add(&o.used[k])
			nothing.add(&none)
		}
	}
	o.square, o.skew = balance(used.all(), nothing.all())
}

// counts reports whether a resource with the limit has a share that is free.
func counts(limit int64) bool { return limit > 0 && limit < resource.Unlimited }

// balance returns the means over time of the squares of what is used and of more on top, and of the variances between the resources, in millionths.
func balance(used, more []*[numBlocks]int32) (square, skew int64) {
	kinds := int64(len(used))
	if kinds == 0 {
		return 0, 0
	}
	for b, w := range &blockWeights {
		var sum, squares int64
		for k, shares := range used {
			n := int64(min(shares[b]+more[k][b], maxShare))
			sum, squares = sum+n, squares+n*n
		}
		square += w * squares
		skew += w * (kinds*squares - sum*sum)
	}
	return millionths(square / (kinds * weights)), millionths(skew / (kinds * kinds * weights))
}

// shareLists are what of each resource that counts is used in blocks.
type shareLists struct {
	kinds int
	of    [resource.Kinds]*[numBlocks]int32
}

func (s *shareLists) add(of *[numBlocks]int32) {
	s.of[s.kinds] = of
	s.kinds++
}

func (s *shareLists) all() []*[numBlocks]int32 { return s.of[:s.kinds] }

// millionths returns a square of shares in parts of one as one in millionths.
func millionths(n int64) int64 { return n * (1_000_000 / 64) >> (32 - 6) }

// ratio turns amounts into shares of one limit without a division: it is ⌊(2⁶⁴-1) ÷ limit⌋.
type ratio uint64

func shareOf(limit int64) ratio {
	if limit <= 0 {
		return 0
	}
	return ratio(math.MaxUint64 / uint64(limit))
}

// of returns the share of the limit that n is, rounded down; 0 where there is no limit, or nothing.
func (r ratio) of(n int64) int32 {
	hi, lo := bits.Mul64(uint64(r), uint64(n))
	if hi >= maxShare/one {
		return maxShare
	}
	return int32(hi*one | lo>>48)
}
