package forecast

import "slices"

// newest are the last values that were added, as many as there is room for.
type newest struct {
	ring   []float64 // as they came
	oldest int       // in ring, once it is full
	sorted []float64
}

// newWindows returns n of them that have room for so many values.
func newWindows(n, most int) []newest {
	windows, room := make([]newest, n), make([]float64, 2*n*most)
	for i := range windows {
		at := room[2*i*most : 2*(i+1)*most]
		windows[i] = newest{ring: at[:0:most], sorted: at[most:most]}
	}
	return windows
}

// conformalRanks returns the ranks of the quantiles among 0, 1, … up to so many values.
func conformalRanks(most int, quantiles []float64) [][]int {
	ranks, all := make([][]int, most+1), make([]int, (most+1)*len(quantiles))
	for n := range ranks {
		ranks[n] = all[n*len(quantiles):][:len(quantiles)]
		for qi, q := range quantiles {
			ranks[n][qi] = conformalRank(n, q)
		}
	}
	return ranks
}

// begin is add of a value that nothing is asked after until sort is called.
func (n *newest) begin(v float64) {
	if len(n.ring) < cap(n.ring) {
		n.ring = append(n.ring, v)
		return
	}
	n.replace(v)
}

// replace puts v in the place of the oldest value, which it returns.
func (n *newest) replace(v float64) float64 {
	old := n.ring[n.oldest]
	n.ring[n.oldest] = v
	if n.oldest++; n.oldest == len(n.ring) {
		n.oldest = 0
	}
	return old
}

func (n *newest) sort() {
	n.sorted = append(n.sorted[:0], n.ring...)
	slices.Sort(n.sorted)
}

func (n *newest) add(v float64) {
	at := n.place(v)
	if len(n.ring) < cap(n.ring) {
		n.ring = append(n.ring, v)
		n.sorted = slices.Insert(n.sorted, at, v)
		return
	}
	old := n.place(n.replace(v))
	if at > old { // what lies between them moves to where the old one was
		at--
		copy(n.sorted[old:at], n.sorted[old+1:at+1])
	} else {
		copy(n.sorted[at+1:old+1], n.sorted[at:old])
	}
	n.sorted[at] = v
}

// place returns how many values are less than v.
func (n *newest) place(v float64) int {
	from, to := 0, len(n.sorted)
	for from < to {
		if mid := (from + to) / 2; n.sorted[mid] < v {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return from
}
