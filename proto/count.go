package proto

import "strconv"

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
