package clidoc

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func tree(short, example string) *cobra.Command {
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "prog", Short: "A program"}
	group := &cobra.Command{Use: "thing", Short: "Things"}
	leaf := &cobra.Command{Use: "show NAME", Short: short, Example: example, Run: run, Long: "First\nline.\n\nSecond."}
	leaf.Flags().StringP("file", "f", "x.yaml", "a `name` of a|b")
	group.AddCommand(leaf)
	root.AddCommand(group, &cobra.Command{Use: "secret", Hidden: true, Run: run})
	return root
}

func TestTheReferenceSaysWhatACommandTakes(t *testing.T) {
	got := Reference(tree("Show a thing", "  prog thing show x"), func(path string) string { return "Note on " + path + "." })
	want := "### prog thing show\n\n    prog thing show NAME [flags]\n\nShow a thing.\n\nFirst line.\n\nSecond.\n\nNote on prog thing show.\n\n" +
		"| flag | | default |\n|---|---|---|\n| `--file`, `-f` *name* | a name of a\\|b | `x.yaml` |\n\n```\nprog thing show x\n```\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("%s\nwant at its end\n%s", got, want)
	}
	if !strings.Contains(got, "\n| command | |\n|---|---|\n| [prog thing show](#prog-thing-show) | Show a thing |\n\n") {
		t.Errorf("%s\ndoes not list the command", got)
	}
	if strings.Contains(got, "secret") {
		t.Error("what is for programs is in the reference")
	}
}

func TestWhatACommandLacksIsNamed(t *testing.T) {
	if got := Problems(tree("Show a thing", "  x")); len(got) > 0 {
		t.Errorf("%q", got)
	}
	for _, short := range []string{"", "show it", "Shows it", "Showing it", "The thing", "Things", "Show it."} {
		if got := Problems(tree(short, "  x")); len(got) != 1 || !strings.Contains(got[0], "prog thing show") {
			t.Errorf("%q: %q", short, got)
		}
	}
	if got := Problems(tree("Show a thing", "\n")); len(got) != 1 || !strings.Contains(got[0], "set Example") {
		t.Errorf("%q", got)
	}
}

func TestACommandThatHasOthersBelowItIsInTheReferenceIfItDoesSomethingItself(t *testing.T) {
	root := tree("Show a thing", "  prog thing show x")
	thing := root.Commands()[0]
	if thing.Name() != "thing" {
		thing = root.Commands()[1]
	}
	if text := Reference(root, func(string) string { return "" }); strings.Contains(text, "### prog thing\n") {
		t.Error("a group is in it")
	}
	thing.Short, thing.Example = "Do a thing", "  prog thing x"
	if text := Reference(root, func(string) string { return "" }); !strings.Contains(text, "### prog thing\n") || !strings.Contains(text, "### prog thing show\n") {
		t.Errorf("one of the two is missing:\n%s", text)
	}
}
