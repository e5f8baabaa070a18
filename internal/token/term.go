package token

import (
	"math/big"
	"strconv"
)

// Atom is an Erlang atom other than true, false and nil. At most 255 characters.
type Atom string

// Tuple is an Erlang tuple.
type Tuple []any

// Tags of the external term format
// (https://www.erlang.org/doc/apps/erts/erl_ext_dist.html).
const (
	termVersion = 131

	tagNewFloat      = 70
	tagCompressed    = 80
	tagSmallInteger  = 97
	tagInteger       = 98
	tagAtom          = 100 // Latin-1, as OTP up to 25 writes
	tagSmallTuple    = 104
	tagLargeTuple    = 105
	tagNil           = 106
	tagString        = 107 // a list of bytes
	tagList          = 108
	tagBinary        = 109
	tagSmallBig      = 110
	tagLargeBig      = 111
	tagSmallAtom     = 115 // Latin-1
	tagMap           = 116
	tagAtomUTF8      = 118
	tagSmallAtomUTF8 = 119 // as OTP from 26 on writes
)

// Limits of a term, in both directions.
const (
	maxTermSize     = 1 << 20 // bytes, after decompression
	maxTermDepth    = 64
	maxTermElements = 1 << 17 // elements of all lists, tuples and maps together
	maxBigBytes     = 1024    // of the magnitude of an integer
	maxAtomChars    = 255     // as in Erlang
)

// DataString returns the data of a token that names a user as a string: strings
// as they are, integers in decimal. It reports false for anything else.
// Applications sign either: Phoenix.Token.sign(socket, "user socket", user.id).
func DataString(data any) (string, bool) {
	switch d := data.(type) {
	case string:
		return d, true
	case int64:
		return strconv.FormatInt(d, 10), true
	case int:
		return strconv.Itoa(d), true
	case *big.Int:
		if d == nil {
			return "", false
		}
		return d.String(), true
	default:
		return "", false
	}
}
