package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/client"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/interrupt"
	"github.com/glidepath/glidepath/internal/timeline"
)

// app is what every command works with.
type app struct {
	stdout, stderr io.Writer
	env            func(string) string
	addresses      []string // of the flag
	configPath     string
	json           bool
	looked         timeline.Time // the time that was printed as now
	height         func() int    // of the terminal, where it can be drawn over; 0 where there is none

	asked *client.Client
}

// client returns the client by flags, environment and configuration file.
func (a *app) client() (*client.Client, error) {
	if a.asked == nil {
		s, err := a.settings()
		if err != nil {
			return nil, err
		}
		a.asked = client.New(s)
	}
	return a.asked, nil
}

func (a *app) close() {
	if a.asked != nil {
		a.asked.Close()
	}
}

// path joins and escapes the parts of an API path.
func path(parts ...string) string {
	var b strings.Builder
	b.WriteString(v1.Prefix)
	for _, p := range parts {
		p = url.PathEscape(p)
		if p == "." || p == ".." { // which would be a way through the path
			p = strings.ReplaceAll(p, ".", "%2E")
		}
		b.WriteString("/" + p)
	}
	return b.String()
}

// ask sends a request and returns the answer.
func ask[T any](ctx context.Context, a *app, method, path string, in any) (T, error) {
	var out T
	c, err := a.client()
	if err == nil {
		err = c.Call(ctx, method, path, in, &out)
	}
	return out, err
}

// askBoth sends a request and returns the answer as it is, and as it is read.
func askBoth[T any](ctx context.Context, a *app, method, path string, in any) (raw json.RawMessage, v T, err error) {
	raw, err = ask[json.RawMessage](ctx, a, method, path, in)
	if err == nil {
		err = json.Unmarshal(raw, &v)
		if err != nil {
			err = fmt.Errorf("%s %s: the answer is not what was expected: %w", method, path, err)
		}
	}
	return raw, v, err
}

// show sends a request and prints the answer: as it is with --json, as table does otherwise.
func show[T any](ctx context.Context, a *app, method, path string, in any, table func(T) error) error {
	raw, v, err := askBoth[T](ctx, a, method, path, in)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(raw)
	}
	return table(v)
}

func (a *app) printJSON(raw json.RawMessage) error { return writeJSON(a.stdout, raw) }

func writeJSON(w io.Writer, raw json.RawMessage) error {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, strings.TrimSpace(out.String()))
	return err
}

// printValue prints v as JSON.
func (a *app) printValue(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.printJSON(raw)
}

// say prints a line for people; --json leaves it out.
func (a *app) say(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.stdout, format+"\n", args...)
	}
}

// readFiles reads every document of the files; - is standard input.
func readFiles[T any](ctx context.Context, names []string) ([]T, error) {
	if len(names) == 0 {
		return nil, usagef("name a file with -f, or - for standard input")
	}
	var all []T
	for _, name := range names {
		some, err := readDocuments[T](ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func readDocuments[T any](ctx context.Context, name string) ([]T, error) {
	in, shown := interrupt.Reader(ctx, os.Stdin), "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, shown = f, name
	}
	all, err := config.DecodeAll[T](in, shown)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s says nothing", shown)
	}
	return all, err
}

// fileFlag adds -f to a command.
func fileFlag(cmd *cobra.Command, what string) *[]string {
	return cmd.Flags().StringSliceP("file", "f", nil, "YAML `file` of "+what+", - for standard input; documents are parted by ---")
}

// completeTime bounds how long a shell waits for names.
const completeTime = 2 * time.Second

// names completes an argument by the names that a list of the API has, under the key.
func names(a *app, path string, key ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		list, err := ask[v1.List[map[string]any]](ctx, a, "GET", path, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, item := range list.Items {
			if s, ok := dig(item, key); ok {
				out = append(out, s)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlags completes flags by what the fleet has.
func completeFlags(cmd *cobra.Command, by map[string]cobra.CompletionFunc) {
	for flag, f := range by {
		if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
			panic(err) // the flag was defined before
		}
	}
}

// completeWords completes by some words, or none: what a shell would do by itself is to offer files.
func completeWords(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// firstOnly completes the first argument alone.
func firstOnly(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, word)
	}
}

func dig(item any, key []string) (string, bool) {
	for _, k := range key {
		m, ok := item.(map[string]any)
		if !ok {
			return "", false
		}
		item = m[k]
	}
	s, ok := item.(string)
	return s, ok
}

// completeInstance and the like complete by what the fleet has.
func completeInstance(a *app) cobra.CompletionFunc {
	return firstOnly(completeInstances(a))
}

// completeInstances completes flags, too.
func completeInstances(a *app) cobra.CompletionFunc {
	return names(a, path("instances"), "spec", "name")
}

func completeMigration(a *app) cobra.CompletionFunc {
	return firstOnly(names(a, path("migrations"), "id"))
}

// completePlans completes by the plans that are stored.
func completePlans(a *app) cobra.CompletionFunc { return names(a, path("plans"), "id") }

// either completes by what both have.
func either(one, other cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		first, directive := one(cmd, args, word)
		second, _ := other(cmd, args, word)
		return append(first, second...), directive
	}
}

func completeHost(a *app) cobra.CompletionFunc { return names(a, path("hosts"), "facts", "name") }

func completeType(a *app) cobra.CompletionFunc { return names(a, path("types"), "name") }
