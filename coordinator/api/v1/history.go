package v1

import (
	"math"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// History is the demand of an instance as its home has it.
type History struct {
	Instance string        `json:"instance"`
	Of       string        `json:"of"`      // mean or max: what the amounts are of the demand in each step
	Step     int64         `json:"step_ms"` // 0: nothing is known
	Items    []HistoryStep `json:"items"`   // by time; steps of which nothing is known are left out
}

// HistoryStep is the demand in one step, rounded to a millionth of each unit. What is left out is not known.
type HistoryStep struct {
	Start      timeline.Time `json:"start"`
	CPU        *float64      `json:"cpu_millicores,omitempty"`
	Memory     *float64      `json:"memory_bytes,omitempty"`
	ReadIOPS   *float64      `json:"read_iops,omitempty"`
	WriteIOPS  *float64      `json:"write_iops,omitempty"`
	ReadBytes  *float64      `json:"read_bytes_s,omitempty"`
	WriteBytes *float64      `json:"write_bytes_s,omitempty"`
	NetTx      *float64      `json:"net_tx_bits_s,omitempty"`
	NetRx      *float64      `json:"net_rx_bits_s,omitempty"`
}

// StepOf returns what is told of amounts in the resources' own units, of which NaN is missing.
func StepOf(start timeline.Time, amounts [resource.Kinds]float64) HistoryStep {
	out := HistoryStep{Start: start}
	for k, to := range [resource.Kinds]**float64{
		resource.CPU: &out.CPU, resource.Memory: &out.Memory, resource.ReadIOPS: &out.ReadIOPS, resource.WriteIOPS: &out.WriteIOPS,
		resource.ReadBytes: &out.ReadBytes, resource.WriteBytes: &out.WriteBytes, resource.NetTx: &out.NetTx, resource.NetRx: &out.NetRx,
	} {
		if v := math.Round(amounts[k]*1e6) / 1e6; !math.IsNaN(v) {
			*to = &v
		}
	}
	return out
}
