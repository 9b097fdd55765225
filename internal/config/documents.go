package config

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// DecodeAll reads every YAML document of r, each into a T of its own; name stands for r in errors. Documents with nothing but
// comments are skipped.
func DecodeAll[T any](r io.Reader, name string) ([]T, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, MaxSize)
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	var all []T
	for {
		// A pointer, so that a document of comments is told from one with values: it decodes to null.
		var v *T
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, explain(err, v))
		}
		if v != nil {
			all = append(all, *v)
		}
	}
}
