package golden

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// FixtureSecret is the secret_key_base of the recorded application.
const FixtureSecret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const (
	defaultSalt       = "user socket"
	tokenMaxAge       = 86400 // seconds, written into the token
	tokenKeyRounds    = 1000
	tokenKeyLength    = 32
	signedAtByteCount = 6 // milliseconds since 1970 fit until the year 10889
)

// mintToken signs user as Phoenix.Token.sign/4 does: {user, signed_at, 86400}
// in Erlang's external term format under HMAC-SHA256 (Plug.Crypto,
// Plug.Crypto.MessageVerifier).
func mintToken(secret, salt, user string, signedAt time.Time) (string, error) {
	key, err := pbkdf2.Key(sha256.New, secret, []byte(salt), tokenKeyRounds, tokenKeyLength)
	if err != nil {
		return "", fmt.Errorf("derive token key: %w", err)
	}
	term := []byte{131, 104, 3, 109} // version, 3-tuple, binary
	term = binary.BigEndian.AppendUint32(term, uint32(len(user)))
	term = append(term, user...)
	ms := binary.LittleEndian.AppendUint64(nil, uint64(signedAt.UnixMilli()))
	term = append(term, 110, signedAtByteCount, 0) // positive big integer
	term = append(term, ms[:signedAtByteCount]...)
	term = append(term, 98) // 32-bit integer
	term = binary.BigEndian.AppendUint32(term, tokenMaxAge)

	encoding := base64.RawURLEncoding
	signed := encoding.EncodeToString([]byte("HS256")) + "." + encoding.EncodeToString(term)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + encoding.EncodeToString(mac.Sum(nil)), nil
}
