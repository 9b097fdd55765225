package proto

import (
	"fmt"
	"strconv"
	"strings"
)

// Count returns a number with its noun, in words that reach an operator: "1 host", "3 hosts". The plural is the noun with an s.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// CountIs returns a number with its noun and a verb: "1 host is", "3 hosts are", by their forms for one and for more.
func CountIs(n int, noun, one, more string) string {
	if n == 1 {
		return "1 " + noun + " " + one
	}
	return Count(n, noun) + " " + more
}

// mostNamed is how many things are named in a sentence.
const mostNamed = 8

// Names lists names for a sentence, as many as are read, and says how many more there are.
func Names(list []string) string {
	if more := len(list) - mostNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:mostNamed], ", "), more)
	}
	return strings.Join(list, ", ")
}
