package wire

import "unicode/utf8"

// MaxDepth is how deep arrays and objects of a text frame may be nested, the
// outermost one of the message included. (Phoenix has no limit, encoding/json
// 10,000.)
const MaxDepth = 1024

// levels is the stack of open arrays and objects: bit d says whether level d is
// an object. Bits instead of recursion keep the stack of the goroutine small.
type levels struct {
	bits  [MaxDepth / 64]uint64
	depth int
}

func (l *levels) push(object bool) {
	mask := uint64(1) << (l.depth % 64)
	if object {
		l.bits[l.depth/64] |= mask
	} else {
		l.bits[l.depth/64] &^= mask
	}
	l.depth++
}

func (l *levels) inObject() bool {
	top := l.depth - 1
	return l.bits[top/64]>>(top%64)&1 == 1
}

// skipValue checks the JSON value at data[i], white space before it allowed,
// and gives the index after it; outer is the number of levels already open.
// On an error the index is where it was noticed.
func skipValue(data []byte, i, outer int) (int, error) {
	i = skipSpace(data, i)
	if i < len(data) && opens(data[i]) {
		return skipNested(data, i, outer)
	}
	return skipScalar(data, i)
}

func opens(c byte) bool { return c == '{' || c == '[' }

// skipNested checks the array or object that starts at data[i].
func skipNested(data []byte, i, outer int) (int, error) {
	var open levels
	var err error
values:
	for { // a value is due
		i = skipSpace(data, i)
		if i < len(data) && opens(data[i]) {
			if outer+open.depth == MaxDepth {
				return i, ErrDepth
			}
			object := data[i] == '{'
			open.push(object)
			i = skipSpace(data, i+1)
			empty := i < len(data) && (object && data[i] == '}' || !object && data[i] == ']')
			if !empty {
				if object {
					if i, err = skipKey(data, i); err != nil {
						return i, err
					}
				}
				continue
			}
		} else if i, err = skipScalar(data, i); err != nil {
			return i, err
		}
		for open.depth > 0 { // a comma or an end is due
			i = skipSpace(data, i)
			if i == len(data) {
				return i, ErrSyntax
			}
			object := open.inObject()
			switch c := data[i]; {
			case c == ',' && object:
				if i, err = skipKey(data, i+1); err != nil {
					return i, err
				}
				continue values
			case c == ',':
				i++
				continue values
			case c == '}' && object, c == ']' && !object:
				i++
				open.depth--
			default:
				return i, ErrSyntax
			}
		}
		return i, nil
	}
}

// skipScalar checks the string, number or literal that starts at data[i].
func skipScalar(data []byte, i int) (int, error) {
	if i == len(data) {
		return i, ErrSyntax
	}
	switch data[i] {
	case '"':
		return skipString(data, i)
	case 't':
		return skipLiteral(data, i, "true")
	case 'f':
		return skipLiteral(data, i, "false")
	case 'n':
		return skipLiteral(data, i, "null")
	default:
		return skipNumber(data, i)
	}
}

// skipKey checks the key of an object at data[i] and its colon.
func skipKey(data []byte, i int) (int, error) {
	i = skipSpace(data, i)
	if i == len(data) || data[i] != '"' {
		return i, ErrSyntax
	}
	i, err := skipString(data, i)
	if err != nil {
		return i, err
	}
	i = skipSpace(data, i)
	if i == len(data) || data[i] != ':' {
		return i, ErrSyntax
	}
	return i + 1, nil
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && data[i] <= ' ' && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

func skipLiteral(data []byte, i int, literal string) (int, error) {
	if len(data)-i < len(literal) || string(data[i:i+len(literal)]) != literal {
		return i, ErrSyntax
	}
	return i + len(literal), nil
}

// skipString checks the JSON string whose opening quote is data[i].
func skipString(data []byte, i int) (int, error) {
	i++
	for i < len(data) {
		c := data[i]
		switch {
		case plain[c]:
			i++
		case c == '"':
			return i + 1, nil
		case c == '\\':
			n := escapeLen(data[i:])
			if n == 0 {
				return i, ErrSyntax
			}
			i += n
		case c < utf8.RuneSelf: // a control character
			return i, ErrSyntax
		default:
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n == 1 {
				return i, ErrUTF8
			}
			i += n
		}
	}
	return i, ErrSyntax
}

// plain holds the bytes that stand for themselves in a JSON string and are
// complete characters.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// escapeLen is the length of the escape that s starts with, 0 if it is none.
// As in encoding/json a surrogate need not be paired.
func escapeLen(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) >= 6 && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5]) {
			return 6
		}
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func skipNumber(data []byte, i int) (int, error) {
	if i < len(data) && data[i] == '-' {
		i++
	}
	start := i
	i = skipDigits(data, i)
	if i == start || data[start] == '0' && i > start+1 {
		return start, ErrSyntax
	}
	if i < len(data) && data[i] == '.' {
		fraction := i + 1
		if i = skipDigits(data, fraction); i == fraction {
			return i, ErrSyntax
		}
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		exponent := i
		if i = skipDigits(data, exponent); i == exponent {
			return i, ErrSyntax
		}
	}
	return i, nil
}

func skipDigits(data []byte, i int) int {
	for i < len(data) && '0' <= data[i] && data[i] <= '9' {
		i++
	}
	return i
}
