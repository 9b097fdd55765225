package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

// againEvery is how often a command that is watched looks again.
const againEvery = 2 * time.Second

// watchable adds --watch to a command that shows how something is.
func watchable(a *app, cmd *cobra.Command) *cobra.Command {
	var again bool
	cmd.Flags().BoolVarP(&again, "watch", "w", false, "show it again when it changes, until Ctrl-C")
	once := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !again {
			return once(cmd, args)
		}
		return a.again(cmd.Context(), func() error { return once(cmd, args) })
	}
	return cmd
}

// screen takes what one look prints, and is as wide as where it will be shown.
type screen struct {
	bytes.Buffer
	columns int
}

func (s *screen) width() int { return s.columns }

// nowLine is the one line of an answer in JSON that always differs.
var nowLine = regexp.MustCompile(`(?m)^  "now": \d+,?$`)

// again shows something until it is interrupted: on a terminal it is drawn over, elsewhere it is printed again when it has changed. Once it was
// shown, a fleet that is out of reach is waited for.
func (a *app) again(ctx context.Context, show func() error) error {
	out := a.stdout
	defer func() { a.stdout = out }()
	last, trouble := "", ""
	for first := true; ; first = false {
		look := &screen{columns: terminalWidth(out)}
		a.stdout = look
		err := show()
		var told *v1.Error
		switch {
		case ctx.Err() != nil:
			return &endedError{text: "interrupted", code: exitInterrupted, told: true}
		case err != nil && (first || errors.As(err, &told) && told.Code != v1.CodeUnavailable):
			return err
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			fmt.Fprintf(a.stderr, "glidepath: %s\n", trouble)
		case err == nil:
			trouble = ""
			text := look.String()
			known := nowLine.ReplaceAllString(strings.ReplaceAll(text, stamp(a.looked), ""), "")
			if known != last {
				fmt.Fprint(out, a.drawn(text, first))
			}
			last = known
		}
		select {
		case <-time.After(againEvery):
		case <-ctx.Done():
			return &endedError{text: "interrupted", code: exitInterrupted, told: true}
		}
	}
}

// drawn returns a text as it is shown over the one before.
func (a *app) drawn(text string, first bool) string {
	height := a.height()
	if height == 0 {
		if first {
			return text
		}
		return "\n" + text
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if most := max(2, height-1); len(lines) > most {
		lines = append(lines[:most-1], fmt.Sprintf("… %d more lines", len(lines)-most+1))
	}
	begin := "\x1b[H" // to the upper left
	if first {
		begin = "\x1b[H\x1b[2J" // and clear
	}
	return begin + strings.Join(lines, "\x1b[K\n") + "\x1b[K\n\x1b[J" // clear the rest of each line, and what is below
}

// terminalHeight returns how many lines a terminal has that can be drawn over, 0 for what can't.
func terminalHeight(out io.Writer, kind string) int {
	f, ok := out.(*os.File)
	if !ok || kind == "dumb" {
		return 0
	}
	_, h, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return h
}
