package token

import (
	"errors"
	"fmt"
)

// What can be wrong with a token. The first three are the reasons of
// Phoenix.Token.verify/4. Check them with errors.Is; the text that is wrapped
// around them is for operators and never holds a part of the token.
var (
	// ErrMissing is for callers that were given no token at all (Phoenix's
	// nil token). Verify itself calls an empty token ErrInvalid, as Phoenix does.
	ErrMissing = errors.New("token: missing")

	// ErrInvalid means a token of the wrong shape, signature, salt, key, issuer
	// or audience, or one that is not valid yet.
	ErrInvalid = errors.New("token: invalid")

	// ErrExpired means a genuine token that is too old.
	ErrExpired = errors.New("token: expired")

	// ErrMalformed is an ErrInvalid whose signature is right, so that the fault
	// lies with whoever signed it: its payload is no term, or holds something
	// that no token may hold. Phoenix raises ArgumentError here.
	ErrMalformed = fmt.Errorf("%w: malformed payload", ErrInvalid)

	// ErrKeysUnavailable means that a JWT could not be checked since no key set
	// has been fetched yet. The fault is not the client's: trying again later helps.
	ErrKeysUnavailable = errors.New("token: no verification keys available yet")
)

// MaxTokenSize is the length of the longest token, in bytes, that is signed or
// looked at. Longer ones are ErrInvalid.
const MaxTokenSize = 64 << 10
