package proto

import (
	"fmt"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
)

// mostNamed is how many instances are named in a sentence.
const mostNamed = 8

// Words says what is in the way of a plan, and how sure that is, without what would change it.
func (b Blocked) Words() string {
	names := b.Instances
	more := ""
	if len(names) > mostNamed {
		names, more = names[:mostNamed], fmt.Sprintf(" and %d more", len(b.Instances)-mostNamed)
	}
	noun, find := "instances", "find"
	if len(b.Instances) == 1 {
		noun, find = "instance", "finds"
	}
	text := fmt.Sprintf("%s %s%s %s no other place", noun, strings.Join(names, ", "), more, find)
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
