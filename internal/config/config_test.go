package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Listen  string   `yaml:"listen"`
	Every   Duration `yaml:"every"`
	Reserve Amounts  `yaml:"reserve"`
	Port    int      `yaml:"port"`
	Names   []string `yaml:"names"`
	Log     struct {
		Level string `yaml:"level"`
	} `yaml:"log"`
}

func TestAFileOverridesTheDefaultsItNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	text := "# comment\nevery: 5m\nreserve: {cpu: 250m, memory: 128MiB}\nlog: {level: debug}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := sample{Listen: ":7647", Reserve: Amounts{resource.NetTx: 9}}
	if err := Read(path, &got); err != nil {
		t.Fatal(err)
	}
	want := sample{Listen: ":7647", Every: Duration(5 * time.Minute), Reserve: Amounts{resource.CPU: 250, resource.Memory: 128 << 20, resource.NetTx: 9}}
	want.Log.Level = "debug"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestWhatIsWrongIsNamedWithLineAndRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"listn: x":                     `f.yaml: line 1: unknown field "listn": did you mean "listen"?`,
		"listen: x\nlog: {levl: 1}":    `line 2: unknown field "levl": did you mean "level"?`,
		"every: 5":                     `line 1: "5" is no duration`,
		"reserve: {cpus: 1}":           `unknown resource "cpus": did you mean "cpu"?`,
		"reserve: {memory: 1Mbit}":     `line 1: memory "1Mbit" has the unknown unit`,
		"reserve: 5":                   "want resources with their amounts",
		"listen: a\nevery: [":          "f.yaml: line 2: did not find expected node content: this is not YAML; look there and on the line above for a bracket",
		"log:\n\tlevel: debug":         "line 2: found character that cannot start any token: this is not YAML; look there and on the line above",
		"listen: {a: b}":               "line 1: a mapping is not a text",
		"port: http":                   `line 1: "http" is not a whole number`,
		"port: [1]":                    "line 1: a list is not a whole number",
		"names: a":                     `line 1: "a" is not a list: write one like [a, b]`,
		"log: debug":                   `line 1: "debug" is not what is wanted here: write a mapping like {name: value}`,
		"reserve: {cpu: .nan}":         `line 1: cpu ".nan" has the unknown unit "nan"`,
		"reserve: {cpu: NaN}":          `line 1: cpu "NaN" has the unknown unit "NaN": use m, no unit, for example 500m or 1.5`,
		"reserve: {memory: -1MiB}":     `line 1: memory "-1MiB" is negative`,
		"reserve: {cpu: 1, cpu: 2}":    "line 1: cpu is there twice",
		"reserve: {cpu: [1]}":          "line 1: cpu is no single amount",
		"reserve: {cpu: {a: b}}":       "line 1: cpu is no single amount",
		"listen: a\n---\nlisten: b":    "more than one document",
		"zzzzzz: 1\nqqqqqq: 2":         `line 1: unknown field "zzzzzz"; line 2: unknown field "qqqqqq"`,
		strings.Repeat("#", MaxSize+1): "larger than",
	} {
		err := Decode(strings.NewReader(text), "f.yaml", &sample{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v; want %q", text, err, want)
			continue
		}
		if no := "this is not YAML"; strings.Contains(err.Error(), no) != strings.Contains(want, no) {
			t.Errorf("%.40q: %v: is that YAML?", text, err)
		}
	}
}

// The anchor is called like an amount: what it stands for is what counts, not its name.
func TestAnAliasStandsForWhatHasTheAnchor(t *testing.T) {
	var got sample
	if err := Decode(strings.NewReader("listen: &2 500m\nreserve: {cpu: *2}\n"), "f.yaml", &got); err != nil {
		t.Fatal(err)
	}
	if want := (sample{Listen: "500m", Reserve: Amounts{resource.CPU: 500}}); !cmp.Equal(want, got) {
		t.Fatal(cmp.Diff(want, got))
	}
}

func TestAFileThatIsNotThereIsToldApart(t *testing.T) {
	if err := Read(filepath.Join(t.TempDir(), "no"), &sample{}); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := Decode(strings.NewReader("# nothing\n"), "f", &sample{}); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("listen: x\nreserve: {cpu: 1}")
	f.Fuzz(func(_ *testing.T, text string) {
		var s sample
		_ = Decode(strings.NewReader(text), "f", &s)
	})
}

func TestEveryDocumentOfAFileIsRead(t *testing.T) {
	text := "# first\nlisten: a\n---\n# nothing\n---\nlisten: b\nevery: 1m\n"
	got, err := DecodeAll[sample](strings.NewReader(text), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sample{{Listen: "a"}, {Listen: "b", Every: Duration(time.Minute)}}, got); diff != "" {
		t.Fatal(diff)
	}
	for text, want := range map[string]string{
		"listen: a\n---\nlistn: b":     `f.yaml: line 3: unknown field "listn": did you mean "listen"?`,
		"listen: a\n---\n[":            "f.yaml: ",
		strings.Repeat("#", MaxSize+1): "larger than",
	} {
		if _, err := DecodeAll[sample](strings.NewReader(text), "f.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v; want %q", text, err, want)
		}
	}
}
