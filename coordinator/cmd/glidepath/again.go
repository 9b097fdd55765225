package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

// When a command that is watched looks again: as soon as the fleet tells of a change, but no sooner than againLeast after the last look. The fleet speaks at
// least every 10 s; where it has not for againSilence, or can't be followed, it is looked at every againEvery.
const (
	againLeast   = 500 * time.Millisecond
	againSilence = 15 * time.Second
	againEvery   = 2 * time.Second
	againFollow  = 30 * time.Second // after it could not be followed
)

// watchable adds --watch to a command that shows how something is, and that can only be otherwise when something of the kinds has changed, or with time;
// without a kind it is looked at every 2 s.
func watchable(a *app, cmd *cobra.Command, kinds ...v1.ChangeKind) *cobra.Command {
	var again bool
	cmd.Flags().BoolVarP(&again, "watch", "w", false, "show it again when it changes, until Ctrl-C")
	once := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !again {
			return once(cmd, args)
		}
		follow := func(ctx context.Context, see func(v1.Change)) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return c.Changes(ctx, words(kinds), 0, see)
		}
		if len(kinds) == 0 {
			follow = nil
		}
		return a.again(cmd.Context(), follow, func() error { return once(cmd, args) })
	}
	return cmd
}

// screen takes what one look prints, and is as wide as where it will be shown.
type screen struct {
	bytes.Buffer
	columns int
}

// Width makes it a terminal for whatever prints on it.
func (s *screen) Width() int { return s.columns }

// nowLine is the one line of an answer in JSON that always differs.
var nowLine = regexp.MustCompile(`(?m)^  "now": \d+,?$`)

// pace says when to look again.
type pace struct {
	told, lost chan struct{} // the fleet spoke; it can't be followed
	heard      time.Time     // when it last spoke; zero: it is not followed
	looked     time.Time
}

// follow listens to the fleet until ctx ends.
func (p *pace) follow(ctx context.Context, follow func(context.Context, func(v1.Change)) error) {
	say := func(to chan struct{}) {
		select {
		case to <- struct{}{}:
		default: // it is said already
		}
	}
	for ctx.Err() == nil {
		if err := follow(ctx, func(v1.Change) { say(p.told) }); err != nil { // it has no other end
			say(p.lost)
		}
		select {
		case <-time.After(againFollow):
		case <-ctx.Done():
		}
	}
}

// due returns when to look again if nothing is told until then.
func (p *pace) due() time.Time {
	due := p.looked.Add(againEvery)
	if silent := p.heard.Add(againSilence); silent.After(due) {
		return silent
	}
	return due
}

// wait returns when to look again.
func (p *pace) wait(ctx context.Context) error {
	p.looked = time.Now()
	for waiting := true; waiting; {
		select {
		case <-time.After(time.Until(p.due())):
			waiting = false
		case <-p.told:
			p.heard, waiting = time.Now(), false
		case <-p.lost:
			p.heard = time.Time{}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case <-time.After(againLeast - time.Since(p.looked)):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-p.told: // the look that follows shows that, too
		p.heard = time.Now()
	default:
	}
	return nil
}

// again shows something until it is interrupted: on a terminal it is drawn over, elsewhere it is printed again when it has changed. Once it was
// shown, a fleet that is out of reach is waited for, and what it tells of changes is followed, if follow is given.
func (a *app) again(ctx context.Context, follow func(context.Context, func(v1.Change)) error, show func() error) error {
	out := a.stdout
	defer func() { a.stdout = out }()
	p := &pace{told: make(chan struct{}, 1), lost: make(chan struct{}, 1)}
	following, stop := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer stop()
	last, away := "", a.outage()
	for first := true; ; first = false {
		look := &screen{columns: terminalWidth(out)}
		a.stdout = look
		err := show()
		if ctx.Err() != nil {
			return &endedError{text: "interrupted", code: exitInterrupted, told: true}
		}
		if end := away.bear(err); end != nil {
			return end
		}
		if err == nil {
			text := look.String()
			known := nowLine.ReplaceAllString(strings.ReplaceAll(text, stamp(a.looked), ""), "")
			if known != last {
				fmt.Fprint(out, a.drawn(text, first))
			}
			last = known
		}
		if first && follow != nil {
			listening.Go(func() { p.follow(following, follow) })
		}
		if p.wait(ctx) != nil {
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
		lines = append(lines[:most-1], "… "+count(len(lines)-most+1, "more line"))
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
