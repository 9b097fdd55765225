package proto

import (
	"fmt"

	"github.com/glidepath/glidepath/internal/resource"
)

// Words says what is in the way of a plan, and how sure that is, without what would change it.
func (b Blocked) Words() string {
	noun, find := "instances", "find"
	if len(b.Instances) == 1 {
		noun, find = "instance", "finds"
	}
	text := fmt.Sprintf("%s %s %s no other place", noun, Names(b.Instances), find)
	if b.Host != "" && b.Missing > 0 {
		text += fmt.Sprintf("; %s comes closest, and lacks %s of %s in %s", b.Host, resource.Format(b.Resource, b.Missing), b.Resource, b.Span)
	}
	switch b.Proof {
	case BlockedSmallest:
		text += " (no smaller set of instances is in the way)"
	case BlockedMinimal:
		text += " (each of them is in the way)"
	case BlockedNotFound:
		text += " (the search ended at its bound: it is not proven that there is no plan)"
	}
	return text
}
