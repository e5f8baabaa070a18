package chat

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

// policy allows what the page needs: its own script, style, icon and socket.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page serves each embedded file under its own name, and index.html as /.
func page(mux *http.ServeMux) {
	entries, err := static.ReadDir("static")
	if err != nil {
		panic(err) // cannot be: the directory is part of the program
	}
	for _, e := range entries {
		name := e.Name()
		content, err := static.ReadFile(path.Join("static", name))
		if err != nil {
			panic(err)
		}
		pattern := "GET /" + name
		if name == "index.html" {
			pattern = "GET /{$}"
		}
		mux.Handle(pattern, file(name, content))
	}
}

// file revalidates by content, so that a new release is seen at once.
func file(name string, content []byte) http.HandlerFunc {
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag)
		if path.Ext(name) == ".mjs" { // not in every machine's table of types
			h.Set("Content-Type", "text/javascript; charset=utf-8")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}
}
