package config

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/internal/resource"
)

// Duration is a length of time as files write it: 30s, 5m, 2h30m.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalYAML reads a duration with its unit.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no duration: write one like 30s, 5m or 2h", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes d as it is read.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// ParseAge reads how long ago something was, as command lines take it: it may be in days, like 36h or 7d.
func ParseAge(text string) (time.Duration, error) {
	n, unit := text, time.Duration(1)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, unit = days+"h", 24
	}
	d, err := time.ParseDuration(n)
	if err != nil || d < 0 || d > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no age: write it like 36h or 7d", text)
	}
	return d * unit, nil
}

// LineError is what is wrong with a line of a file.
type LineError struct {
	Line int // counted from 1
	Err  error
}

// Error names the line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Err) }

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// Amounts is a resource vector as files write it: one entry for each resource that is named, with its unit.
type Amounts resource.Vector

// UnmarshalYAML reads a mapping from resource to amount. What is not named keeps its value. Its error is a *LineError.
func (a *Amounts) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return &LineError{n.Line, errors.New("want resources with their amounts, like {cpu: 500m, memory: 256MiB}")}
	}
	names := make([]string, 0, resource.Kinds)
	for _, k := range resource.All() {
		names = append(names, k.String())
	}
	var named [resource.Kinds]bool
entries:
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := behind(n.Content[i]), behind(n.Content[i+1])
		for _, k := range resource.All() {
			if k.String() != key.Value {
				continue
			}
			if named[k] {
				return &LineError{key.Line, fmt.Errorf("%s is there twice: keep one", k)}
			}
			named[k] = true
			if value.Kind != yaml.ScalarNode {
				return &LineError{value.Line, fmt.Errorf("%s is no single amount: write one like {cpu: 500m, memory: 256MiB}", k)}
			}
			amount, err := resource.Parse(k, value.Value)
			if err != nil {
				return &LineError{value.Line, err}
			}
			a[k] = amount
			continue entries
		}
		near := Nearest(key.Value, names)
		if near == "" {
			return &LineError{key.Line, fmt.Errorf("unknown resource %q: use %v", key.Value, names)}
		}
		return &LineError{key.Line, fmt.Errorf("unknown resource %q: did you mean %q?", key.Value, near)}
	}
	return nil
}

// behind returns what a node stands for: of an alias, what has the anchor. Where values are read by hand, nobody else follows it.
func behind(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// MarshalYAML writes the amounts that are not 0.
func (a Amounts) MarshalYAML() (any, error) {
	out := map[string]string{}
	for _, k := range resource.All() {
		if a[k] != 0 {
			out[k.String()] = resource.Format(k, a[k])
		}
	}
	return out, nil
}

// Vector returns a as a vector.
func (a Amounts) Vector() resource.Vector { return resource.Vector(a) }
