package manpage

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPageHasVisibleCommandsAndFlagsAndNothingHidden(t *testing.T) {
	root := &cobra.Command{Use: "thing", Short: "does things", Long: "Does things.\n\nAnd others."}
	do := &cobra.Command{Use: "do NAME", Short: "do one", Example: ".rc\n'quoted", Run: func(*cobra.Command, []string) {}}
	do.Flags().Int("count", 3, "how `many`")
	do.Flags().Bool("secret", false, "not shown")
	if err := do.Flags().MarkHidden("secret"); err != nil {
		t.Fatal(err)
	}
	root.AddCommand(do, &cobra.Command{Use: "inner", Hidden: true, Short: "for machines", Run: func(*cobra.Command, []string) {}})

	page := string(render(root, Page{Section: 1, Version: "1.2.3", Files: []File{{"/etc/thing", "settings"}}, SeeAlso: []string{"other(1)"}, Exit: []int{0, 1, 3, 130}}))
	for _, want := range []string{
		".TH THING 1 \"\" \"thing 1.2.3\"", ".SS thing do NAME [flags]\ndo one\n", `\fB\-\-count\fR \fImany\fR`, "(default 3)",
		"Does things.\n.PP\nAnd others.", ".I /etc/thing\nsettings", "other(1)", ".SH EXIT STATUS\n0 fine, 1 error, 3 refused, 130 interrupted.\n",
		`\&.rc`, `\&'quoted`, // or roff would take them for requests
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in:\n%s", want, page)
		}
	}
	for _, hidden := range []string{"secret", "inner"} {
		if strings.Contains(page, hidden) {
			t.Errorf("%q is shown", hidden)
		}
	}
}
