package token

import (
	"cmp"
	"math/big"
)

// The order of types among the keys of a map in Erlang.
const (
	rankNone = iota // cannot be a key here
	rankInteger
	rankFloat
	rankAtom
	rankBinary
)

func keyRank(key any) int {
	switch key.(type) {
	case int64:
		return rankInteger
	case float64:
		return rankFloat
	case nil, bool, Atom:
		return rankAtom
	case string:
		return rankBinary
	default:
		return rankNone
	}
}

// normalizeKey gives the one Go form of an integer; all else stays as it is.
func normalizeKey(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint64:
		return normalizeBig(new(big.Int).SetUint64(v))
	case *big.Int:
		if v != nil {
			return normalizeBig(v)
		}
	}
	return v
}

// compareKeys orders two normalized keys as Erlang orders the keys of a map.
func compareKeys(a, b any) int {
	if byType := cmp.Compare(keyRank(a), keyRank(b)); byType != 0 {
		return byType
	}
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case float64:
		return cmp.Compare(a, b.(float64))
	case string:
		return cmp.Compare(a, b.(string))
	default:
		return cmp.Compare(atomName(a), atomName(b))
	}
}

func atomName(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "true"
		}
		return "false"
	case Atom:
		return string(v)
	default:
		return "nil"
	}
}
