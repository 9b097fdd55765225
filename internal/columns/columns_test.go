package columns

import (
	"bytes"
	"strings"
	"testing"
)

// terminal is one of a width.
type terminal struct {
	bytes.Buffer
	columns int
}

func (t *terminal) Width() int { return t.columns }

func printed(t *testing.T, width int, header []string, rows ...[]any) string {
	t.Helper()
	out := &terminal{columns: width}
	table := New(out, header...)
	for _, r := range rows {
		table.Row(r...)
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestColumnsAreAlignedAndSayWhenTheyHaveNothing(t *testing.T) {
	got := printed(t, 0, []string{"A", "B"}, []any{"long", ""}, nil, []any{"x", 7}, []any{"a remark that goes across"})
	if want := "A     B\nlong  -\n\nx     7\na remark that goes across\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestATerminalGetsLinesThatFit(t *testing.T) {
	row := []any{"cache-1", strings.Repeat("/var/lib/redis ", 9), "owner"}
	for width := 10; width < 90; width++ {
		for line := range strings.Lines(printed(t, width, []string{"INSTANCE", "WHERE", "STATE"}, row)) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("%d characters on a terminal of %d: %q", n, width, line)
			}
		}
	}
	remark := "a remark that goes across all of them"
	if got := printed(t, 60, []string{"A", "B"}, []any{"x", 7}, []any{remark}); !strings.Contains(got, remark+"\n") {
		t.Errorf("the remark is cut to the first column: %q", got)
	}
	if got := printed(t, 0, nil, row); !strings.Contains(got, strings.TrimSpace(row[1].(string))) { //nolint:forcetypeassert // see above
		t.Errorf("cut where no terminal is: %q", got)
	}
}

func TestWhatOthersWroteStaysInItsLine(t *testing.T) {
	if got := OneLine("a\x1b[2J\nb\u009bc"); got != "a [2J b c" {
		t.Errorf("%q", got)
	}
}
