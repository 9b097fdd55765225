package proto

import (
	"fmt"
	"strconv"
	"strings"
)

// Placement is what a host must be like for an instance to be moved there. Where an operator names the host it is asked for, too.
type Placement struct {
	Require []Label  `msgpack:"r,omitempty" json:"require,omitempty" yaml:"-"`                    // labels that the host has, sorted by key
	Avoid   []Label  `msgpack:"av,omitempty" json:"avoid,omitempty" yaml:"-"`                     // labels that it has not, sorted by key
	Apart   []string `msgpack:"ap,omitempty" json:"apart,omitempty" yaml:"apart,omitempty"`       // keys of labels: no instance there has the same value of one
	CPU     string   `msgpack:"c,omitempty" json:"cpu_model,omitzero" yaml:"cpu_model,omitempty"` // the host's model has this in its name
	Kernel  string   `msgpack:"k,omitempty" json:"kernel,omitzero" yaml:"kernel,omitempty"`       // its kernel is this one or newer: 6.1
	Needs   []string `msgpack:"n,omitempty" json:"needs,omitempty" yaml:"needs,omitempty"`        // what its agent must not say is missing
}

// Problems returns what is wrong with the placement, in words.
func (p *Placement) Problems() []string {
	if p == nil {
		return nil
	}
	var wrong []string
	for _, labels := range [][]Label{p.Require, p.Avoid} {
		for i, l := range labels {
			if l.Key == "" || len(l.Key)+len(l.Value) > MaxTextLength || i > 0 && labels[i-1].Key >= l.Key {
				wrong = append(wrong, fmt.Sprintf("the placement's label %q has no key, is too long, or is not the only one of its key, in order", l.Key))
			}
		}
	}
	if len(p.Require) > MaxList || len(p.Avoid) > MaxList || len(p.Apart) > MaxList || len(p.Needs) > MaxList {
		wrong = append(wrong, fmt.Sprintf("the placement has a list of more than %d elements", MaxList))
	}
	for _, s := range append(append([]string{p.CPU, p.Kernel}, p.Apart...), p.Needs...) {
		if len(s) > MaxTextLength {
			wrong = append(wrong, fmt.Sprintf("the placement has a text of %d bytes: use at most %d", len(s), MaxTextLength))
		}
	}
	if _, ok := kernelVersion(p.Kernel); p.Kernel != "" && !ok {
		wrong = append(wrong, fmt.Sprintf("%q is no version of a kernel: use one like 6.1", p.Kernel))
	}
	return wrong
}

// KernelAtLeast reports whether a kernel's release, like 6.1.0-18-amd64, is a version or newer. What is no version is older than any.
func KernelAtLeast(release, version string) bool {
	have, ok := kernelVersion(release)
	want, _ := kernelVersion(version)
	if !ok {
		return false
	}
	for i := range want {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return true
}

// kernelVersion returns the first three numbers of a release.
func kernelVersion(release string) (v [3]int, ok bool) {
	for i := range v {
		digits := len(release) - len(strings.TrimLeft(release, "0123456789"))
		n, err := strconv.Atoi(release[:digits])
		if err != nil {
			return v, false
		}
		v[i] = n
		release = release[digits:]
		if !strings.HasPrefix(release, ".") {
			return v, true
		}
		release = release[1:]
	}
	return v, true
}
