package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// readAsked is read for a body that asks for reservations. What is no amount is told with its segment, as all is that an envelope can't mean.
func (c *call) readAsked(v any) error {
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return err
	}
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	if err = c.read(v); err == nil {
		return nil
	}
	if step := c.noAmount(body); step != nil {
		return step
	}
	return err
}

// called is how a reservation is named that is asked for as the n-th, counted from 0.
func called(id, host string, n int) string {
	if id != "" {
		return "reservation " + id
	}
	return fmt.Sprintf("reservation %d, on %s", n+1, host)
}

// noAmount returns an error that names the first segment of a body that holds what is no amount; nil where there is none, or what the body is can't be told.
// A segment whose amounts are none is not decoded at all, so they are looked for as they came.
func (c *call) noAmount(body []byte) error {
	type segment struct {
		timeline.Span
		Firm   json.RawMessage `json:"firm"`
		Mean   json.RawMessage `json:"mean"`
		Own    json.RawMessage `json:"sigma_own"`
		Common json.RawMessage `json:"sigma_common"`
	}
	var in struct {
		Reservations []struct {
			ID       string    `json:"id"`
			Host     string    `json:"host"`
			Envelope []segment `json:"envelope"`
		} `json:"reservations"`
	}
	if json.Unmarshal(body, &in) != nil {
		return nil
	}
	for n, r := range in.Reservations {
		if r.ID != "" && proto.ValidID("reservation", r.ID) != nil || proto.ValidID("host", r.Host) != nil {
			continue // it has no name by which to tell of it
		}
		for i, s := range r.Envelope {
			if i == 0 && s.Start == 0 {
				s.Start = c.now
			}
			if i == len(r.Envelope)-1 && s.End == 0 {
				s.End = timeline.Forever
			}
			for _, part := range [...]struct {
				name string
				text json.RawMessage
			}{{"firm", s.Firm}, {"mean", s.Mean}, {"own deviation", s.Own}, {"common deviation", s.Common}} {
				var amount resource.Vector
				if part.text == nil {
					continue
				}
				if err := json.Unmarshal(part.text, &amount); err != nil {
					return fmt.Errorf("%s: %w", called(r.ID, r.Host, n), &proto.StepError{
						What: "segment", Step: i, Span: s.Span, Fault: timeline.FaultAmount, Err: fmt.Errorf("%s: %w", part.name, err),
					})
				}
			}
		}
	}
	return nil
}
