package sock

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func newResponse() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func upgradeRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/socket/websocket", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return r
}

func TestCheckUpgrade(t *testing.T) {
	t.Parallel()
	set := func(key string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(key)] = values }
	}
	tests := []struct {
		name   string
		change func(*http.Request)
		body   string
	}{
		{"right", func(*http.Request) {}, ""},
		{"case and lists", func(r *http.Request) {
			set("connection", "keep-alive, UpGrAdE")(r)
			set("upgrade", "WeBsOcKeT")(r)
		}, ""},
		{"second line", set("connection", "keep-alive", "upgrade"), ""},
		{"connection close", set("connection", "close"), `'connection' header must contain 'upgrade', got ["close"]`},
		{"no connection", set("connection"), `'connection' header must contain 'upgrade', got []`},
		{"two lines", set("connection", "a", `b"#{c}`), `'connection' header must contain 'upgrade', got ["a, b\"\#{c}"]`},
		{"no upgrade", set("upgrade"), `'upgrade' header must contain 'websocket', got []`},
		{"other upgrade", set("upgrade", "bogus"), `'upgrade' header must contain 'websocket', got ["bogus"]`},
		{"no version", set("sec-websocket-version"), `'sec-websocket-version' header must equal '13', got []`},
		{"other version", set("sec-websocket-version", "12"), `'sec-websocket-version' header must equal '13', got ["12"]`},
		{"no key", set("sec-websocket-key"), `'sec-websocket-key' header is absent`},
		{
			"connection comes first", func(r *http.Request) { r.Header = http.Header{} },
			`'connection' header must contain 'upgrade', got []`,
		},
		{"key before version", func(r *http.Request) {
			set("sec-websocket-key")(r)
			set("sec-websocket-version")(r)
		}, `'sec-websocket-key' header is absent`},
		{"HTTP/1.0", func(r *http.Request) { r.Proto, r.ProtoMinor = "HTTP/1.0", 0 }, "HTTP version HTTP/1.0 unsupported"},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, "HTTP method POST unsupported"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := upgradeRequest()
			tc.change(r)
			if body, ok := CheckUpgrade(r); body != tc.body || ok != (tc.body == "") {
				t.Errorf("got %q, %v; want %q", body, ok, tc.body)
			}
		})
	}
}

func TestAcceptWithoutHijacker(t *testing.T) {
	t.Parallel()
	w := newResponse()
	if _, err := NewPool(Config{}).Accept(w, upgradeRequest(), AcceptOptions{}); err == nil {
		t.Error("Accept of a response that cannot be hijacked returned no error")
	}
}

func TestAcceptRefusesBadKey(t *testing.T) {
	t.Parallel()
	r := upgradeRequest()
	r.Header.Set("Sec-WebSocket-Key", "short")
	w := newResponse()
	if _, err := NewPool(Config{}).Accept(w, r, AcceptOptions{}); err == nil || w.Code != http.StatusBadRequest {
		t.Errorf("Accept returned %v and answered %d", err, w.Code)
	}
}
