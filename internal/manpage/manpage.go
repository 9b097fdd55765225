// Package manpage writes the manual page of a program from its command tree.
package manpage

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Page is what a manual page says beside the commands.
type Page struct {
	Section int
	Version string
	Files   []File
	SeeAlso []string // name(section)
	Exit    []int    // the codes that the program ends with, ascending
}

// codes says what the exit codes of all programs mean.
var codes = map[int]string{0: "fine", 1: "error", 2: "usage", 3: "refused", 4: "not found", 5: "aborted", 130: "interrupted"}

// File is a file that belongs to the program.
type File struct{ Path, Text string }

// Write writes the page of a program to the file at path. Hidden commands are left out. The same tree gives the same bytes.
func Write(path string, root *cobra.Command, p Page) error {
	return os.WriteFile(path, render(root, p), 0o644)
}

func render(root *cobra.Command, p Page) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s %d \"\" \"%s %s\" \"Glidepath\"\n", strings.ToUpper(escape(root.Name())), p.Section, escape(root.Name()), escape(p.Version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escape(root.Name()), escape(root.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.I COMMAND\n[\\fIFLAGS\\fR]\n", escape(root.Name()))
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", text(root.Long))
	b.WriteString(".SH COMMANDS\n")
	commands(&b, root)
	if flags(&b, ".SH GLOBAL FLAGS\n", root.PersistentFlags()); len(p.Files) > 0 {
		b.WriteString(".SH FILES\n")
		for _, f := range p.Files {
			fmt.Fprintf(&b, ".TP\n.I %s\n%s\n", escape(f.Path), escape(f.Text))
		}
	}
	var exit []string
	for _, code := range p.Exit {
		exit = append(exit, fmt.Sprintf("%d %s", code, codes[code]))
	}
	fmt.Fprintf(&b, ".SH EXIT STATUS\n%s.\n", strings.Join(exit, ", "))
	if len(p.SeeAlso) > 0 {
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", escape(strings.Join(p.SeeAlso, ", ")))
	}
	return b.Bytes()
}

// commands writes what can be carried out below a command.
func commands(b *bytes.Buffer, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Runnable() {
			fmt.Fprintf(b, ".SS %s\n%s\n", escape(c.UseLine()), text(firstOf(c.Long, c.Short)))
			flags(b, "", c.NonInheritedFlags())
			if c.Example != "" {
				fmt.Fprintf(b, ".PP\nExamples:\n.PP\n.nf\n%s\n.fi\n", escape(c.Example))
			}
		}
		commands(b, c)
	}
}

func flags(b *bytes.Buffer, heading string, set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		b.WriteString(heading)
		heading = ""
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR", escape(name))
		if value != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", escape(value))
		}
		fmt.Fprintf(b, "\n%s", escape(usage))
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			fmt.Fprintf(b, " (default %s)", escape(f.DefValue))
		}
		b.WriteString("\n")
	})
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// text escapes paragraphs.
func text(s string) string { return strings.ReplaceAll(escape(s), "\n\n", "\n.PP\n") }

// escape keeps words from being taken for roff's commands.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "`", `\(ga`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
