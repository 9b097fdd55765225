package api_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/docfile"
	"github.com/glidepath/glidepath/proto"
)

func TestTheTableOfRolesIsMadeFromTheRoutes(t *testing.T) {
	may := map[string][]string{}
	for _, op := range newWorld(t).server.Operations() {
		may[op.Role] = append(may[op.Role], strings.ToLower(op.Summary[:1])+op.Summary[1:])
	}
	var b strings.Builder
	b.WriteString("| role | may |\n|---|---|\n")
	for _, role := range []proto.Role{proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin} {
		fmt.Fprintf(&b, "| %s | %s |\n", role, strings.Join(may[string(role)], " · "))
		delete(may, string(role))
	}
	for role := range may {
		t.Errorf("say here where the role %q stands", role)
	}
	docfile.Section(t, filepath.Join("..", "..", "docs", "operations.md"), "roles", b.String(), *update)
}
