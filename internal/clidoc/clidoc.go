// Package clidoc writes the reference of a program from its command tree, and says what commands lack for it, in tests.
package clidoc

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Note says more of a command, by its path: "glidepath host list"; "" for nothing.
type Note func(path string) string

// Reference returns the reference of a program: a list of the commands that people use, and a section for each. The same tree gives the same text.
func Reference(root *cobra.Command, note Note) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s.\n\n", root.Name(), root.Short)
	paragraphs(&b, root.Long)
	example(&b, root)
	if text := flags(root.PersistentFlags()); text != "" {
		fmt.Fprintf(&b, "Flags of all commands:\n\n%s\n", text)
	}
	b.WriteString("| command | |\n|---|---|\n")
	for _, c := range Leaves(root) {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
	}
	b.WriteString("\n")
	for _, c := range Leaves(root) {
		fmt.Fprintf(&b, "### %s\n\n    %s\n\n%s.\n\n", c.CommandPath(), c.UseLine(), c.Short)
		paragraphs(&b, c.Long)
		if text := note(c.CommandPath()); text != "" {
			fmt.Fprintf(&b, "%s\n\n", text)
		}
		if text := flags(c.NonInheritedFlags()); text != "" {
			fmt.Fprintf(&b, "%s\n", text)
		}
		example(&b, c)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// Leaves returns the commands that do something and that people use, in the order of the help. One that has others below it does something itself
// if it has an example.
func Leaves(root *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, c := range root.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if !c.HasSubCommands() || c.Example != "" {
			out = append(out, c)
		}
		out = append(out, Leaves(c)...)
	}
	return out
}

// Problems returns what commands lack: an example, or a short text that says what they do, as an order.
func Problems(root *cobra.Command) []string {
	var out []string
	for _, c := range Leaves(root) {
		if strings.TrimSpace(c.Example) == "" {
			out = append(out, c.CommandPath()+" has no example: set Example")
		}
		word, _, _ := strings.Cut(c.Short, " ")
		first, _ := utf8.DecodeRuneInString(word)
		if !unicode.IsUpper(first) || strings.HasSuffix(word, "s") || strings.HasSuffix(word, "ing") || word == "The" || word == "A" || word == "An" || strings.HasSuffix(c.Short, ".") {
			out = append(out, fmt.Sprintf("%s: %q is no order, like \"Show a host\", without a full stop: set Short", c.CommandPath(), c.Short))
		}
	}
	return out
}

// paragraphs writes a long text, its lines joined; one that is indented stays as it is.
func paragraphs(b *strings.Builder, text string) {
	if text == "" {
		return
	}
	for p := range strings.SplitSeq(text, "\n\n") {
		if !strings.HasPrefix(p, " ") {
			p = strings.Join(strings.Fields(p), " ")
		}
		fmt.Fprintf(b, "%s\n\n", p)
	}
}

func example(b *strings.Builder, c *cobra.Command) {
	if c.Example == "" {
		return
	}
	b.WriteString("```\n")
	for line := range strings.Lines(c.Example) {
		b.WriteString(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ") + "\n")
	}
	b.WriteString("```\n\n")
}

// flags returns a table of flags; "" when there are none.
func flags(set *pflag.FlagSet) string {
	var b strings.Builder
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name += ", `-" + f.Shorthand + "`"
		}
		if value != "" {
			name += " *" + value + "*"
		}
		standard := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
			standard = "`" + strings.Trim(f.DefValue, "[]") + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, strings.ReplaceAll(usage, "|", `\|`), standard)
	})
	if b.Len() == 0 {
		return ""
	}
	return "| flag | | default |\n|---|---|---|\n" + b.String()
}
