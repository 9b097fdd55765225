package planner

import (
	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/proto"
)

// mixStrain scales the variance between resources, a quarter at most, to one.
const mixStrain = 4

// strain returns how badly a host is filled, in millionths: 0 with nothing promised. It has the same parts as the score of a target, with the same weights: the square
// of what is taken where least is free, the mean of the squared use over time, and the variance between resources. As squares count, what a full host is relieved of is
// worth more than what an empty one takes on: the sum over all hosts is least where all are filled alike.
func strain(f ledger.Fit) int64 {
	taken := int64(1000 - f.Tightest)
	return (roomWeight*taken*taken + peaksWeight*f.MeanSquare + mixWeight*min(million, mixStrain*f.Skew)) / 1000
}

// strainOn returns the strain of one host as it is, or would be, by a ledger.
func strainOn(l *ledger.Ledger, host string) int64 {
	f, ok := l.WeighOn(host, nil)
	if !ok {
		return 0
	}
	return strain(f)
}

// shifted returns the strain of both hosts of a move as they are and as they would be with the reservation on the target in the place of the one on the source. The error
// says what does not fit.
func shifted(l *ledger.Ledger, from, to proto.Reservation) ([2]Strained, error) {
	out := [2]Strained{{Host: from.Host, Before: strainOn(l, from.Host)}, {Host: to.Host, Before: strainOn(l, to.Host)}}
	trial := l.Clone()
	if err := trial.Apply(ledger.Change{Release: []string{from.ID}, Hold: []proto.Reservation{to}}); err != nil {
		return out, err
	}
	for i := range out {
		out[i].After = strainOn(trial, out[i].Host)
	}
	return out, nil
}

// Strained is a host with how badly it is filled before and after a move, in millionths.
type Strained struct {
	Host          string
	Before, After int64
}

func relief(s [2]Strained) int64 { return s[0].Before + s[1].Before - s[0].After - s[1].After }

// elsewhere returns what an instance has reserved as if it were reserved on another host.
func elsewhere(r proto.Reservation, host string) proto.Reservation {
	r.ID, r.Host, r.Forced, r.Revision, r.CreatedAt = r.ID+"/elsewhere", host, false, 0, 0
	return r
}
