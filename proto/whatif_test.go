package proto

import (
	"strings"
	"testing"
)

func TestAFleetThatIsAskedForIsAnotherOneAndOfBoundedSize(t *testing.T) {
	names := strings.Fields(strings.Repeat("h ", MaxList+1))
	for want, w := range map[string]WhatIf{
		"-1 hosts more: use 1 to 1024":                 {Add: -1, Like: "a"},
		"1025 hosts more: use 1 to 1024":               {Add: MaxList + 1, Like: "a"},
		"1 host more, and it is not said like which":   {Add: 1},
		"like a, and it is not said how many":          {Like: "a"},
		"is the fleet that is there":                   {},
		"1025 hosts are left out: use at most 1024":    {Without: names},
		`"a b" is no name for a host`:                  {Add: 1, Like: "a b"},
		`" " is no name for a host`:                    {Without: []string{" "}},
		"b is left out twice, or is not in the order":  {Without: []string{"b", "b"}},
		"a is left out twice, or is not in the order ": {Without: []string{"b", "a"}},
	} {
		if err := w.Valid(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", w, err, want)
		}
	}
	for want, w := range map[string]WhatIf{
		"with 2 hosts more like a and without b, c": {Add: 2, Like: "a", Without: []string{"b", "c"}},
		"with 1 host more like a":                   {Add: 1, Like: "a"},
		"without a":                                 {Without: []string{"a"}},
	} {
		if err := w.Valid(); err != nil || w.Words() != want {
			t.Errorf("%+v: %v, %q", w, err, w.Words())
		}
	}
	if w := (WhatIf{Without: names}); len(w.Words()) > 100 {
		t.Error(w.Words())
	}
}
