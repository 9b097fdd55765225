package clidoctest

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func prog() *cobra.Command {
	root := &cobra.Command{Use: "prog", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return nil }}
	token := &cobra.Command{Use: "token", Args: cobra.NoArgs, RunE: root.RunE}
	create := &cobra.Command{Use: "create --role ROLE", Example: "x", RunE: root.RunE, Args: func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return errors.New("one too many")
		}
		return nil
	}}
	create.Flags().String("role", "", "")
	create.Flags().Duration("expires", 0, "")
	token.AddCommand(create)
	root.AddCommand(token)
	return root
}

func TestCommandsAreFoundInADocument(t *testing.T) {
	text := "Say `prog token create`, or `prog [--help|-h]`, not `program`:\n\n```sh on=c1\nsudo prog a 'b c' | jq . # prog d\nA=1 prog e \\\n  --f <in >out && prog g\necho prog\n```\n\n" +
		"```yaml\nprog x\n```\n\n```\n$ prog h; other prog i\n```\n"
	want := []typed{{[]string{"a", "b c"}, true}, {[]string{"e", "--f"}, true}, {[]string{"g"}, true}, {[]string{"h"}, true}, {[]string{"token", "create"}, false}, {[]string{"--help"}, false}}
	if diff := cmp.Diff(want, commandsOf(text, "prog"), cmp.AllowUnexported(typed{})); diff != "" {
		t.Error(diff)
	}
}

func TestWhatADocumentHasWrongIsNamed(t *testing.T) {
	for line, says := range map[string]string{
		"token create --role x --expires 1h": "", "token create --role x --expires LENGTH": "", "token create --help --role x": "",
		"token create": "--role is missing", "token create --rule x": "unknown flag: --rule", "token create --role": "needs an argument", "token create x --role x": "one too many",
		"token make": "unknown command", "tocen": "unknown command", "completion bash": "",
	} {
		got := typed{strings.Fields(line), true}.problem(prog())
		if says == "" && got != "" || !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", line, got, says)
		}
	}
	for line, says := range map[string]string{"token create": "", "token create ID": "", "token make": `has no command "make"`, "token create --rule": "unknown flag"} {
		got := typed{strings.Fields(line), false}.problem(prog())
		if says == "" && got != "" || !strings.Contains(got, says) {
			t.Errorf("named, %s: %q, want %q", line, got, says)
		}
	}
}
