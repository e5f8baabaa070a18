// Package token signs and verifies the tokens that clients connect with:
// Phoenix tokens, byte for byte as Plug.Crypto writes them, and JSON Web
// Tokens of other issuers (verified only).
//
// It owns the token formats, the part of Erlang's external term format that
// tokens use, and the keys: a [Signer] caches the keys that it derives, a
// [JWTVerifier] keeps a set of public keys fresh. It imports nothing of ours
// and knows nothing of sockets.
//
// Invariants:
//   - A payload is decoded only after its signature has been verified.
//   - Signatures are compared in constant time.
//   - No error and no log record holds a token, a part of one, or a secret.
//   - Every token has an age limit: where nobody sets one, it is
//     [DefaultMaxAge]. Only [Infinity], named by the caller, lifts it.
//   - Whatever a token holds, decoding is bounded in size, depth and number of
//     elements.
//   - There is no package state; clocks are injected.
//
// # Elixir and Go values
//
//	Elixir                    Go, decoded              Go, also accepted by Sign
//	binary                    string (any bytes)       []byte
//	integer                   int64, else *big.Int     int, uint64
//	float                     float64 (finite)
//	true, false, nil          bool, nil
//	atom                      Atom
//	tuple                     Tuple
//	list, charlist            []any                    []string
//	map                       map[any]any              map[string]any
//
// Keys of maps are strings, integers, floats, atoms, booleans or nil. Functions,
// pids, ports, references, bitstrings, improper lists and maps with other keys
// are refused with an error.
package token
