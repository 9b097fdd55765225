// Package patterns trains what tells how a demand series runs, from generated series whose pattern is known.
package patterns

import (
	"fmt"
	"go/format"
	"math"
	"strings"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/testenv/traces"
)

// Sample is one generated series as the classifier sees it.
type Sample struct {
	Seed     uint64
	Label    int // place in pattern.All
	Features pattern.Vector
	Days     float64
}

// Samples generates each series of every pattern with the seeds from first on.
func Samples(first uint64, each int) []Sample {
	var out []Sample
	for i := range each {
		for label, p := range pattern.All() {
			seed := first + uint64(i*len(pattern.All())+label)
			s := traces.Labelled(p, seed)
			perDay := int(24 * 60 / s.Step.Minutes())
			if f, ok := pattern.FeaturesOf(s.Values, perDay); ok {
				out = append(out, Sample{seed, label, f, float64(len(s.Values)) / float64(perDay)})
			}
		}
	}
	return out
}

// Where the training is settled. Seeds from Held on are never trained on.
const (
	trainEach = 300
	scaleEach = 100
	firstSeed = 1
	scaleSeed = 1_000_000
	// Held is the first seed of the series that are held out.
	Held = 2_000_000

	rounds  = 600
	penalty = 2e-4
)

// Train fits the curves to generated series: multinomial logistic regression on the features' places between knots,
// by gradient descent with momentum. The sums are then scaled so that probabilities of other series are right.
func Train() *pattern.Curves {
	samples := Samples(firstSeed, trainEach)
	c, last, ahead := new(pattern.Curves), new(pattern.Curves), new(pattern.Curves)
	const rate = .1 // the curvature is at most half the number of features
	for round := range rounds {
		momentum := float64(round) / float64(round+3) // Nesterov, 1983
		for i := range c {
			for j := range c[i] {
				for k := range c[i][j] {
					ahead[i][j][k] = c[i][j][k] + momentum*(c[i][j][k]-last[i][j][k])
				}
			}
		}
		gradient := slope(samples, ahead)
		last = c
		c = new(pattern.Curves)
		for i := range c {
			for j := range c[i] {
				for k := range c[i][j] {
					c[i][j][k] = ahead[i][j][k] - rate*gradient[i][j][k]
				}
			}
		}
	}
	scale(c, bestScale(Samples(scaleSeed, scaleEach), c))
	for i := range c {
		for j := range c[i] {
			for k := range c[i][j] {
				c[i][j][k] = math.Round(c[i][j][k]*1000) / 1000
			}
		}
	}
	return c
}

// probabilities returns that of each pattern.
func probabilities(f pattern.Vector, c *pattern.Curves, by float64) (p [7]float64) {
	most := math.Inf(-1)
	for i := range p {
		for j, x := range f {
			k, w := pattern.Knot(x)
			p[i] += (1-w)*c[i][j][k] + w*c[i][j][k+1]
		}
		p[i] *= by
		most = max(most, p[i])
	}
	sum := 0.0
	for i := range p {
		p[i] = math.Exp(p[i] - most)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// slope is the gradient of the mean log-loss and the penalty.
func slope(samples []Sample, c *pattern.Curves) *pattern.Curves {
	g := new(pattern.Curves)
	each := 1 / float64(len(samples))
	for _, s := range samples {
		p := probabilities(s.Features, c, 1)
		p[s.Label]--
		for j, x := range s.Features {
			k, w := pattern.Knot(x)
			for i := range p {
				g[i][j][k] += (1 - w) * p[i] * each
				g[i][j][k+1] += w * p[i] * each
			}
		}
	}
	for i := range c {
		for j := range c[i] {
			for k := range c[i][j] {
				g[i][j][k] += penalty * c[i][j][k]
			}
		}
	}
	return g
}

// bestScale returns the factor of the sums with the least log-loss on samples that were not fitted to.
// (Guo et al., On calibration of modern neural networks, ICML 2017.)
func bestScale(samples []Sample, c *pattern.Curves) float64 {
	best, least := 1.0, math.Inf(1)
	for by := .4; by < 1.5; by += .02 {
		loss := 0.0
		for _, s := range samples {
			loss -= math.Log(probabilities(s.Features, c, by)[s.Label])
		}
		if loss < least {
			best, least = by, loss
		}
	}
	return best
}

func scale(c *pattern.Curves, by float64) {
	for i := range c {
		for j := range c[i] {
			for k := range c[i][j] {
				c[i][j][k] *= by
			}
		}
	}
}

// Source returns the Go file that holds the curves.
func Source(c *pattern.Curves) ([]byte, error) {
	var b strings.Builder
	b.WriteString("// Code generated from generated series by `make generate`; DO NOT EDIT.\n\npackage pattern\n\n// trained are the curves by pattern, feature and knot.\nvar trained = Curves{\n")
	for i, p := range pattern.All() {
		fmt.Fprintf(&b, "\t{ // %s\n", p)
		for j := range c[i] {
			b.WriteString("\t\t{")
			for k, v := range c[i][j] {
				if k > 0 {
					b.WriteString(", ")
				}
				fmt.Fprintf(&b, "%g", v+0) // no minus zero
			}
			b.WriteString("},\n")
		}
		b.WriteString("\t},\n")
	}
	b.WriteString("}\n")
	return format.Source([]byte(b.String()))
}
