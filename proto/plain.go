package proto

import "math"

// plain reads msgpack in the form in which Marshal writes it: fields in their order, none twice, none unknown, no null. What is
// in another form, though the codec may take it, makes bad true, and what was read is then of no use. It reads only bytes that
// are there, and allocates no more than they declare and could fill.
type plain struct {
	rest []byte
	bad  bool
}

// whole reports whether everything was read and understood.
func (p *plain) whole() bool { return !p.bad && len(p.rest) == 0 }

// take returns the next n bytes; they are the message's own. Where they are not there it returns none.
func (p *plain) take(n int) []byte {
	if n > len(p.rest) {
		p.bad = true
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *plain) code() byte {
	if len(p.rest) == 0 {
		p.bad = true
		return 0
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	return c
}

// number reads a big-endian number of up to 8 bytes.
func (p *plain) number(size int) (n uint64) {
	for _, c := range p.take(size) {
		n = n<<8 | uint64(c)
	}
	return n
}

// fields is a map whose keys are read in a known order.
type fields struct {
	*plain
	left int
}

func (p *plain) fields() fields {
	switch c := p.code(); {
	case c>>4 == 0x8:
		return fields{p, int(c & 0xf)}
	default: // no message that is read this way has sixteen fields
		p.bad = true
		return fields{p, 0}
	}
}

// next reports whether the next field has the key, and goes on to its value.
func (f *fields) next(key string) bool {
	b := f.rest
	if f.left == 0 || len(b) <= len(key) || b[0] != 0xa0|byte(len(key)) || string(b[1:1+len(key)]) != key {
		return false
	}
	f.rest = b[1+len(key):]
	f.left--
	return true
}

// end says that there is no other field.
func (f *fields) end() {
	if f.left != 0 {
		f.bad = true
	}
}

// list returns how many elements follow: at most as many as there are bytes.
func (p *plain) list() int {
	var n uint64
	switch c := p.code(); {
	case c>>4 == 0x9:
		n = uint64(c & 0xf)
	case c == 0xdc:
		n = p.number(2)
	case c == 0xdd:
		n = p.number(4)
	default:
		p.bad = true
	}
	if n > uint64(len(p.rest)) {
		p.bad, n = true, 0
	}
	return int(n)
}

func (p *plain) int() int64 {
	switch c := p.code(); c {
	case 0xcc:
		return int64(p.number(1))
	case 0xcd:
		return int64(p.number(2))
	case 0xce:
		return int64(p.number(4))
	case 0xcf, 0xd3:
		return int64(p.number(8))
	case 0xd0:
		return int64(int8(p.number(1)))
	case 0xd1:
		return int64(int16(p.number(2)))
	case 0xd2:
		return int64(int32(p.number(4)))
	default:
		if c > 0x7f && c < 0xe0 {
			p.bad = true
		}
		return int64(int8(c))
	}
}

// uint reads a number from 0 to most.
func (p *plain) uint(most int64) uint64 {
	n := p.int()
	if n < 0 || n > most {
		p.bad = true
	}
	return uint64(n)
}

func (p *plain) bool() bool {
	c := p.code()
	if c != 0xc2 && c != 0xc3 {
		p.bad = true
	}
	return c == 0xc3
}

// text returns the bytes of a string; they are the message's own.
func (p *plain) text() []byte {
	var n uint64
	switch c := p.code(); {
	case c>>5 == 0x5:
		n = uint64(c & 0x1f)
	case c == 0xd9:
		n = p.number(1)
	case c == 0xda:
		n = p.number(2)
	case c == 0xdb:
		n = p.number(4)
	default:
		p.bad = true
	}
	return p.take(int(n))
}

func (p *plain) string() string { return string(p.text()) }

// bytes returns bytes that are the message's own.
func (p *plain) bytes() []byte {
	var n uint64
	switch p.code() {
	case 0xc4:
		n = p.number(1)
	case 0xc5:
		n = p.number(2)
	case 0xc6:
		n = p.number(4)
	default:
		p.bad = true
	}
	b := p.take(int(n))
	return b[:len(b):len(b)]
}

// word reads a string that is one of a few as a rule, which then is not made anew.
func word[T ~string](p *plain, known ...T) T {
	b := p.text()
	for _, w := range known {
		if string(b) == string(w) {
			return w
		}
	}
	return T(b)
}

const maxUint = math.MaxInt64 // the most that plain.uint can read
