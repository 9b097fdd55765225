package resource

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// jsonKeys are the names of the amounts in JSON, each with its unit.
var jsonKeys = [Kinds]string{
	CPU: "cpu_millicores", Memory: "memory_bytes", ReadIOPS: "read_iops", WriteIOPS: "write_iops",
	ReadBytes: "read_bytes_s", WriteBytes: "write_bytes_s", NetTx: "net_tx_bits_s", NetRx: "net_rx_bits_s",
}

// MarshalJSON writes an object with all eight amounts, each under a name that says its unit; null is Unlimited.
func (v Vector) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, n := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, jsonKeys[i]), ':')
		if n >= Unlimited {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendInt(b, n, 10)
		}
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote. Amounts that are not named are 0. Other names and amounts that are negative or
// larger than Unlimited are errors.
func (v *Vector) UnmarshalJSON(b []byte) error {
	var amounts map[string]*int64
	if err := json.Unmarshal(b, &amounts); err != nil {
		return fmt.Errorf("resources: want an object of whole numbers, like {%q: 500}: %w", jsonKeys[CPU], err)
	}
	var out Vector
	for name, n := range amounts {
		i := slices.Index(jsonKeys[:], name)
		if i < 0 {
			return fmt.Errorf("%q is no resource: use %s", name, strings.Join(jsonKeys[:], ", "))
		}
		out[i] = Unlimited
		if n != nil {
			out[i] = *n
		}
	}
	if err := out.Valid(); err != nil {
		return err
	}
	*v = out
	return nil
}
