package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/interrupt"
)

// atTerminal reports whether somebody can be asked.
func atTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirmed asks somebody at a terminal to write the name of what he decides on: a host, or an instance.
func confirmed(ctx context.Context, in io.Reader, out io.Writer, what, name string) error {
	fmt.Fprintf(out, "Write the %s's name to go on: ", what)
	line, err := bufio.NewReader(interrupt.Reader(ctx, in)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(out) // what follows does not stand beside the question
		return err
	}
	if strings.TrimSpace(line) != name {
		return &v1.Error{Code: v1.CodeRefused, Message: "nothing was changed: that is not the " + what + "'s name"}
	}
	return nil
}
