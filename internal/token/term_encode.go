package token

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// encodeTerm writes a Go value as term_to_binary of OTP 26 writes the Elixir
// value that it stands for.
func encodeTerm(v any) ([]byte, error) {
	e := termEncoder{out: []byte{termVersion}}
	if err := e.term(v, 1); err != nil {
		return nil, err
	}
	if len(e.out) > maxTermSize {
		return nil, fmt.Errorf("it takes %d bytes, the limit is %d", len(e.out), maxTermSize)
	}
	return e.out, nil
}

type termEncoder struct {
	out      []byte
	elements int // written so far
}

func (e *termEncoder) term(v any, depth int) error {
	if depth > maxTermDepth {
		return fmt.Errorf("it is nested more than %d deep", maxTermDepth)
	}
	switch v := v.(type) {
	case nil:
		e.atom("nil")
	case bool:
		if v {
			e.atom("true")
		} else {
			e.atom("false")
		}
	case Atom:
		if err := checkAtom(string(v)); err != nil {
			return err
		}
		e.atom(string(v))
	case string:
		e.binary(v)
	case []byte:
		e.binary(string(v))
	case int:
		e.integer(int64(v))
	case int64:
		e.integer(v)
	case uint64:
		return e.big(new(big.Int).SetUint64(v))
	case *big.Int:
		return e.big(v)
	case float64:
		return e.float(v)
	case Tuple:
		return e.tuple(v, depth)
	case []any:
		return e.list(v, depth)
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return e.list(list, depth)
	case map[any]any:
		return e.mapping(v, depth)
	case map[string]any:
		m := make(map[any]any, len(v))
		for k, value := range v {
			m[k] = value
		}
		return e.mapping(m, depth)
	default:
		return fmt.Errorf("a value of type %T has no place in a token", v)
	}
	return nil
}

func (e *termEncoder) tag(tag byte) { e.out = append(e.out, tag) }

func (e *termEncoder) uint32(n int) {
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(n))
}

func (e *termEncoder) reserve(n int) error {
	e.elements += n
	if e.elements > maxTermElements {
		return fmt.Errorf("it has more than %d elements", maxTermElements)
	}
	return nil
}

func (e *termEncoder) atom(name string) {
	if len(name) < 256 {
		e.out = append(e.out, tagSmallAtomUTF8, byte(len(name)))
	} else {
		e.tag(tagAtomUTF8)
		e.out = binary.BigEndian.AppendUint16(e.out, uint16(len(name)))
	}
	e.out = append(e.out, name...)
}

func (e *termEncoder) binary(s string) {
	e.tag(tagBinary)
	e.uint32(len(s))
	e.out = append(e.out, s...)
}

func (e *termEncoder) integer(n int64) {
	switch {
	case n >= 0 && n <= math.MaxUint8:
		e.out = append(e.out, tagSmallInteger, byte(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		e.tag(tagInteger)
		e.out = binary.BigEndian.AppendUint32(e.out, uint32(int32(n)))
	default:
		e.bigDigits(big.NewInt(n))
	}
}

func (e *termEncoder) big(n *big.Int) error {
	if n == nil {
		return errors.New("a *big.Int is nil")
	}
	if n.IsInt64() {
		e.integer(n.Int64())
		return nil
	}
	if size := (n.BitLen() + 7) / 8; size > maxBigBytes {
		return fmt.Errorf("an integer has %d bytes, the limit is %d", size, maxBigBytes)
	}
	e.bigDigits(n)
	return nil
}

func (e *termEncoder) bigDigits(n *big.Int) {
	magnitude := n.Bytes()
	slices.Reverse(magnitude) // little-endian in the term
	if len(magnitude) < 256 {
		e.out = append(e.out, tagSmallBig, byte(len(magnitude)))
	} else {
		e.tag(tagLargeBig)
		e.uint32(len(magnitude))
	}
	sign := byte(0)
	if n.Sign() < 0 {
		sign = 1
	}
	e.tag(sign)
	e.out = append(e.out, magnitude...)
}

func (e *termEncoder) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return errors.New("a float is not finite")
	}
	e.tag(tagNewFloat)
	e.out = binary.BigEndian.AppendUint64(e.out, math.Float64bits(f))
	return nil
}

func (e *termEncoder) tuple(t Tuple, depth int) error {
	if len(t) < 256 {
		e.out = append(e.out, tagSmallTuple, byte(len(t)))
	} else {
		e.tag(tagLargeTuple)
		e.uint32(len(t))
	}
	return e.terms(t, depth)
}

func (e *termEncoder) terms(vs []any, depth int) error {
	if err := e.reserve(len(vs)); err != nil {
		return err
	}
	for _, v := range vs {
		if err := e.term(v, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (e *termEncoder) list(list []any, depth int) error {
	if len(list) == 0 {
		e.tag(tagNil)
		return nil
	}
	if b, ok := asBytes(list); ok {
		e.tag(tagString)
		e.out = binary.BigEndian.AppendUint16(e.out, uint16(len(b)))
		e.out = append(e.out, b...)
		return e.reserve(len(b))
	}
	e.tag(tagList)
	e.uint32(len(list))
	if err := e.terms(list, depth); err != nil {
		return err
	}
	e.tag(tagNil)
	return nil
}

// asBytes returns the list as bytes where OTP writes it as STRING_EXT.
func asBytes(list []any) ([]byte, bool) {
	if len(list) > math.MaxUint16 {
		return nil, false
	}
	b := make([]byte, len(list))
	for i, v := range list {
		n, ok := normalizeKey(v).(int64)
		if !ok || n < 0 || n > math.MaxUint8 {
			return nil, false
		}
		b[i] = byte(n)
	}
	return b, true
}

func (e *termEncoder) mapping(m map[any]any, depth int) error {
	type entry struct{ key, value any }
	entries := make([]entry, 0, len(m))
	for k, v := range m {
		key := normalizeKey(k)
		if keyRank(key) == rankNone {
			return fmt.Errorf("a map has a key of type %T, which is not supported", k)
		}
		entries = append(entries, entry{key, v})
	}
	slices.SortFunc(entries, func(a, b entry) int { return compareKeys(a.key, b.key) })
	for i := 1; i < len(entries); i++ {
		if compareKeys(entries[i-1].key, entries[i].key) == 0 {
			return errors.New("a map has the same key twice")
		}
	}

	e.tag(tagMap)
	e.uint32(len(entries))
	if err := e.reserve(len(entries)); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := e.term(entry.key, depth+1); err != nil {
			return err
		}
		if err := e.term(entry.value, depth+1); err != nil {
			return err
		}
	}
	return nil
}
