package token

import (
	"math"
	"time"
)

const (
	// DefaultMaxAge is the age limit of a token where nobody asks for another:
	// two weeks.
	DefaultMaxAge = 14 * 24 * time.Hour

	// SignedMaxAge is the age limit that Sign writes into a token where nobody
	// asks for another: one day, as in Plug.Crypto.
	SignedMaxAge = 24 * time.Hour
)

// MaxAge says how long a token is good after it was signed. Its zero value
// means "the default"; make others with [For], [Seconds] and [Infinity].
// The resolution is one millisecond.
type MaxAge struct {
	kind   maxAgeKind
	millis int64
}

type maxAgeKind uint8

const (
	maxAgeDefault maxAgeKind = iota
	maxAgeLimited
	maxAgeInfinite
)

// For limits the age to d. Zero or less means that every token has expired, as
// with Phoenix's max_age.
func For(d time.Duration) MaxAge {
	return MaxAge{kind: maxAgeLimited, millis: d.Milliseconds()}
}

// Seconds limits the age to n seconds; unlike [For] it reaches beyond 292
// years. Zero or less means that every token has expired.
func Seconds(n int64) MaxAge {
	millis := int64(math.MaxInt64)
	switch {
	case n <= 0:
		millis = 0
	case n < math.MaxInt64/1000:
		millis = n * 1000
	}
	return MaxAge{kind: maxAgeLimited, millis: millis}
}

// Infinity lifts the limit: a token that leaks is then good until the secret
// changes.
func Infinity() MaxAge { return MaxAge{kind: maxAgeInfinite} }

func (m MaxAge) isDefault() bool { return m.kind == maxAgeDefault }

// expired reports whether a token signed at signedAt is too old at now, both in
// milliseconds of Unix time. A time in the future is accepted, as in Plug.Crypto.
func (m MaxAge) expired(signedAt, now int64) bool {
	if m.kind == maxAgeInfinite {
		return false
	}
	if m.millis <= 0 {
		return true
	}
	deadline := signedAt + m.millis
	if deadline < signedAt { // overflow: beyond the end of time
		return false
	}
	return deadline < now
}

// shorter returns the smaller of two limits, neither of them the default.
func (m MaxAge) shorter(other MaxAge) MaxAge {
	switch {
	case m.kind == maxAgeInfinite:
		return other
	case other.kind == maxAgeInfinite || m.millis <= other.millis:
		return m
	default:
		return other
	}
}

// term is how the limit is written into a token: seconds, or the atom infinity.
func (m MaxAge) term() any {
	switch {
	case m.kind == maxAgeInfinite:
		return Atom("infinity")
	case m.millis%1000 == 0:
		return m.millis / 1000
	default:
		return float64(m.millis) / 1000
	}
}

// maxAgeFromTerm reads what term wrote. It reports false for anything else.
func maxAgeFromTerm(t any) (MaxAge, bool) {
	switch t := t.(type) {
	case int64:
		return Seconds(t), true
	case float64:
		return secondsFloat(t), true
	case Atom:
		return Infinity(), t == "infinity"
	default:
		return MaxAge{}, false
	}
}

func secondsFloat(s float64) MaxAge {
	millis := s * 1000
	switch {
	case millis >= math.MaxInt64:
		return MaxAge{kind: maxAgeLimited, millis: math.MaxInt64}
	case millis <= 0:
		return MaxAge{kind: maxAgeLimited}
	default:
		return MaxAge{kind: maxAgeLimited, millis: int64(millis)}
	}
}
