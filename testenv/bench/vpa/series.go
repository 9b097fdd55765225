package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// series is one line of what comes in: what a machine used, on a regular step, and the times at which a recommendation is asked for.
// Times are milliseconds since 1970, CPU is in thousandths of a core and memory in bytes; what is missing is null.
type series struct {
	Name   string     `json:"name"`
	Start  int64      `json:"start"`
	Step   int64      `json:"step"`
	CPU    []*float64 `json:"cpu"`
	Memory []*float64 `json:"memory"`
	At     []int64    `json:"at"`
}

// bound is what a recommendation says of both resources.
type bound struct {
	CPU    int64 `json:"cpu"`
	Memory int64 `json:"memory"`
}

// recommendation is one of the answers to a series; all of it is 0 where no sample was known.
type recommendation struct {
	At     int64 `json:"at"`
	Lower  bound `json:"lower"`
	Target bound `json:"target"`
	Upper  bound `json:"upper"`
}

// recommended is one line of what goes out, in the order of what came in.
type recommended struct {
	Name            string           `json:"name"`
	Recommendations []recommendation `json:"recommendations"`
}

// check refuses what would be answered with nonsense.
func (s series) check() error {
	if s.Step <= 0 {
		return fmt.Errorf("%s: a step of %d ms: it has to be positive", s.Name, s.Step)
	}
	for i := 1; i < len(s.At); i++ {
		if s.At[i] <= s.At[i-1] {
			return fmt.Errorf("%s: time %d comes after %d: ask in order", s.Name, s.At[i], s.At[i-1])
		}
	}
	for _, all := range [][]*float64{s.CPU, s.Memory} {
		for i, v := range all {
			if v != nil && !(*v >= 0) {
				return fmt.Errorf("%s: value %d is %v: nothing is used by less than 0", s.Name, i, *v)
			}
		}
	}
	return nil
}

// answer reads series, one a line, until in ends, and writes what is recommended of each.
func answer(in io.Reader, out io.Writer) error {
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	e := json.NewEncoder(out)
	for line := 1; ; line++ {
		var s series
		switch err := d.Decode(&s); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("series %d: %w", line, err)
		}
		if err := s.check(); err != nil {
			return fmt.Errorf("series %d: %w", line, err)
		}
		all, err := recommend(s)
		if err != nil {
			return fmt.Errorf("series %d: %s: %w", line, s.Name, err)
		}
		if err := e.Encode(recommended{Name: s.Name, Recommendations: all}); err != nil {
			return err
		}
	}
}
