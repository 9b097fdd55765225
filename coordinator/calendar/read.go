package calendar

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// property is a content line: NAME;PARAM=VALUE:VALUE.
type property struct {
	name, value string
	tzid        string
	date        bool // VALUE=DATE
	line        int
}

// Read reads a calendar, under the name that errors give it. What is wrong with it is an *Error.
//
// Of a line only what is needed is kept, and lines that nothing is needed of are passed over whatever their length.
func Read(in io.Reader, name string) (*Calendar, error) {
	c := &Calendar{name: name, zones: map[string]*zone{}, locations: map[string]*time.Location{}}
	text, err := io.ReadAll(io.LimitReader(in, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, c.fault(0, "part it", "it is larger than %d MiB", maxBytes>>20)
	}
	lines := unfolded{in: bufio.NewReader(bytes.NewReader(text))}
	var inside []string
	r := reader{Calendar: c}
	for {
		text, line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		p, ok := propertyOf(text, line)
		switch {
		case !ok && strings.TrimSpace(text) == "":
		case !ok:
			return nil, c.fault(line, "is it an iCalendar file?", "it is no NAME:VALUE")
		case len(inside) == 0 && !(p.name == "BEGIN" && strings.EqualFold(p.value, "VCALENDAR")):
			return nil, c.fault(line, "is it an iCalendar file?", "it does not begin with BEGIN:VCALENDAR")
		case p.name == "BEGIN":
			if len(inside) >= 8 {
				return nil, c.fault(line, "is it damaged?", "its parts are nested too deeply")
			}
			inside = append(inside, strings.ToUpper(p.value))
			err = r.begin(inside, line)
		case p.name == "END":
			if !strings.EqualFold(p.value, inside[len(inside)-1]) {
				return nil, c.fault(line, "is it damaged?", "END:%q where %q is to end", clip(p.value), clip(inside[len(inside)-1]))
			}
			err = r.end(inside, line)
			inside = inside[:len(inside)-1]
		default:
			err = r.property(inside, p)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(inside) > 0 || lines.line == 0 {
		return nil, c.fault(lines.line, "get it again", "it is cut short, or empty")
	}
	return c, c.locate()
}

// unfolded joins lines that go on in the next one, which begins with a blank.
type unfolded struct {
	in   *bufio.Reader
	line int
}

// maxKept is how much of a line is kept, in bytes: nothing that is needed is longer.
const maxKept = 16 << 10

func (u *unfolded) next() (text string, line int, err error) {
	var b strings.Builder
	for first := true; ; first = false {
		if !first {
			if c, err := u.in.Peek(1); err != nil || c[0] != ' ' && c[0] != '\t' {
				return b.String(), line, nil
			}
			_, _ = u.in.ReadByte()
		}
		raw, err := u.in.ReadString('\n')
		if raw == "" && err != nil && first {
			return "", u.line, io.EOF
		}
		u.line++
		if first {
			line = u.line
			raw = strings.TrimPrefix(raw, "\ufeff")
		}
		raw = strings.TrimRight(raw, "\r\n")
		b.WriteString(raw[:min(len(raw), maxKept-min(maxKept, b.Len()))])
	}
}

// propertyOf takes a line apart.
func propertyOf(text string, line int) (property, bool) {
	p := property{line: line}
	end := strings.IndexAny(text, ";:")
	if end <= 0 {
		return p, false
	}
	p.name = strings.ToUpper(text[:end])
	for text[end] == ';' {
		text = text[end+1:]
		quoted := false
		end = strings.IndexFunc(text, func(r rune) bool {
			if r == '"' {
				quoted = !quoted
			}
			return !quoted && (r == ';' || r == ':')
		})
		if end < 0 {
			return p, false
		}
		name, value, _ := strings.Cut(text[:end], "=")
		value = strings.Trim(value, `"`)
		switch strings.ToUpper(name) {
		case "TZID":
			p.tzid = value
		case "VALUE":
			p.date = strings.EqualFold(value, "DATE")
		}
	}
	p.value = text[end+1:]
	return p, true
}

// reader builds a calendar from its properties.
type reader struct {
	*Calendar
	e         entry
	zone      *zone
	o         observance
	recurring int
}

func (r *reader) begin(inside []string, line int) error {
	switch inside[len(inside)-1] {
	case "VEVENT":
		r.e = entry{line: line}
	case "VTIMEZONE":
		r.zone = &zone{}
	case "STANDARD", "DAYLIGHT":
		r.o = observance{line: line}
	}
	return nil
}

func (r *reader) end(inside []string, line int) error {
	switch part := inside[len(inside)-1]; {
	case part == "VEVENT":
		if r.e.start.wall.IsZero() {
			return r.fault(r.e.line, "give it one", "the entry has no DTSTART")
		}
		if r.e.kind == "" {
			r.e.kind = kindOf(r.e.title)
		}
		if r.e.rule != "" {
			r.recurring++
		}
		if r.entries = append(r.entries, r.e); len(r.entries) > maxEntries || r.recurring > maxRecurring {
			return r.fault(line, "part the file", "there are more than %d entries, or %d that recur", maxEntries, maxRecurring)
		}
	case (part == "STANDARD" || part == "DAYLIGHT") && r.zone != nil:
		if r.o.start.IsZero() || len(r.zone.observances) >= maxObservances {
			return r.fault(r.o.line, "is it damaged?", "a part of the time zone has no DTSTART, or there are more than %d", maxObservances)
		}
		r.zone.observances = append(r.zone.observances, r.o)
	case part == "VTIMEZONE" && r.zone != nil && r.zone.name != "" && len(r.zone.observances) > 0:
		r.zones[r.zone.name] = r.zone
		r.zone = nil
	}
	return nil
}

func (r *reader) property(inside []string, p property) (err error) {
	switch inside[len(inside)-1] {
	case "VEVENT":
		return r.entryProperty(p)
	case "VTIMEZONE":
		if p.name == "TZID" && r.zone != nil { // nil after one that is inside of it
			r.zone.name = p.value
		}
	case "STANDARD", "DAYLIGHT":
		switch p.name {
		case "DTSTART":
			// Some programs let zones begin in 1601.
			if r.o.start, err = time.Parse("20060102T150405", p.value); err != nil {
				return r.fault(p.line, "write one like 20261122T180000", "DTSTART: %q is no time", clip(p.value))
			}
		case "TZOFFSETTO":
			r.o.offset, err = r.offset(p)
		case "TZOFFSETFROM":
			r.o.before, err = r.offset(p)
		case "RRULE":
			r.o.rule = p.value
		}
	}
	return err
}

func (r *reader) entryProperty(p property) (err error) {
	e := &r.e
	switch p.name {
	case "UID":
		e.uid = p.value
	case "SUMMARY":
		e.title = textOf(p.value)
	case "CATEGORIES":
		if e.kind == "" {
			first, _, _ := strings.Cut(strings.ReplaceAll(p.value, `\,`, " "), ",")
			e.kind = kindOf(first)
		}
	case "STATUS":
		e.cancelled = strings.EqualFold(p.value, "CANCELLED")
	case "DTSTART":
		e.start, err = r.stamp(p, p.value)
	case "DTEND":
		e.end, err = r.stamp(p, p.value)
	case "RECURRENCE-ID":
		e.instead, err = r.stamp(p, p.value)
	case "DURATION":
		e.hasLength = true
		e.length, err = r.length(p)
	case "RRULE":
		if e.rule != "" {
			return r.fault(p.line, "make two entries of it", "the entry has two RRULEs")
		}
		e.rule, e.ruleLine = p.value, p.line
	case "RDATE", "EXDATE":
		to := &e.also
		if p.name == "EXDATE" {
			to = &e.not
		}
		for text := range strings.SplitSeq(p.value, ",") {
			start, _, _ := strings.Cut(text, "/") // of a period the start counts
			s, err := r.stamp(p, start)
			if err != nil {
				return err
			}
			if *to = append(*to, s); len(*to) > maxOccurrences {
				return r.fault(p.line, "part the entry", "more than %d dates", maxOccurrences)
			}
		}
	}
	return err
}

// stamp reads a time or a day.
func (r *reader) stamp(p property, text string) (stamp, error) {
	s := stamp{zone: p.tzid, line: p.line, date: p.date || len(text) == len("20060102")}
	layout := "20060102T150405"
	if s.date {
		layout = "20060102"
	} else if short, ok := strings.CutSuffix(text, "Z"); ok {
		s.utc, text = true, short
	}
	t, err := time.Parse(layout, text)
	if err != nil || t.Year() < 1900 || t.Year() >= lastYear {
		return s, r.fault(p.line, "write one like 20261122T180000Z or 20261122, from 1900 to 2199", "%s: %q is no time", p.name, clip(text))
	}
	s.wall = t
	return s, nil
}

var (
	lengths = regexp.MustCompile(`^\+?P(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?$`)
	offsets = regexp.MustCompile(`^([+-])(\d\d)(\d\d)(\d\d)?$`)
)

// length reads a DURATION.
func (r *reader) length(p property) (length, error) {
	m := lengths.FindStringSubmatch(p.value)
	if m == nil {
		return length{}, r.fault(p.line, "write one like PT1H30M or P1D", "DURATION: %q is no length of time", clip(p.value))
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v } // digits, or nothing
	return length{
		days: 7*n(1) + n(2),
		time: time.Duration(n(3))*time.Hour + time.Duration(n(4))*time.Minute + time.Duration(n(5))*time.Second,
	}, nil
}

// offset reads how far a zone's clock is ahead of UTC.
func (r *reader) offset(p property) (time.Duration, error) {
	m := offsets.FindStringSubmatch(p.value)
	if m == nil {
		return 0, r.fault(p.line, "write one like +0100", "%s: %q is no offset", p.name, clip(p.value))
	}
	n := func(i int) time.Duration { v, _ := strconv.Atoi(m[i]); return time.Duration(v) } // digits, or nothing
	d := n(2)*time.Hour + n(3)*time.Minute + n(4)*time.Second
	if m[1] == "-" {
		d = -d
	}
	return d, nil
}

// textOf undoes the escapes of a text.
func textOf(s string) string {
	return strings.TrimSpace(strings.NewReplacer(`\\`, `\`, `\,`, ",", `\;`, ";", `\n`, " ", `\N`, " ").Replace(s))
}

// clip bounds what an error repeats of the input.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
