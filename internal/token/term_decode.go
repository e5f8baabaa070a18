package token

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"unicode/utf8"
)

var errTruncated = errors.New("the term ends early")

// decodeTerm decodes one term in Erlang's external format, version byte
// included. Nothing may follow it.
func decodeTerm(b []byte) (any, error) {
	if len(b) > maxTermSize {
		return nil, fmt.Errorf("the term has %d bytes, the limit is %d", len(b), maxTermSize)
	}
	if len(b) < 2 || b[0] != termVersion {
		return nil, errors.New("not an external term (version byte 131)")
	}
	b = b[1:]
	if b[0] == tagCompressed {
		var err error
		if b, err = inflate(b[1:]); err != nil {
			return nil, err
		}
	}
	d := termDecoder{rest: b}
	v, err := d.term(1)
	if err != nil {
		return nil, err
	}
	if len(d.rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the term", len(d.rest))
	}
	return v, nil
}

// inflate reads the body of a compressed term: four bytes of size, then zlib.
func inflate(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errTruncated
	}
	size := binary.BigEndian.Uint32(b)
	if size > maxTermSize {
		return nil, fmt.Errorf("the compressed term has %d bytes, the limit is %d", size, maxTermSize)
	}
	z, err := zlib.NewReader(bytes.NewReader(b[4:]))
	if err != nil {
		return nil, fmt.Errorf("compressed term: %w", err)
	}
	// One byte more than announced, to notice a body that is longer. The
	// buffer grows with what arrives: the announced size is not to be trusted.
	out, err := io.ReadAll(io.LimitReader(z, int64(size)+1))
	if err != nil {
		return nil, fmt.Errorf("compressed term: %w", err)
	}
	if len(out) != int(size) {
		return nil, errors.New("the compressed term does not have the size it announces")
	}
	return out, nil
}

type termDecoder struct {
	rest     []byte
	elements int // seen so far
}

func (d *termDecoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.rest) { // negative: a 32-bit int overflowed
		return nil, errTruncated
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, nil
}

// uint reads a big-endian number of 1, 2 or 4 bytes.
func (d *termDecoder) uint(size int) (int, error) {
	b, err := d.take(size)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n, nil
}

// sized reads a length of size bytes and as many bytes as it says.
func (d *termDecoder) sized(size int) ([]byte, error) {
	n, err := d.uint(size)
	if err != nil {
		return nil, err
	}
	return d.take(n)
}

// count reads the number of elements, each of at least one byte, that follow.
func (d *termDecoder) count(size int) (int, error) {
	n, err := d.uint(size)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > len(d.rest) {
		return 0, errTruncated
	}
	return n, d.reserve(n)
}

func (d *termDecoder) reserve(n int) error {
	d.elements += n
	if d.elements > maxTermElements {
		return fmt.Errorf("the term has more than %d elements", maxTermElements)
	}
	return nil
}

func (d *termDecoder) term(depth int) (any, error) {
	if depth > maxTermDepth {
		return nil, fmt.Errorf("the term is nested more than %d deep", maxTermDepth)
	}
	tag, err := d.uint(1)
	if err != nil {
		return nil, err
	}
	switch tag {
	case tagSmallInteger:
		n, err := d.uint(1)
		return int64(n), err
	case tagInteger:
		n, err := d.uint(4)
		return int64(int32(uint32(n))), err
	case tagSmallBig:
		return d.big(1)
	case tagLargeBig:
		return d.big(4)
	case tagNewFloat:
		return d.float()
	case tagBinary:
		b, err := d.sized(4)
		return string(b), err
	case tagAtom:
		return d.latin1Atom(2)
	case tagSmallAtom:
		return d.latin1Atom(1)
	case tagAtomUTF8:
		return d.utf8Atom(2)
	case tagSmallAtomUTF8:
		return d.utf8Atom(1)
	case tagSmallTuple:
		return d.tuple(1, depth)
	case tagLargeTuple:
		return d.tuple(4, depth)
	case tagNil:
		return []any{}, nil
	case tagString:
		return d.byteList()
	case tagList:
		return d.list(depth)
	case tagMap:
		return d.mapping(depth)
	default:
		return nil, fmt.Errorf("the term holds a value of external tag %d, which tokens may not hold", tag)
	}
}

