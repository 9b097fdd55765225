package proto

import "slices"

// mostStored bounds what a plan takes in a command, in bytes.
const mostStored = MaxCommand / 2

// Slim leaves out of a plan that is too large why its moves go where they go, those of the later moves first: it can be asked for again.
func (p StoredPlan) Slim() StoredPlan {
	size := func() int {
		text, err := Marshal(p)
		if err != nil {
			return 0 // whoever stores it says so
		}
		return len(text)
	}
	p.Moves = slices.Clone(p.Moves)
	for n := len(p.Moves); n > 0 && size() > mostStored; {
		n /= 2
		for i := n; i < len(p.Moves); i++ {
			p.Moves[i].Considered, p.Moves[i].Ruled, p.Moves[i].Reasons, p.Moves[i].Starts = nil, nil, nil, nil
		}
	}
	return p
}
