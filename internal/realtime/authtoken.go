package realtime

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// bearerPrefix marks the subprotocol by which phoenix.js sends its authToken.
// Despite the name the alphabet is the standard one, without padding.
const bearerPrefix = "base64url.bearer.phx."

// offeredProtocols lists the client's subprotocols.
func offeredProtocols(r *http.Request) (list []string) {
	for _, header := range r.Header.Values("Sec-WebSocket-Protocol") {
		for part := range strings.SplitSeq(header, ",") {
			if p := strings.TrimSpace(part); p != "" {
				list = append(list, p)
			}
		}
	}
	return list
}

// takeAuthToken splits the bearer entries from the subprotocols. Of two
// bearers none counts. A bearer that is not base64 is ErrBadAuthToken.
func takeAuthToken(offered []string) (token string, rest []string, err error) {
	var bearers []string
	for _, p := range offered {
		if b, ok := strings.CutPrefix(p, bearerPrefix); ok {
			bearers = append(bearers, b)
		} else {
			rest = append(rest, p)
		}
	}
	if len(bearers) != 1 {
		return "", rest, nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(bearers[0], "="))
	if err != nil {
		return "", rest, ErrBadAuthToken
	}
	return string(raw), rest, nil
}
