//go:build linux

package demo

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen tells a person what is going on: whole lines, each with the time since the start. On a terminal the line that is
// waited at counts seconds; elsewhere nothing is ever written over.
type screen struct {
	out      io.Writer
	terminal bool
	colour   bool
	began    time.Time

	mu   sync.Mutex
	busy string // line that is waited at
	at   time.Time
	done chan struct{}
	wg   sync.WaitGroup
}

func newScreen(out io.Writer, getenv func(string) string) *screen {
	s := &screen{out: out, began: time.Now(), done: make(chan struct{})}
	if f, ok := out.(*os.File); ok {
		s.terminal = term.IsTerminal(int(f.Fd())) && getenv("TERM") != "dumb"
	}
	s.colour = s.terminal && getenv("NO_COLOR") == ""
	if s.terminal {
		s.wg.Go(s.spin)
	}
	return s
}

// close stops what moves.
func (s *screen) close() {
	close(s.done)
	s.wg.Wait()
}

// spin rewrites the line that is waited at.
func (s *screen) spin() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-s.done:
			s.mu.Lock()
			s.wipe()
			s.busy = ""
			s.mu.Unlock()
			return
		case <-tick.C:
			s.mu.Lock()
			if s.busy != "" {
				fmt.Fprintf(s.out, "\r  %c %s (%d s)\x1b[K", `|/-\`[n%4], s.busy, int(time.Since(s.at).Seconds()))
			}
			s.mu.Unlock()
		}
	}
}

// wipe removes the line that is waited at. The caller holds the lock.
func (s *screen) wipe() {
	if s.terminal && s.busy != "" {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
}

// print writes lines as they are.
func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintln(s.out, text)
}

func (s *screen) stamp() string {
	d := time.Since(s.began).Round(time.Second)
	return fmt.Sprintf("%d:%02d", d/time.Minute, d%time.Minute/time.Second)
}

// step begins one of the numbered steps.
func (s *screen) step(n, of int, title string) {
	s.wait("")
	text := fmt.Sprintf("%d/%d  %s", n, of, title)
	if s.colour {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	s.print("\n" + text)
}

// say writes a line.
func (s *screen) say(format string, args ...any) {
	s.print(fmt.Sprintf("%6s  %s", s.stamp(), fmt.Sprintf(format, args...)))
}

// wait says what is waited for until something else is; "" is nothing.
func (s *screen) wait(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == s.busy {
		return
	}
	s.wipe()
	s.busy, s.at = text, time.Now()
	if !s.terminal && text != "" {
		fmt.Fprintf(s.out, "%6s  %s\n", s.stamp(), text)
	}
}

// command shows a command as one would type it.
func (s *screen) command(args ...string) {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if a == "" || strings.ContainsAny(a, " '\"{}$*") {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	text := "$ " + strings.Join(words, " ")
	if s.colour {
		text = "\x1b[36m" + text + "\x1b[0m"
	}
	s.say("%s", text)
}

// output shows what a command printed.
func (s *screen) output(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		s.print("        " + strings.TrimRight(line, "\n"))
	}
}

// lines is a Writer that hands on whole lines.
type lines struct {
	each func(string)
	rest []byte
}

// Write takes text in pieces of any size.
func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.each(string(line))
		l.rest = rest
	}
}
