package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/manpage"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func tokenCommand(a *app) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: none,
		Example: "  glidepath token list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("tokens"), nil, func(l v1.List[proto.Token]) error {
				t := newTable(a.stdout, "TOKEN", "ROLE", "NAME", "STATE", "CREATED", "BY", "EXPIRES")
				for _, x := range l.Items {
					t.row(x.ID, x.Role, x.Name, tokenState(x), stamp(x.CreatedAt), x.CreatedBy, stamp(x.ExpiresAt))
				}
				return t.flush()
			})
		},
	}
	revoke := &cobra.Command{
		Use: "revoke TOKEN", Short: "Make a token useless, by its identifier", Args: exactly("token"),
		Example:           "  glidepath token revoke 0123456789abcdef",
		ValidArgsFunction: firstOnly(names(a, path("tokens"), "id")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "DELETE", path("tokens", args[0]), nil, func(v1.Empty) error {
				a.say("Token %s is revoked", args[0])
				return nil
			})
		},
	}
	return group("token", "Tokens: who may ask, and who may join", createTokenCommand(a), list, revoke)
}

func tokenState(t proto.Token) string {
	switch {
	case t.RevokedAt != 0:
		return "revoked"
	case t.UsedAt != 0:
		return "used by " + t.UsedBy
	case time.Now().After(t.ExpiresAt.Std()):
		return "expired"
	}
	return "good"
}

func createTokenCommand(a *app) *cobra.Command {
	var role, name string
	var life string
	create := &cobra.Command{
		Use: "create --role ROLE", Short: "Make a token; its secret is shown this once", Args: none,
		Long: `Make a token. The roles agent and coordinator are for joining the fleet, once, within an hour unless said otherwise. The
roles viewer, operator and admin are for this command and the API, each for what the ones before it may, too: look;
adopt, register and migrate; make tokens.`,
		Example: "  glidepath token create --role agent --name host-d\n  glidepath token create --role operator --name ann --expires 30d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if role == "" {
				return usagef("say what for: --role agent, coordinator, viewer, operator or admin")
			}
			expires, err := lifetime(life)
			if err != nil {
				return err
			}
			in := v1.TokenRequest{Role: proto.Role(role), Name: name, Expires: expires.Milliseconds()}
			return show(cmd.Context(), a, "POST", path("tokens"), in, a.printToken)
		},
	}
	create.Flags().StringVar(&role, "role", "", "agent, coordinator, viewer, operator or admin")
	create.Flags().StringVar(&name, "name", "", "whose it is; for joining: the only `name` that it is good for")
	create.Flags().StringVar(&life, "expires", "", "`how long` it is good for, like 30d or 12h (default 1h for joining, else for good)")
	roles := []string{"agent", "coordinator", "viewer", "operator", "admin"}
	completeFlags(create, map[string]cobra.CompletionFunc{"role": cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp)})
	return create
}

// lifetime reads a length of time as people say it of tokens: 30d, 2w, 12h; 0 when nothing is said.
func lifetime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	bad := usagef("--expires %q: use a length of time, like 30d, 2w or 12h", text)
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 32)
			if err != nil || n <= 0 || n > int64(longestLife/unit) {
				return 0, bad
			}
			return time.Duration(n) * unit, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > longestLife {
		return 0, bad
	}
	return d, nil
}

// longestLife is how far ahead a token may expire.
const longestLife = 100 * 365 * 24 * time.Hour

func (a *app) printToken(t v1.TokenReply) error {
	until := "until it is revoked"
	if t.ExpiresAt < timeline.Forever {
		until = "until " + stamp(t.ExpiresAt)
	}
	switch t.Role {
	case proto.RoleAgent:
		a.say("On the host, once, %s:\n\n  glidepath-agent join --token %s", until, t.Secret)
	case proto.RoleCoordinator:
		a.say("On the coordinator, once, %s:\n\n  glidepathd join --token %s", until, t.Secret)
	default:
		a.say("Token %s for the role %s, good %s. It is shown this once:\n\n  export GLIDEPATH_TOKEN=%s", t.ID, t.Role, until, t.Secret)
	}
	return nil
}

// program says which one this is.
type program struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: none,
		Example: "  glidepath version",
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printValue(program{version, commit})
			}
			_, err := fmt.Fprintf(a.stdout, "glidepath %s (%s)\n", version, commit)
			return err
		},
	}
}

// manCommand writes the manual page, for packages.
func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual page into a folder", Hidden: true, Args: exactly("folder"),
		RunE: func(_ *cobra.Command, args []string) error {
			return manpage.Write(filepath.Join(args[0], "glidepath.1"), root, manpage.Page{
				Section: 1, Version: version, SeeAlso: []string{"glidepathd(1)", "glidepath-agent(1)"},
				Exit:  []int{exitFine, exitError, exitUsage, exitRefused, exitNotFound, exitAborted, exitInterrupted},
				Files: []manpage.File{{Path: "~/.config/glidepath/config.yaml", Text: "where the coordinators are, and the token"}},
			})
		},
	}
}