func (d *termDecoder) big(size int) (any, error) {
	n, err := d.uint(size)
	if err != nil {
		return nil, err
	}
	if n > maxBigBytes {
		return nil, fmt.Errorf("an integer has %d bytes, the limit is %d", n, maxBigBytes)
	}
	sign, err := d.uint(1)
	if err != nil {
		return nil, err
	}
	b, err := d.take(n)
	if err != nil {
		return nil, err
	}
	magnitude := slices.Clone(b) // little-endian in the term
	slices.Reverse(magnitude)
	v := new(big.Int).SetBytes(magnitude)
	if sign != 0 {
		v.Neg(v)
	}
	return normalizeBig(v), nil
}

// normalizeBig gives the one Go form of an integer.
func normalizeBig(v *big.Int) any {
	if v.IsInt64() {
		return v.Int64()
	}
	return v
}

func (d *termDecoder) float() (any, error) {
	b, err := d.take(8)
	if err != nil {
		return nil, err
	}
	f := math.Float64frombits(binary.BigEndian.Uint64(b))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New("a float is not finite")
	}
	return f, nil
}

func (d *termDecoder) latin1Atom(size int) (any, error) {
	b, err := d.sized(size)
	if err != nil {
		return nil, err
	}
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return atomValue(string(runes))
}

func (d *termDecoder) utf8Atom(size int) (any, error) {
	b, err := d.sized(size)
	if err != nil {
		return nil, err
	}
	return atomValue(string(b))
}

func atomValue(name string) (any, error) {
	if err := checkAtom(name); err != nil {
		return nil, err
	}
	switch name {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "nil":
		return nil, nil
	default:
		return Atom(name), nil
	}
}

func checkAtom(name string) error {
	if !utf8.ValidString(name) {
		return errors.New("an atom is not UTF-8")
	}
	if n := utf8.RuneCountInString(name); n > maxAtomChars {
		return fmt.Errorf("an atom has %d characters, the limit is %d", n, maxAtomChars)
	}
	return nil
}

func (d *termDecoder) tuple(size, depth int) (any, error) {
	n, err := d.count(size)
	if err != nil {
		return nil, err
	}
	elements, err := d.terms(n, depth)
	return Tuple(elements), err
}

func (d *termDecoder) terms(n, depth int) ([]any, error) {
	elements := make([]any, n)
	for i := range elements {
		v, err := d.term(depth + 1)
		if err != nil {
			return nil, err
		}
		elements[i] = v
	}
	return elements, nil
}

func (d *termDecoder) byteList() (any, error) {
	b, err := d.sized(2)
	if err != nil {
		return nil, err
	}
	if err := d.reserve(len(b)); err != nil {
		return nil, err
	}
	list := make([]any, len(b))
	for i, c := range b {
		list[i] = int64(c)
	}
	return list, nil
}

func (d *termDecoder) list(depth int) (any, error) {
	n, err := d.count(4)
	if err != nil {
		return nil, err
	}
	list, err := d.terms(n, depth)
	if err != nil {
		return nil, err
	}
	tail, err := d.uint(1)
	if err != nil {
		return nil, err
	}
	if tail != tagNil {
		return nil, errors.New("a list is improper")
	}
	return list, nil
}

func (d *termDecoder) mapping(depth int) (any, error) {
	n, err := d.count(4)
	if err != nil {
		return nil, err
	}
	m := make(map[any]any, n)
	for range n {
		key, err := d.term(depth + 1)
		if err != nil {
			return nil, err
		}
		if keyRank(key) == rankNone {
			return nil, fmt.Errorf("a map has a key of type %T, which is not supported", key)
		}
		value, err := d.term(depth + 1)
		if err != nil {
			return nil, err
		}
		if _, dup := m[key]; dup {
			return nil, errors.New("a map has the same key twice")
		}
		m[key] = value
	}
	return m, nil
}
