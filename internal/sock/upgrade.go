package sock

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// CheckUpgrade reports whether r asks for an upgrade to WebSocket. If not, body
// is what Phoenix answers with status 400: the texts and the order of checks
// are those of WebSockAdapter.UpgradeValidation. Call it before Accept.
func CheckUpgrade(r *http.Request) (body string, ok bool) {
	if !r.ProtoAtLeast(1, 1) {
		return "HTTP version " + r.Proto + " unsupported", false
	}
	if r.Method != http.MethodGet {
		return "HTTP method " + r.Method + " unsupported", false
	}
	for _, want := range [...]struct{ header, token string }{
		{"connection", "upgrade"},
		{"upgrade", "websocket"},
	} {
		values := r.Header.Values(want.header)
		if !hasToken(values, want.token) {
			return fmt.Sprintf("'%s' header must contain '%s', got %s",
				want.header, want.token, inspect(values)), false
		}
	}
	if len(r.Header.Values("sec-websocket-key")) == 0 {
		return "'sec-websocket-key' header is absent", false
	}
	if v := r.Header.Values("sec-websocket-version"); len(v) != 1 || v[0] != "13" {
		return "'sec-websocket-version' header must equal '13', got " + inspect(v), false
	}
	return "", true
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// inspect prints header values as Elixir prints the list of them. Cowboy joins
// the lines of a repeated header into one.
func inspect(values []string) string {
	if len(values) == 0 {
		return "[]"
	}
	quoted := strconv.Quote(strings.Join(values, ", "))
	return "[" + strings.ReplaceAll(quoted, "#{", `\#{`) + "]"
}
