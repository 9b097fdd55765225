//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/bench/accuracy"
)

// vpaFolder has the program that answers with the Vertical Pod Autoscaler's own code. It is a module of its own, since that code depends on much.
const vpaFolder = "testenv/bench/vpa"

// vpaSeries is a line for that program, vpaAnswer one of its answers.
type (
	vpaSeries struct {
		Name   string          `json:"name"`
		Start  timeline.Time   `json:"start"`
		Step   int64           `json:"step"`
		CPU    []*float64      `json:"cpu"`
		Memory []*float64      `json:"memory"`
		At     []timeline.Time `json:"at"`
	}
	vpaAnswer struct {
		Name            string `json:"name"`
		Recommendations []struct {
			At     timeline.Time `json:"at"`
			Target struct {
				CPU    int64 `json:"cpu"`
				Memory int64 `json:"memory"`
			} `json:"target"`
		} `json:"recommendations"`
	}
)

// recommend asks the Vertical Pod Autoscaler's recommender for its target.
func (b *bench) recommend(ctx context.Context, all []accuracy.Recorded) ([][]resource.Vector, error) {
	var in, out, said bytes.Buffer
	if err := writeVPA(&in, all); err != nil {
		return nil, err
	}
	cmd := b.goTool(ctx, "run", ".")
	cmd.Dir = filepath.Join(b.Root, vpaFolder)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the recommender in %s: %w: %s", vpaFolder, err, lastPart(said.String()))
	}
	return readVPA(&out, all)
}

// writeVPA writes series, one a line.
func writeVPA(w io.Writer, all []accuracy.Recorded) error {
	e := json.NewEncoder(w)
	for _, r := range all {
		cpu, memory := r.History[resource.CPU], r.History[resource.Memory]
		if cpu.Start != memory.Start || cpu.Step != memory.Step {
			return fmt.Errorf("%s: CPU and memory are on different steps", r.Name)
		}
		if err := e.Encode(vpaSeries{
			Name: r.Name, Start: cpu.Start, Step: cpu.Step.Milliseconds(), CPU: orNull(cpu.Values), Memory: orNull(memory.Values), At: r.At,
		}); err != nil {
			return err
		}
	}
	return nil
}

// orNull returns values for JSON, which has no word for what is missing.
func orNull(values []float64) []*float64 {
	out := make([]*float64, len(values))
	for i, v := range values {
		if !math.IsNaN(v) {
			out[i] = &values[i]
		}
	}
	return out
}

// readVPA reads the answers to all, which have to be in their order and complete.
func readVPA(r io.Reader, all []accuracy.Recorded) ([][]resource.Vector, error) {
	d := json.NewDecoder(r)
	out := make([][]resource.Vector, len(all))
	for i, asked := range all {
		var a vpaAnswer
		if err := d.Decode(&a); err != nil {
			return nil, fmt.Errorf("answer %d of the recommender, of %d: %w", i+1, len(all), err)
		}
		if a.Name != asked.Name || len(a.Recommendations) != len(asked.At) {
			return nil, fmt.Errorf("answer %d of the recommender is of %s at %d times, not of %s at %d", i+1, a.Name, len(a.Recommendations), asked.Name, len(asked.At))
		}
		out[i] = make([]resource.Vector, len(asked.At))
		for n, r := range a.Recommendations {
			if r.At != asked.At[n] || r.Target.CPU < 0 || r.Target.Memory < 0 {
				return nil, fmt.Errorf("%s: the recommender answers for %s with %d and %d, asked for %s", a.Name, r.At, r.Target.CPU, r.Target.Memory, asked.At[n])
			}
			out[i][n][resource.CPU], out[i][n][resource.Memory] = r.Target.CPU, r.Target.Memory
		}
	}
	if err := d.Decode(&struct{}{}); err == nil {
		return nil, errors.New("the recommender answers more than it was asked")
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("after the last answer of the recommender: %w", err)
	}
	return out, nil
}
