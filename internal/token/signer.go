package token

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"sync"
	"time"
)

const (
	// MinSecretSize is the length of the shortest SECRET_KEY_BASE, in bytes, as
	// in Plug.Crypto.MessageVerifier.
	MinSecretSize = 20

	defaultIterations = 1000
	defaultKeyLength  = 32
	maxIterations     = 10_000_000
	minKeyLength      = 16
	maxKeyLength      = 1024

	// Salts are named by the program, not by clients, so few are expected.
	maxCachedKeys = 64
)

// Digest names the hash function of the key derivation, as Phoenix's
// key_digest does.
type Digest string

// The digests that keys can be derived with.
const (
	SHA256 Digest = "sha256"
	SHA384 Digest = "sha384"
	SHA512 Digest = "sha512"
)

func (d Digest) hash() (func() hash.Hash, bool) {
	switch d {
	case SHA256:
		return sha256.New, true
	case SHA384:
		return sha512.New384, true
	case SHA512:
		return sha512.New, true
	default:
		return nil, false
	}
}

// Options change how a [Signer] derives its keys. They must agree with the
// options of the Phoenix application that shares the secret; the zero value
// has Phoenix's defaults.
type Options struct {
	// Iterations of PBKDF2 (key_iterations). Default 1000; at most 10,000,000.
	Iterations int
	// KeyLength in bytes (key_length). Default 32; from 16 to 1024.
	KeyLength int
	// Digest of PBKDF2 (key_digest). Default SHA256. The signature itself is
	// always made with HMAC-SHA256.
	Digest Digest
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Iterations == 0 {
		o.Iterations = defaultIterations
	}
	if o.KeyLength == 0 {
		o.KeyLength = defaultKeyLength
	}
	if o.Digest == "" {
		o.Digest = SHA256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) validate() error {
	if o.Iterations < 1 || o.Iterations > maxIterations {
		return fmt.Errorf("token: key iterations are %d, want 1 to %d", o.Iterations, maxIterations)
	}
	if o.KeyLength < minKeyLength || o.KeyLength > maxKeyLength {
		return fmt.Errorf("token: the key length is %d bytes, want %d to %d", o.KeyLength, minKeyLength, maxKeyLength)
	}
	if _, ok := o.Digest.hash(); !ok {
		return fmt.Errorf("token: the key digest is %q, want sha256, sha384 or sha512", o.Digest)
	}
	return nil
}

// Signer signs and verifies Phoenix tokens (Phoenix.Token, Plug.Crypto) with
// keys derived from one secret. It is safe for concurrent use. Deriving a key
// costs a fifth of a millisecond of CPU, so keep one Signer and share it: it holds
// the keys of up to 64 salts.
type Signer struct {
	secret string
	opts   Options

	mu   sync.RWMutex
	keys map[string][]byte // by salt
}

// New makes a Signer from SECRET_KEY_BASE, taken byte for byte as it stands in
// the configuration of the Phoenix application. It refuses a secret of less
// than [MinSecretSize] bytes and options out of their range.
func New(secretKeyBase string, opts Options) (*Signer, error) {
	if len(secretKeyBase) < MinSecretSize {
		return nil, fmt.Errorf("token: SECRET_KEY_BASE has %d bytes, it needs at least %d (64 random characters are a good choice)",
			len(secretKeyBase), MinSecretSize)
	}
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return &Signer{secret: secretKeyBase, opts: opts, keys: make(map[string][]byte)}, nil
}

// String keeps the secret out of logs.
func (s *Signer) String() string { return "token.Signer" }

// GoString keeps the secret out of logs.
func (s *Signer) GoString() string { return "token.Signer" }

// key returns the key of a salt: Plug.Crypto.KeyGenerator.generate/3.
func (s *Signer) key(salt string) ([]byte, error) {
	s.mu.RLock()
	key, ok := s.keys[salt]
	s.mu.RUnlock()
	if ok {
		return key, nil
	}

	// Derived under the lock, so that a thousand clients that come at once
	// after a start do not derive the same key a thousand times.
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.keys[salt]; ok {
		return key, nil
	}
	newHash, _ := s.opts.Digest.hash()
	key, err := pbkdf2.Key(newHash, s.secret, []byte(salt), s.opts.Iterations, s.opts.KeyLength)
	if err != nil {
		return nil, fmt.Errorf("token: deriving a key: %w", err)
	}
	if len(s.keys) >= maxCachedKeys {
		clear(s.keys)
	}
	s.keys[salt] = key
	return key, nil
}
