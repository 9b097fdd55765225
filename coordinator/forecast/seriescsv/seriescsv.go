// Package seriescsv reads columns of any CSV, and what Prometheus answers to a range query, as series on a regular grid.
package seriescsv

import (
	"fmt"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
)

// Options say what to read.
type Options struct {
	// TimeColumn is the name of the column of times; "" means the first one. An answer of Prometheus has none.
	TimeColumn string
	// ValueColumns are the names of the columns of amounts; none means the only one beside the time, or all series of an answer of Prometheus.
	ValueColumns []string
	// Location is the time zone of times that name none; nil means UTC.
	Location *time.Location
	// Fold says how values that fall into one step are put together.
	Fold forecast.Fold
}

// Table is what a file holds. Its steps are as long as most times in it lie apart, in whole seconds, and end with the last of them.
type Table struct {
	Columns []string
	Series  []forecast.Series // one for each column, on the same steps
	Rows    int
	Notes   []string // what had to be put right, for people
	Sum     [32]byte // SHA-256 of the file's bytes
}

// What a file may have.
const (
	maxLine   = 1 << 20 // bytes in a line
	maxCells  = 1 << 24 // times and values
	maxSteps  = 1 << 23 // from the first time to the last
	maxBytes  = 4 << 30 // unpacked
	maxValues = 64      // columns read at once
	maxStep   = 6 * time.Hour
	maxApart  = 100 * 365 * 24 * time.Hour // of times, as far as it is said
)

// Error says what is wrong with a file, where, and what to do.
type Error struct {
	File   string
	Line   int // counted from 1, the header; 0 where it is the file as a whole
	Column string
	Fault  string
	Remedy string
}

func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where += fmt.Sprintf(" line %d", e.Line)
	}
	if e.Column != "" {
		where += ", column " + e.Column
	}
	return where + ": " + e.Fault + ": " + e.Remedy
}
