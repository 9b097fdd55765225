package archtest

import (
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestImportsPointDownwards(t *testing.T) {
	for _, f := range source(t) {
		for path := range f.imports() {
			to, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			for _, l := range layers {
				// Tests of the shipped packages may use the test bed.
				if below(f.dir, l.from) && below(to, l.never) && (l.never != "testenv" || !f.test) {
					t.Errorf("%s imports %s: %s never imports %s: %s", f.path, to, l.from, l.never, l.reason)
				}
			}
		}
	}
}

func TestModulesStayInTheirPlace(t *testing.T) {
	for _, f := range source(t) {
		if below(f.dir, "testenv") || f.test {
			continue
		}
		for path := range f.imports() {
			for _, s := range soleImporters {
				if below(path, s.module) && !slices.ContainsFunc(s.by, func(by string) bool { return below(f.dir, by) }) {
					t.Errorf("%s imports %s, which only %v may: %s", f.path, path, s.by, s.reason)
				}
			}
		}
	}
}

func TestProgramsThatReckonInTimeZonesBringThem(t *testing.T) {
	missing := slices.Clone(zoned)
	for _, f := range source(t) {
		if _, brings := f.imports()["time/tzdata"]; brings && !f.test {
			missing = slices.DeleteFunc(missing, func(dir string) bool { return dir == f.dir })
		}
	}
	if len(missing) > 0 {
		t.Errorf("%v have no file that imports time/tzdata", missing)
	}
}

func TestPurePackagesOnlyCompute(t *testing.T) {
	for _, f := range source(t) {
		if f.test || !slices.Contains(pure, f.dir) {
			continue
		}
		names := map[string]string{}
		for path, name := range f.imports() {
			names[name] = path
			if reason, bad := impureImports[path]; bad {
				t.Errorf("%s imports %s, but %s is pure: it %s", f.path, path, f.dir, reason)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine, but %s is pure", f.fset.Position(n.Pos()), f.dir)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(impureCalls[names[x.Name]], n.Sel.Name) {
					t.Errorf("%s uses %s.%s, but %s is pure: time comes in as an argument", f.fset.Position(n.Pos()), x.Name, n.Sel.Name, f.dir)
				}
			}
			return true
		})
	}
}

// What the Makefile spares the race detector has nothing for it to find, in its tests neither.
func TestOnlyPackagesWithoutGoroutinesAreSparedTheRaceDetector(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\nSINGLE := ")
	list, _, _ = strings.Cut(list, "\n\n")
	spared := strings.Fields(strings.ReplaceAll(list, "\\", ""))
	if len(spared) == 0 {
		t.Error("the Makefile has no SINGLE any more")
	}
	for _, f := range source(t) {
		if !slices.Contains(spared, f.dir) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if n, is := n.(*ast.GoStmt); is {
				t.Errorf("%s starts a goroutine: take %s out of the Makefile's SINGLE", f.fset.Position(n.Pos()), f.dir)
			}
			return true
		})
		for path := range f.imports() {
			if path == "sync" || path == "golang.org/x/sync/errgroup" || path == "testing/synctest" {
				t.Errorf("%s imports %s: take %s out of the Makefile's SINGLE", f.path, path, f.dir)
			}
		}
	}
}

func TestEveryPackageSaysItsJobInASentence(t *testing.T) {
	said, seen := map[string]string{}, map[string]bool{}
	for _, f := range source(t) {
		if f.test {
			continue
		}
		seen[f.dir] = true
		if f.ast.Doc == nil {
			continue
		}
		if other, twice := said[f.dir]; twice {
			t.Errorf("%s: the package comment stands in %s already", f.path, other)
		}
		said[f.dir] = f.path
		first, _, _ := strings.Cut(f.ast.Doc.Text(), "\n\n")
		want := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			want = "" // a program's comment begins with its name
		}
		if !strings.HasPrefix(first, want) || !strings.HasSuffix(strings.TrimSpace(first), ".") {
			t.Errorf("%s: the package comment must begin %q and its first paragraph end with a full stop", f.path, want)
		}
	}
	for dir := range seen {
		if said[dir] == "" {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func TestFilesHaveOneJob(t *testing.T) {
	for _, f := range source(t) {
		if !f.generated && f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: which second job does it do?", f.path, f.lines, maxLines)
		}
	}
}

func TestNothingIsInitialisedBehindTheScenes(t *testing.T) {
	for _, f := range source(t) {
		if f.generated || f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: wiring belongs to Run", f.fset.Position(fn.Pos()))
			}
		}
	}
}
