package api

import "strconv"

// query reads parameters of a request's URL, and remembers the first that is wrong.
type query struct {
	c   *call
	err error
}

func (q *query) text(name string) string { return q.c.r.URL.Query().Get(name) }

// number reads a whole number between least and most; least when it is not there.
func (q *query) number(name string, least, most int64) int64 {
	text := q.text(name)
	if text == "" {
		return least
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if (err != nil || n < least || n > most) && q.err == nil {
		q.err = invalid("%s=%.40q is not a whole number from %d to %d", name, text, least, most)
	}
	return n
}

// flag reads true or false; false when it is not there.
func (q *query) flag(name string) bool {
	text := q.text(name)
	if text != "" && text != "true" && text != "false" && q.err == nil {
		q.err = invalid("%s=%.40q is neither true nor false", name, text)
	}
	return text == "true"
}
