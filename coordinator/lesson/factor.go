package lesson

import (
	"fmt"
	"math"
	"slices"

	"github.com/glidepath/glidepath/proto"
)

// Factor is by how many times demand for CPU changes from one CPU to another.
type Factor struct {
	By    float64 // 1 where the CPUs are alike, or nothing is known
	Band  float64 // the relative deviation of By: 0 where the CPUs are alike
	Moves int     // that it was learned from
	Score bool    // of both CPUs a score is known, and counted in
}

// What is assumed of factors. They are relative, so that all of it is of their logarithms.
const (
	byScores = .15 // the deviation of what work takes from what the benchmark takes
	byNobody = .3  // the deviation where no benchmark says anything
	leastOf  = .03 // the deviation that is left however many moves there were
	countsAs = 3.0 // moves that what is assumed counts as
	mostOf   = 8.0 // times; what is beyond that is something else than a CPU
)

// Alike is the factor between CPUs of one model.
func Alike() Factor { return Factor{By: 1} }

// Factor returns by how many times the demand of an application, of instances of a class, changes from one CPU to another. It is the median of the ratios that were
// measured in moves between the two models, either way, drawn towards the ratio of the benchmarks, or 1 where there is none, by the fewness of the moves: those of
// the application towards those of its class, and these towards the benchmarks. CPUs of the same model are alike.
func (b Book) Factor(from, to proto.CPU, application string, class proto.Class) Factor {
	if from.Model == to.Model {
		return Alike()
	}
	out := Factor{Band: byNobody}
	log := 0.0
	if from.Score > 0 && to.Score > 0 {
		out.Score, out.Band = true, byScores
		log = math.Log(float64(from.Score) / float64(to.Score))
	}
	var own, others []float64
	for _, e := range b {
		r := math.Log(float64(e.Ratio) / 1000)
		switch {
		case e.Ratio <= 0:
			continue
		case e.From.Model == from.Model && e.To.Model == to.Model:
		case e.From.Model == to.Model && e.To.Model == from.Model:
			r = -r
		default:
			continue
		}
		switch {
		case application != "" && e.Application == application:
			own = append(own, r)
		case e.Class == class:
			others = append(others, r)
		}
	}
	for _, known := range [][]float64{others, own} {
		n := float64(len(known))
		if n == 0 {
			continue
		}
		log = (countsAs*log + n*median(known)) / (countsAs + n)
		out.Band *= math.Sqrt(countsAs / (countsAs + n))
		out.Moves += len(known)
	}
	out.By = min(max(math.Exp(log), 1/mostOf), mostOf)
	out.Band = max(out.Band, leastOf)
	return out
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// Same reports whether nothing is changed by the factor.
func (f Factor) Same() bool { return f.By == 1 && f.Band == 0 }

// Says explains the factor between two hosts; "" where their CPUs are alike.
func (f Factor) Says(from, to string) string {
	if f.Same() {
		return ""
	}
	by := "by benchmarks"
	switch {
	case f.Moves == 1:
		by = "by one earlier move"
	case f.Moves > 1:
		by = fmt.Sprintf("by %d earlier moves", f.Moves)
	case !f.Score:
		return fmt.Sprintf("how much work %s's CPU does is not known beside %s's, which is another model: CPU is forecast as it is on %s, with a wider band", to, from, from)
	}
	if f.Moves > 0 && f.Score {
		by += " and benchmarks"
	}
	return fmt.Sprintf("%s's CPU does %.2g of the work of %s's %s: CPU is forecast as %.3g times", to, 1/f.By, from, by, f.By)
}
