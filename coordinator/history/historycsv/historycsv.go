// Package historycsv reads and writes an instance's demand history as the CSV that people import and export.
package historycsv

import (
	"fmt"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Row is one line: the amounts that hold from Time on, in the resources' own units (see resource.Kind).
type Row struct {
	Time   timeline.Time
	Values [resource.Kinds]float64 // NaN = missing
}

// maxAmount is the largest amount a row may have, in the resource's own unit.
const maxAmount = float64(resource.Unlimited)

// MaxLine is the length in bytes that a line may have.
const MaxLine = 4096

const timeColumn = "time"

// column is how a resource is called in the file, and how many of its own units one of the file's is.
type column struct {
	name   string
	factor float64
}

// columns are indexed by resource.
func columns() [resource.Kinds]column {
	return [resource.Kinds]column{
		resource.CPU:        {"cpu_cores", 1000},
		resource.Memory:     {"memory_bytes", 1},
		resource.ReadIOPS:   {"read_iops", 1},
		resource.WriteIOPS:  {"write_iops", 1},
		resource.ReadBytes:  {"read_bytes_s", 1},
		resource.WriteBytes: {"write_bytes_s", 1},
		resource.NetTx:      {"net_tx_bits_s", 1},
		resource.NetRx:      {"net_rx_bits_s", 1},
	}
}

// Header returns the column names in the order in which they are written.
func Header() []string {
	names := []string{timeColumn}
	for _, c := range columns() {
		names = append(names, c.name)
	}
	return names
}

// LineError says which line is wrong, and why.
type LineError struct {
	Line   int // counted from 1, the header
	Column string
	Reason string
}

func (e *LineError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("history line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("history line %d, column %s: %s", e.Line, e.Column, e.Reason)
}

// nearest returns the column name that is the fewest edits away from name, and false when none is near.
func nearest(name string) (string, bool) {
	best, least := "", len(name)/2+2
	for _, c := range Header() {
		if d := edits(strings.ToLower(name), c); d < least {
			best, least = c, d
		}
	}
	return best, best != ""
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
