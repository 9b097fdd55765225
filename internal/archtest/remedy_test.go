package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"testing"
)

// roleless is the command that makes a token, without the role that it can't do without.
var roleless = regexp.MustCompile(`glidepath token create($|[^ ]| [^-]| -[^-]| --[^r])`)

func TestWhoIsToldToMakeATokenIsToldTheRole(t *testing.T) {
	for _, f := range source(t) {
		if f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(lit.Value); err == nil && roleless.MatchString(text) {
				t.Errorf("%s says glidepath token create, which is refused without --role", f.fset.Position(lit.Pos()))
			}
			return true
		})
	}
}
