package jobsui

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"riverqueue.com/riverui"

	"github.com/trunkline/trunkline"
)

const (
	// DefaultPrefix is where the interface is mounted unless Options say otherwise.
	DefaultPrefix = "/admin/jobs"
	// MinTokenBytes is the length of the shortest token that is accepted.
	MinTokenBytes = 20

	// maxBody of a request: a list of jobs' ids.
	maxBody = 1 << 20
	// requestTimeout is more than the ten seconds that River UI gives itself.
	requestTimeout = 15 * time.Second
)

// Options of a handler.
type Options struct {
	// Token that a request must carry, as the password of HTTP basic
	// authentication (with any user name) or as a bearer token. Required, at
	// least MinTokenBytes.
	Token string
	// Prefix of the paths that it serves. Default DefaultPrefix.
	Prefix string
	// Logger gets what fails. Default: slog.Default().
	Logger *slog.Logger
}

// New returns a handler of Prefix and the paths below it. Who has the token can
// see, retry, cancel and delete all jobs and pause queues: serve it over TLS.
func New(admin *trunkline.JobsAdmin, o Options) (http.Handler, error) {
	if len(o.Token) < MinTokenBytes {
		return nil, fmt.Errorf("token (ADMIN_TOKEN) has %d bytes: want at least %d", len(o.Token), MinTokenBytes)
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	o.Prefix = riverui.NormalizePathPrefix(o.Prefix)
	if o.Prefix == "" {
		return nil, errors.New("prefix: want a path such as " + DefaultPrefix + ", not the root")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	// Its Start is not called: it would count the jobs every ten seconds though
	// nobody looks. Without it they are counted when somebody does.
	ui, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints:                riverui.NewEndpoints(admin.Client(), nil),
		JobListHideArgsByDefault: true,
		Logger:                   o.Logger.With("component", "riverui"),
		Prefix:                   o.Prefix,
	})
	if err != nil {
		return nil, fmt.Errorf("river ui: %w", err)
	}
	api := oneAtATime(o.Prefix+"/api/", ui)
	// Browsers send the password with requests of other sites' pages, too.
	sameOrigin := http.NewCrossOriginProtection().Handler(api)
	return guard(o.Token, sameOrigin), nil
}

// guard lets through who has the token.
func guard(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token)) // compared as sums, which hide the length
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(tokenOf(r)))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="jobs", charset="UTF-8"`)
			http.Error(w, "the token is missing or wrong: give it as the password, or as a bearer token", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'") // no clicks under another page
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

func tokenOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// oneAtATime makes requests below prefix wait for each other. A client that
// stalls is cut, or the others would wait for it.
func oneAtATime(prefix string, next http.Handler) http.Handler {
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, prefix) {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case turn <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		defer func() { <-turn }()
		client, end := http.NewResponseController(w), time.Now().Add(requestTimeout)
		if err := errors.Join(client.SetReadDeadline(end), client.SetWriteDeadline(end)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}
