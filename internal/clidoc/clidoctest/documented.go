package clidoctest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Documented checks that what the documents have somebody type is in the program: its commands, their flags and, in blocks of code, their arguments
// and the flags that they can't do without. tree makes the commands anew. It is for tests in a folder of a program, NAME/cmd/PROGRAM.
func Documented(t *testing.T, tree func() *cobra.Command) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "docs", "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no documents: %v", err)
	}
	program, found := tree().Name(), 0
	for _, file := range append(files, filepath.Join("..", "..", "..", "README.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commandsOf(string(text), program) {
			found++
			if problem := c.problem(tree()); problem != "" {
				t.Errorf("%s: %s %s: %s", filepath.Base(file), program, strings.Join(c.args, " "), problem)
			}
		}
	}
	if found == 0 {
		t.Errorf("no document has a command of %s: is that so?", program)
	}
}

// typed is a command line of a document.
type typed struct {
	args  []string
	whole bool // it stands in a block, to be typed as it is; else it may be a name only
}

var (
	blocks = regexp.MustCompile("(?ms)^ *```(\\w*)[^\n]*\n(.*?)^ *```")
	spans  = regexp.MustCompile("`[^`]+`")
	leads  = regexp.MustCompile(`^(\$|sudo|[A-Z_]+=\S*)$`) // what may stand before a command
)

// commandsOf finds the command lines of a program in a text.
func commandsOf(text, program string) []typed {
	var out []typed
	for _, b := range blocks.FindAllStringSubmatch(text, -1) {
		if b[1] != "" && b[1] != "sh" && b[1] != "console" {
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(b[2], "\\\n", " ")) {
			for _, part := range commandsIn(line) {
				for len(part) > 0 && leads.MatchString(part[0]) {
					part = part[1:]
				}
				if len(part) > 0 && part[0] == program {
					out = append(out, typed{part[1:], true})
				}
			}
		}
	}
	for _, s := range spans.FindAllString(blocks.ReplaceAllString(text, ""), -1) {
		words := strings.Fields(strings.NewReplacer("[", "", "]", "", "`", "").Replace(s))
		for i, w := range words {
			words[i], _, _ = strings.Cut(w, "|") // of alternatives the first
		}
		if len(words) > 1 && words[0] == program {
			out = append(out, typed{words[1:], false})
		}
	}
	return out
}

// commandsIn parts a line of a shell into commands, and those into words. It knows what documents use: quotes, comments, pipes, lists, redirection.
func commandsIn(line string) [][]string {
	var out [][]string
	var words []string
	var word strings.Builder
	inWord, quote, skip := false, rune(0), false
	end := func() {
		if inWord && !skip {
			words = append(words, word.String())
		}
		if inWord {
			skip = false
		}
		word.Reset()
		inWord = false
	}
	for _, r := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote != 0:
			word.WriteRune(r)
		case r == '#' && !inWord:
			return append(out, words)
		case r == ' ' || r == '\t':
			end()
		case r == '>' || r == '<':
			end()
			skip = true // the file
		case r == '|' || r == '&' || r == ';':
			end()
			out, words = append(out, words), nil
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	end()
	return append(out, words)
}

// problem says what is wrong with a command line; "" for nothing.
func (c typed) problem(root *cobra.Command) string {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(c.args)
	if err != nil {
		return err.Error()
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	var value *pflag.InvalidValueError // a word stands for it, like LENGTH
	if err := cmd.ParseFlags(rest); err != nil && !errors.As(err, &value) {
		return err.Error()
	}
	args := cmd.Flags().Args()
	if !c.whole {
		if cmd.HasSubCommands() && cmd.Example == "" && len(args) > 0 {
			return fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
		}
		return ""
	}
	if err := cmd.ValidateArgs(args); err != nil {
		return err.Error()
	}
	for _, flag := range needed(cmd) {
		if f := cmd.Flags().Lookup(flag); f != nil && !f.Changed {
			return fmt.Sprintf("--%s is missing", flag)
		}
	}
	return ""
}

// needed returns the flags that a command's use has outside brackets; none where there is a choice.
func needed(cmd *cobra.Command) []string {
	if strings.ContainsAny(cmd.Use, "(|") {
		return nil
	}
	var out []string
	depth := 0
	for _, w := range strings.Fields(cmd.Use) {
		depth += strings.Count(w, "[") - strings.Count(w, "]")
		name, long := strings.CutPrefix(w, "--")
		switch {
		case depth > 0 || strings.HasSuffix(w, "]"):
		case long:
			out = append(out, name)
		case len(w) == 2 && w[0] == '-':
			if f := cmd.Flags().ShorthandLookup(w[1:]); f != nil {
				out = append(out, f.Name)
			}
		}
	}
	return out
}
