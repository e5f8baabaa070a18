package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestJWTIsAcceptedBesidePhoenixTokens(t *testing.T) {
	t.Parallel()
	n := serve(t, pgtest.URL(t), "JWT_SECRET="+secret+secret, "JWT_ISSUER=https://issuer.example")
	claims := map[string]any{"sub": "ana", "iss": "https://issuer.example", "exp": time.Now().Add(time.Hour).Unix()}
	join(t, n, signJWT(t, claims), "notifications:ana")
	join(t, n, mustRun(t, settings{"SECRET_KEY_BASE=" + secret}, "token", "sign", "ben"), "notifications:ben")

	for name, change := range map[string]map[string]any{
		"another issuer": {"iss": "https://evil.example"},
		"expired":        {"exp": time.Now().Add(-time.Hour).Unix()},
		"nobody":         {"sub": ""},
	} {
		bad := maps.Clone(claims)
		maps.Copy(bad, change)
		conn, resp, err := websocket.Dial(t.Context(), n.url()+"/socket/websocket?vsn=2.0.0&token="+signJWT(t, bad), nil)
		if err == nil {
			_ = conn.CloseNow()
		}
		if resp == nil || resp.StatusCode != 403 {
			t.Errorf("%s: %v, want 403", name, err)
		}
	}
}

// signJWT makes an HS256 token, by hand, so that it owes nothing to the library
// that verifies it.
func signJWT(t *testing.T, claims map[string]any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	mac := hmac.New(sha256.New, []byte(secret+secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
